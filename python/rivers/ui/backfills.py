"""Endpoints for backfills: lists, tables, and the verbs that change them."""

from __future__ import annotations

import base64
import dataclasses
from typing import TYPE_CHECKING, Any

from rivers.client import STATUSES
from rivers.exceptions import BackfillNotFoundError
from rivers.partitions import PartitionKey, PartitionKeyRange
from rivers.partitions.range_text import part_of_text, range_of_text
from rivers.repository.internals import partition_definition
from rivers.ui import schemas
from rivers.ui.encoding import ARROW, plain, table, view_json
from rivers.ui.endpoints import Endpoint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.responses import Response

    from rivers.status.backfill_view import BackfillView
    from rivers.status.results import BackfillResult
    from rivers.ui.backend import Backend
    from rivers.ui.endpoints import Call

_TABLE = ("application/json", ARROW)
_BINS = 160
"""Number of intervals into which the time of a backfill is divided."""

_LANES = 48
"""Maximum number of lanes that are drawn."""


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
    views = call.backend.client.list_views(status=status)
    if query.asset is not None:
        views = [view for view in views if query.asset in view.assets]
    if query.search is not None:
        views = [view for view in views if _has_text(view, query.search.lower())]
    views.sort(key=lambda view: view.status != "in_progress")
    if query.format == "arrow":
        ids = [view.backfill_id for view in views[: query.limit]]
        frame = call.backend.client.backfills(status=status)
        return table(frame.filter(frame["backfill_id"].is_in(ids)), "arrow")
    return {"total": len(views), "backfills": [view_json(view) for view in views[: query.limit]]}


def _has_text(view: BackfillView, text: str) -> bool:
    texts = [view.backfill_id, *view.assets, *(part for tag in view.tags for part in tag)]
    return any(text in known.lower() for known in texts)


def get_backfill(call: Call) -> Any:
    """Returns how a backfill stands, with its first or latest error and the module that launched it."""
    view = view_of(call.backend, call.path["id"])
    client = call.backend.client
    error = client.get_error(view.backfill_id) if view.failed else None
    # Not whom it notifies: such an address may be a secret.
    module = client.get_launch(view.backfill_id).get("module")
    return view_json(view) | {"error": error, "module": module}


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
    """Returns what the runs of a backfill did over time: how many started, ended and failed, and in lanes."""
    backend, backfill_id = call.backend, call.path["id"]
    view = view_of(backend, backfill_id)
    key = (backfill_id, view.status, view.num_ended)
    known = backend.known_activity.get(backfill_id)
    # What has ended stays as it is.
    if known is None or known[0] != key or view.status == "in_progress":
        found = _activity(backend, backfill_id) | {"num_runs": view.num_runs}
        backend.remember_activity(backfill_id, (key, found))
        return found
    return known[1]


def _activity(backend: Backend, backfill_id: str) -> dict[str, Any]:
    own = backend.client.get_activity(backfill_id, intervals=_BINS, max_lanes=_LANES)
    storage = backend.client.storage
    longest = []
    for run in own.longest:
        record = storage.get_run(run.run_id) if run.failed else None
        longest.append(
            {
                "run": run.run,
                "run_id": run.run_id,
                "status": "failed" if run.failed else "completed",
                "started_at": plain(run.started_at),
                "duration": run.seconds,
                "error": None if record is None else record.error,
            }
        )
    return {
        "start": plain(own.start),
        "end": plain(own.end),
        "seconds": (own.end - own.start).total_seconds() / _BINS,
        "bins": [list(pair) for pair in zip(own.ended, own.failed, strict=True)],
        "started": own.started,
        "busy": own.busy,
        "lanes": None
        if own.lanes is None
        else [base64.b64encode(lane).decode() for lane in own.lanes],
        "num_lanes": own.num_lanes,
        "longest": longest,
        "waiting": [plain(dataclasses.asdict(run)) for run in own.waiting],
    }


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
    if body.range is None or isinstance(body.range, str):
        definition = partition_definition(repository, body.selection)
        where = partitions_of(body.range or "", definition.dimension_names())
    else:
        where = {"partition_range": range_of(body.range)}
    result = repository.backfill(
        body.selection,
        **where,
        max_concurrency=body.max_concurrency,
        tags=list(body.tags.items()) or None,
        block=False,
        dry_run=body.dry_run,
        only_missing=body.only_missing,
        only_stale=body.only_stale,
        include_upstream=body.include_upstream,
        include_downstream=body.include_downstream,
    )
    return result_json(result)


def partitions_of(text: str, dimensions: Sequence[str]) -> dict[str, Any]:
    """Returns the partitions that a text names as an argument of the repository's methods."""
    if not dimensions and "," in text:
        keys = part_of_text(text.strip().removeprefix("partition="))
        if isinstance(keys, list):
            return {"partition_keys": [PartitionKey.single(keys)]}
    return {"partition_range": range_of_text(text, dimensions)}


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
