"""Endpoints for runs and their events."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from rivers.ui import schemas
from rivers.ui.encoding import MAX_KEYS, event_json, run_json
from rivers.ui.endpoints import Endpoint
from rivers.ui.errors import RequestError

if TYPE_CHECKING:
    from rivers.storage.run_record import RunRecord
    from rivers.ui.endpoints import Call


def list_runs(call: Call) -> Any:
    """Lists the latest runs that have started."""
    query: schemas.RunsQuery = call.query
    runs = call.backend.client.get_runs(limit=query.limit, status=query.status)
    return [run_json(run) for run in runs]


def get_run(call: Call) -> Any:
    """Returns a run: its partitions, and how far it is."""
    run = _run(call)
    storage = call.backend.client.storage
    ended, steps = storage.get_run_progress(run.run_id)
    keys = [str(key) for key in islice(run.partition_keys, MAX_KEYS)]
    count = {"num_partitions": len(run.partition_keys), "partition_keys": keys}
    return run_json(run) | count | {"steps_ended": ended, "steps": steps}


def run_events(call: Call) -> Any:
    """Returns what happened in a run: steps, retries, materializations with metadata, failures."""
    run = _run(call)
    return [
        event_json(event) for event in call.backend.client.storage.get_events_for_run(run.run_id)
    ]


def run_error(call: Call) -> Any:
    """Returns the traceback of the error that a run's failure is grouped under, if it is known."""
    run = _run(call)
    if run.error is None or run.launched_by.backfill_id is None:
        return {"error": run.error, "traceback": None}
    groups = call.backend.client.backfill_errors(run.launched_by.backfill_id)
    kind = run.error.split(":", 1)[0].strip()
    fitting = groups.filter(groups["error_type"] == kind) if groups.height else groups
    chosen = (fitting if fitting.height else groups).head(1).to_dicts()
    return {"error": run.error, "traceback": chosen[0]["traceback"] if chosen else None}


def _run(call: Call) -> RunRecord:
    run_id = call.path["run_id"]
    run = call.backend.client.storage.get_run(run_id)
    if run is None:
        raise RequestError(404, f"there is no run {run_id!r}")
    return run


ENDPOINTS = [
    Endpoint("GET", "/runs", "Lists the latest runs.", list_runs, query=schemas.RunsQuery),
    Endpoint("GET", "/runs/{run_id}", "Returns a run.", get_run),
    Endpoint("GET", "/runs/{run_id}/events", "Returns the events of a run.", run_events),
    Endpoint("GET", "/runs/{run_id}/error", "Returns the error of a run.", run_error),
]
