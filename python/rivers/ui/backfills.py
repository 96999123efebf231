"""Endpoints for backfills: lists, tables, and the verbs that change them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rivers.client import STATUSES
from rivers.exceptions import BackfillNotFoundError
from rivers.partitions import PartitionKeyRange
from rivers.repository.internals import partition_definition
from rivers.ui import schemas
from rivers.ui.encoding import ARROW, plain, table, view_json
from rivers.ui.endpoints import Endpoint

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl
    from starlette.responses import Response

    from rivers.status.backfill_view import BackfillView
    from rivers.status.results import BackfillResult
    from rivers.ui.backend import Backend
    from rivers.ui.endpoints import Call

_TABLE = ("application/json", ARROW)
_MAX_ACTIVITY_RUNS = 300_000
"""Maximum number of runs whose times are read for the activity of a backfill."""

_BINS = 120
"""Maximum number of intervals into which the time of a backfill is divided."""

_LONGEST = 10
"""Number of longest runs, and of retries that are due, that are listed."""


def view_of(backend: Backend, backfill_id: str) -> BackfillView:
    """Returns how a backfill stands.

    Raises:
        BackfillNotFoundError: No backfill has the id.
    """
    view = backend.client.get_view(backfill_id)
    if view is None:
        msg = f"there is no backfill {backfill_id!r}"
        raise BackfillNotFoundError(msg, remedy=("list",))
    return view


def list_backfills(call: Call) -> Any:
    """Lists backfills, live ones first, then the newest first."""
    query: schemas.BackfillsQuery = call.query
    status: Sequence[str] = query.status or STATUSES
    if query.format == "arrow":
        return table(call.backend.client.backfills(status=status, limit=query.limit), "arrow")
    views = call.backend.client.list_views(status=status)
    if query.asset is not None:
        views = [view for view in views if query.asset in view.assets]
    if query.search is not None:
        views = [view for view in views if _has_text(view, query.search.lower())]
    views.sort(key=lambda view: view.status != "in_progress")
    return {"total": len(views), "backfills": [view_json(view) for view in views[: query.limit]]}


def _has_text(view: BackfillView, text: str) -> bool:
    texts = [view.backfill_id, *view.assets, *(part for tag in view.tags for part in tag)]
    return any(text in known.lower() for known in texts)


def get_backfill(call: Call) -> Any:
    """Returns how a backfill stands, with its first or latest error."""
    view = view_of(call.backend, call.path["id"])
    error = call.backend.client.get_error(view.backfill_id) if view.failed else None
    return view_json(view) | {"error": error}


def backfill_partitions(call: Call) -> Response:
    """Returns partitions of a backfill, a row each."""
    query: schemas.PartitionsQuery = call.query
    frame = call.backend.client.backfill_partitions(call.path["id"], status=query.status or None)
    return table(frame.head(query.limit), query.format)


def backfill_runs(call: Call) -> Response:
    """Returns runs of a backfill, a row each."""
    query: schemas.RunsOfBackfillQuery = call.query
    frame = call.backend.client.backfill_runs(call.path["id"], status=query.status or None)
    name = query.sort.removeprefix("-")
    if name != "run":
        frame = frame.sort(name, descending=query.sort[0] == "-", nulls_last=True)
    return table(frame.head(query.limit), query.format)


def backfill_errors(call: Call) -> Response:
    """Returns why partitions of a backfill failed, the most frequent error first."""
    query: schemas.TableQuery = call.query
    return table(call.backend.client.backfill_errors(call.path["id"]), query.format)


def backfill_activity(call: Call) -> Any:
    """Returns how many runs of a backfill ended and failed over time, the longest runs and retries due."""
    view = view_of(call.backend, call.path["id"])
    if view.num_ended > _MAX_ACTIVITY_RUNS:
        return {"bins": [], "seconds": 0, "start": None, "longest": [], "waiting": []}
    return _activity(call.backend.client.backfill_runs(view.backfill_id))


def _activity(runs: pl.DataFrame) -> dict[str, Any]:
    import polars as pl  # noqa: PLC0415

    ended = runs.filter(pl.col("ended_at").is_not_null())
    columns = ("run", "run_id", "status", "started_at", "duration", "error")
    longest = ended.sort("duration", descending=True).head(_LONGEST).select(columns).to_dicts()
    waiting = runs.filter(pl.col("status") == "waiting").head(_LONGEST).select(columns).to_dicts()
    result: dict[str, Any] = {"bins": [], "seconds": 0, "start": None}
    if ended.height:
        start, end = runs["started_at"].min(), ended["ended_at"].max()
        seconds = max((end - start).total_seconds() / _BINS, 1e-3)  # type: ignore[operator, union-attr]
        offset = (pl.col("ended_at") - start).dt.total_microseconds() / 1e6 / seconds
        at = offset.floor().clip(0, _BINS - 1).cast(pl.Int64)
        counted = ended.group_by(at.alias("at")).agg(
            pl.len().alias("ended"), (pl.col("status") == "failed").sum().alias("failed")
        )
        bins = [[0, 0] for _ in range(_BINS)]
        for place, count, failed in counted.iter_rows():
            bins[place] = [count, failed]
        result = {"bins": bins, "seconds": seconds, "start": plain(start)}
    return result | {"longest": plain(longest), "waiting": plain(waiting)}


def pause_backfill(call: Call) -> Any:
    """Pauses a backfill: no new run starts."""
    call.backend.controls.pause_backfill(call.path["id"])
    return view_json(view_of(call.backend, call.path["id"]))


def unpause_backfill(call: Call) -> Any:
    """Lets a paused backfill continue."""
    call.backend.controls.unpause_backfill(call.path["id"])
    return view_json(view_of(call.backend, call.path["id"]))


def cancel_backfill(call: Call) -> Any:
    """Cancels a backfill; with `force_after`, runs in flight are ended by force."""
    body: schemas.CancelBody = call.body
    call.backend.controls.cancel_backfill(call.path["id"], force_after=body.force_after)
    return view_json(view_of(call.backend, call.path["id"]))


def update_backfill(call: Call) -> Any:
    """Changes the limits of a backfill."""
    body: schemas.ChangeBody = call.body
    call.backend.controls.update_backfill(call.path["id"], **body.model_dump())
    return view_json(view_of(call.backend, call.path["id"]))


def resume_backfill(call: Call) -> Any:
    """Continues a backfill whose process died, in the process of this server."""
    call.backend.assets().resume_backfill(call.path["id"], block=False)
    return view_json(view_of(call.backend, call.path["id"]))


def rerun_backfill(call: Call) -> Any:
    """Runs a part of a backfill again, as a new backfill: failed and canceled partitions by default."""
    body: schemas.RerunBody = call.body
    chosen: dict[str, Any] = {}
    default = ["failed", "canceled"]
    if (
        body.where
        or body.asset
        or (body.states is not None and sorted(body.states) != sorted(default))
    ):
        chosen = {"where": body.where, "asset": body.asset}
        if body.states is not None and sorted(body.states) != default[::-1]:
            chosen["status"] = body.states
    result = call.backend.assets().rerun_backfill(
        call.path["id"],
        block=False,
        dry_run=body.dry_run,
        error_type=body.error_type,
        **chosen,
    )
    return result_json(result)


def launch_backfill(call: Call) -> Any:
    """Launches a backfill in the process of this server."""
    body: schemas.LaunchBody = call.body
    repository = call.backend.assets()
    where: dict[str, Any] = {}
    if body.range is None:
        where["partition_keys"] = partition_definition(repository, body.selection).select()
    else:
        where["partition_range"] = range_of(body.range)
    result = repository.backfill(
        body.selection,
        **where,
        max_concurrency=body.max_concurrency,
        tags=list(body.tags.items()) or None,
        block=False,
        dry_run=body.dry_run,
        only_missing=body.only_missing,
        include_upstream=body.include_upstream,
        include_downstream=body.include_downstream,
    )
    return result_json(result)


def range_of(parts: dict[str, schemas.Keys]) -> PartitionKeyRange:
    """Returns the range of parts by dimension; `partition` alone is a single dimension."""
    if list(parts) == ["partition"] and parts["partition"].keys is None:
        return PartitionKeyRange.single(parts["partition"].first, parts["partition"].last)
    return PartitionKeyRange.multi(
        {name: part.keys or (part.first, part.last) for name, part in parts.items()}
    )


def result_json(result: BackfillResult) -> dict[str, Any]:
    """Returns what was launched, or what would be."""
    estimate = result.estimate if result.is_dry_run else None
    return {
        "backfill_id": result.backfill_id or None,
        "status": result.status,
        "num_partitions": result.num_partitions,
        "num_runs": result.num_runs,
        "estimate": plain(estimate),
    }


ENDPOINTS = [
    Endpoint("GET", "/backfills", "Lists backfills.", list_backfills,
             query=schemas.BackfillsQuery, media=_TABLE),
    Endpoint("POST", "/backfills", "Launches a backfill, or plans one.", launch_backfill,
             body=schemas.LaunchBody, needs_module=True),
    Endpoint("GET", "/backfills/{id}", "Returns how a backfill stands.", get_backfill),
    Endpoint("PATCH", "/backfills/{id}", "Changes the limits of a backfill.", update_backfill,
             body=schemas.ChangeBody),
    Endpoint("GET", "/backfills/{id}/partitions", "Lists partitions of a backfill.",
             backfill_partitions, query=schemas.PartitionsQuery, media=_TABLE),
    Endpoint("GET", "/backfills/{id}/runs", "Lists runs of a backfill.", backfill_runs,
             query=schemas.RunsOfBackfillQuery, media=_TABLE),
    Endpoint("GET", "/backfills/{id}/errors", "Groups the errors of a backfill.", backfill_errors,
             query=schemas.TableQuery, media=_TABLE),
    Endpoint("GET", "/backfills/{id}/activity", "Returns the activity of a backfill over time.",
             backfill_activity),
    Endpoint("POST", "/backfills/{id}/pause", "Pauses a backfill.", pause_backfill,
             body=schemas.Empty),
    Endpoint("POST", "/backfills/{id}/unpause", "Unpauses a backfill.", unpause_backfill,
             body=schemas.Empty),
    Endpoint("POST", "/backfills/{id}/cancel", "Cancels a backfill.", cancel_backfill,
             body=schemas.CancelBody),
    Endpoint("POST", "/backfills/{id}/resume", "Resumes a backfill whose process died.",
             resume_backfill, body=schemas.Empty, needs_module=True),
    Endpoint("POST", "/backfills/{id}/rerun", "Runs a part of a backfill again.", rerun_backfill,
             body=schemas.RerunBody, needs_module=True),
]  # fmt: skip
