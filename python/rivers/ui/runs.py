"""Endpoints for runs: how far they are, what they load, what they logged, and why they failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rivers.exceptions import PartitionValidationError
from rivers.repository.internals import run_inputs
from rivers.storage.kept_logs import file_of, read_kept
from rivers.storage.location import StorageLocation
from rivers.ui import schemas
from rivers.ui.encoding import MAX_KEYS, event_json, plain, run_json
from rivers.ui.endpoints import Endpoint
from rivers.ui.errors import RequestError

if TYPE_CHECKING:
    from rivers._rivers import Selection
    from rivers.storage.run_record import RunRecord
    from rivers.ui.endpoints import Call

_MAX_INPUT_KEYS = 20
"""Maximum number of keys of an input that a response lists."""


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
    partitions = _keys_json(storage.get_run_partitions(run.run_id), MAX_KEYS)
    return run_json(run) | partitions | {"steps_ended": ended, "steps": steps}


def _keys_json(partitions: Selection | None, most: int) -> dict[str, Any]:
    """Returns a number of partitions and the first of their keys."""
    count = 0 if partitions is None else partitions.num_partitions
    keys = [] if partitions is None else [partitions.text(at) for at in range(min(count, most))]
    return {"num_partitions": count, "partition_keys": [key for key in keys if key]}


def run_events(call: Call) -> Any:
    """Returns what happened in a run: steps, retries, materializations with metadata, failures."""
    run = _run(call)
    return [
        event_json(event) for event in call.backend.client.storage.get_events_for_run(run.run_id)
    ]


def run_error(call: Call) -> Any:
    """Returns every error of a run, those of attempts that were retried first, with their tracebacks."""
    run = _run(call)
    errors: list[dict[str, Any]] = plain(call.backend.client.get_run_errors(run.run_id))
    final = [error for error in errors if error["attempt"] is None]
    return {
        "error": run.error,
        "traceback": final[0]["traceback"] if final else None,
        "errors": errors,
    }


def run_log(call: Call) -> Any:
    """Returns the log lines of a run that were kept, the last ones."""
    query: schemas.LogQuery = call.query
    run = _run(call)
    backfill_id, _, _ = run.run_id.rpartition(".")
    location = StorageLocation.parse(call.backend.client.storage.path)
    kept = read_kept(file_of(location.log_folder, backfill_id), {run.run_id})
    return kept[-query.limit :]


def list_inputs(call: Call) -> Any:
    """Returns what the assets of a run load: upstream assets, and the partitions that they need of these."""
    run = _run(call)
    partitions = call.backend.client.storage.get_run_partitions(run.run_id)
    if partitions is None:
        return []
    try:
        inputs = run_inputs(call.backend.assets(), run.node_names, partitions)
    except PartitionValidationError as error:
        # The assets have changed since the run was planned.
        raise RequestError(409, error.message) from None
    return [
        {
            "asset": own.asset,
            "upstream": own.upstream,
            "in_run": own.upstream in run.node_names,
            **_keys_json(own.partitions, _MAX_INPUT_KEYS),
        }
        for own in inputs
    ]


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
    Endpoint("GET", "/runs/{run_id}/error", "Returns the errors of a run.", run_error),
    Endpoint("GET", "/runs/{run_id}/log", "Returns kept log lines of a run.", run_log,
             query=schemas.LogQuery),
    Endpoint("GET", "/runs/{run_id}/inputs", "Returns what a run loads.", list_inputs,
             needs_module=True),
]  # fmt: skip
