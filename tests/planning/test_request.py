"""`BackfillRequest`: one place for all options, which storing and reading back keeps."""

import dataclasses
import inspect

import pytest
from tests.support import letters

import rivers as rs
from rivers.exceptions import ConfigurationError
from rivers.planning.request import BackfillOptions, BackfillRequest, Keeping

STORED = {
    "failure_policy": "stop_on_failure",
    "max_concurrency": 7,
    "tags": [("team", "data"), ("rivers/priority", "3")],
    "config": {"x": {"depth": 2}},
    "retry": rs.RetryPolicy(2, backoff=rs.Backoff.constant(0.5), retry_on=[OSError]),
    "max_failures": 5,
    "max_starts_per_second": 20,
    "overlap": "refuse",
    "canary": 2,
    "timeout": 30,
}
PLANNED = {
    "partition_keys", "partition_range", "strategy", "only_missing", "include_upstream",
    "include_downstream", "order",
}  # fmt: skip
"""Options that are stored as the plan that they lead to."""


def test_the_options_are_the_same_in_all_places():
    arguments = set(inspect.signature(rs.CodeRepository.backfill).parameters) - {"self", "block"}
    assert set(BackfillOptions.__annotations__) == arguments
    fields = {field.name for field in dataclasses.fields(BackfillRequest)}
    assert fields - {"rerun_of", "priority"} == arguments - {"dry_run"}
    assert fields - {"rerun_of", "priority", "selection"} == STORED.keys() | PLANNED


def test_the_defaults_of_a_request_are_those_of_backfill():
    parameters = inspect.signature(rs.CodeRepository.backfill).parameters
    for field in dataclasses.fields(BackfillRequest):
        if field.name not in {"rerun_of", "priority"}:
            assert field.default == parameters[field.name].default, field.name


@pytest.mark.parametrize("max_failures", [None, 5, 0.25])
def test_a_stored_request_is_read_back_as_it_was(max_failures):
    asset = rs.Asset(lambda: None, name="x", partitions_def=letters(3))
    nodes = list(rs.CodeRepository([asset])._graph.nodes.values())
    config = '{"x": {"depth": 2}}'
    request = BackfillRequest(["x"], **{**STORED, "max_failures": max_failures})
    read = BackfillRequest.from_json(request.to_json(nodes, config, [Keeping("stored", None)], 0))
    assert read == request
    assert type(read.max_failures) is type(max_failures)
    again = BackfillRequest.from_json(
        request.rerun_options("0190").to_json(nodes, config, [Keeping("stored", None)], 0)
    )
    assert again == dataclasses.replace(request, rerun_of="0190")


def test_every_option_that_a_backfill_stores_is_read_back(repo):
    asset = rs.Asset(lambda: None, name="x", partitions_def=letters(3))
    repository = repo(asset)
    options = {name: value for name, value in STORED.items() if name != "config"}
    launched = repository.backfill(partition_keys=letters(3).select(), **options)
    read = BackfillRequest.from_json(repository.storage._store.request(launched.backfill_id))
    assert read == BackfillRequest(selection=["x"], **options)


def test_a_request_cannot_be_changed_or_hold_a_wrong_value():
    request = BackfillRequest()
    with pytest.raises(dataclasses.FrozenInstanceError):
        request.canary = 3
    with pytest.raises(ConfigurationError, match="overlap must be one of"):
        dataclasses.replace(request, overlap="forbid")
