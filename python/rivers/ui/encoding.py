"""Records and tables as JSON or Arrow, with the names of the Python API."""

from __future__ import annotations

import dataclasses
import datetime as dt
import io
import math
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response

if TYPE_CHECKING:
    import polars as pl

    from rivers.status.backfill_view import BackfillView
    from rivers.storage.events import StoredEvent
    from rivers.storage.run_record import RunRecord

ARROW = "application/vnd.apache.arrow.stream"

MAX_KEYS = 1_000
"""Maximum number of keys of a run that a response lists."""


def plain(value: Any) -> Any:
    """Returns a value as JSON has it: times as ISO 8601, durations as seconds, no infinite numbers."""
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, dt.datetime | dt.date):
        return value.isoformat()
    if isinstance(value, dt.timedelta):
        return value.total_seconds()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def view_json(view: BackfillView) -> dict[str, Any]:
    """Returns how a backfill stands as JSON."""
    fields: dict[str, Any] = plain(dataclasses.asdict(view))
    derived = {"state": view.state, "eta": view.eta, "is_running": view.is_running}
    return fields | derived | {"duration": view.duration}


def run_json(run: RunRecord) -> dict[str, Any]:
    """Returns a run as JSON."""
    return {
        "run_id": run.run_id,
        "status": run.status,
        "backfill_id": run.launched_by.backfill_id,
        "assets": list(run.node_names),
        "priority": run.priority,
        "tags": plain(run.tags),
        "started_at": plain(run.started_at),
        "ended_at": plain(run.ended_at),
        "error": run.error,
        "block_reason": run.block_reason,
    }


def event_json(event: StoredEvent) -> dict[str, Any]:
    """Returns an event as JSON; its time is a number of milliseconds since 1970 UTC."""
    fields = dataclasses.asdict(dataclasses.replace(event, partition_key=None))
    key = None if event.partition_key is None else str(event.partition_key)
    at = event.timestamp / 1e6
    return plain(fields | {"partition_key": key, "timestamp": at})  # type: ignore[no-any-return]


def table(frame: pl.DataFrame, wanted: str) -> Response:
    """Returns a table as `"json"` (a list of rows) or `"arrow"` (an Arrow stream)."""
    if wanted == "arrow":
        buffer = io.BytesIO()
        frame.write_ipc_stream(buffer)
        return Response(buffer.getvalue(), media_type=ARROW)
    return JSONResponse(plain(frame.to_dicts()))
