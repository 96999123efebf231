"""Code written for the package `rivers` 0.6 finds what its runs have recorded."""

import time

import pytest
from tests.support import keys, letters

import rivers as rs

AB, ABC = letters(2), letters(3)
A, B, C = keys("a", "b", "c")
GRID = rs.PartitionsDefinition.multi({"date": rs.PartitionsDefinition.static_(["1"]), "region": AB})


def steps(repo):
    """A repository with an asset that marks `b` and retries, and a multi-asset that fails."""
    calls = []

    @rs.Asset(partitions_def=ABC, code_version="v1", retry=rs.RetryPolicy(max_retries=1))
    def one(context: rs.AssetExecutionContext):
        calls.append(1)
        if len(calls) == 1:
            raise OSError("away")
        context.mark_partition_failed(B, "no data")
        context.add_output_metadata({"rows": 5, "name": "x"})
        return 1

    @rs.Asset.from_multi(output_defs=[rs.AssetDef("x"), rs.AssetDef("y")], partitions_def=ABC)
    def several():
        raise ValueError("boom")

    @rs.Asset
    def plain():
        raise KeyError("k")

    return repo(one, several, plain)


def kinds(events):
    return [(event.event_type, event.asset_key, event.partition_key) for event in events]


def test_the_events_of_a_step(repo):
    repository = steps(repo)
    whole = rs.BackfillStrategy.single_run()
    before = time.time_ns()
    run = repository.backfill(["one"], [A, B, C], strategy=whole).run_ids[0]
    events = repository.storage.get_events_for_run(run)
    found = kinds(events)
    assert [kind for kind, _, _ in found].count("StepStart") >= 1
    assert ("StepRetry", "one", None) in found
    assert {("Materialization", "one", A), ("Materialization", "one", C)} <= set(found)
    assert ("StepFailure", "one", B) in found
    (mark,) = [event for event in events if event.event_type == "StepFailure"]
    assert ("error", "no data") in mark.metadata
    stored = next(event for event in events if event.event_type == "Materialization")
    assert {("rows", "5"), ("name", "x")} <= set(stored.metadata)
    assert (stored.run_id, stored.code_version) == (run, "v1")
    assert (stored.data_version, bool(stored.input_data_versions)) == (None, False)
    assert type(stored.timestamp) is int
    assert len({event.id for event in events}) == len(events)
    assert [event.timestamp for event in events] == sorted(event.timestamp for event in events)
    assert before > 0
    newest = repository.storage.get_events_for_asset("one")
    assert {event.id for event in newest} == {event.id for event in events}
    times = [event.timestamp for event in newest]
    assert times == sorted(times, reverse=True)
    assert len(repository.storage.get_events_for_asset("one", limit=2)) == 2
    assert repository.storage.get_events_for_asset("nothing") == []
    assert repository.storage.get_events_for_run("nothing") == []


def test_the_events_of_failures(repo):
    repository = steps(repo)
    whole = rs.BackfillStrategy.single_run()
    run = repository.backfill(["x", "y"], [A, C], strategy=whole).run_ids[0]
    failures = [
        event
        for event in repository.storage.get_events_for_run(run)
        if event.event_type == "StepFailure"
    ]
    assert {event.partition_key for event in failures} == {rs.PartitionKey.single(["a", "c"])}
    assert {dict(event.metadata)["error"] for event in failures} == {"ValueError: boom"}
    result = repository.materialize(["plain"], raise_on_error=False)
    (failure,) = [
        event
        for event in repository.storage.get_events_for_run(result.run_id)
        if event.event_type == "StepFailure"
    ]
    assert (failure.partition_key, dict(failure.metadata)["error"]) == (None, "KeyError: 'k'")


def test_the_latest_materialization(repo):
    repository = repo(rs.Asset(lambda: 1, name="g", partitions_def=GRID))
    get = repository.storage.get_latest_materialization
    assert get("g") is None
    for region in ("a", "b"):
        repository.backfill(["g"], [rs.PartitionKey.multi({"date": "1", "region": region})])
    assert get("g").event_type == "Materialization"
    assert get("g").partition_key.keys["region"] == ["b"]
    assert get("g", "date=1|region=a").partition_key.keys["region"] == ["a"]
    assert get("g", partition="date=1|region=z") is None
    assert get("nothing") is None


def test_the_progress_of_a_run(repo):
    repository = steps(repo)
    progress = repository.storage.get_run_progress
    run = repository.backfill(["one", "x", "y"], [A], max_concurrency=1).run_ids[0]
    assert progress(run) == (2, 2)
    assert progress("nothing") == (0, 0)


def test_the_record_of_a_run(repo):
    repository = steps(repo)
    storage = repository.storage
    before = time.time_ns()
    whole = rs.BackfillStrategy.single_run()
    backfill = repository.backfill(["one"], [A, C], strategy=whole)
    record = storage.get_run(backfill.run_ids[0])
    assert record.partition_key == rs.PartitionKey.single(["a", "c"])
    assert (type(record.start_time), type(record.end_time)) == (int, int)
    assert record.start_time <= record.end_time
    assert (record.job_name, record.block_reason) == (None, None)
    assert record.launched_by == rs.LaunchedBy.backfill(backfill.backfill_id)
    by_hand = storage.get_run(repository.materialize(["plain"], raise_on_error=False).run_id)
    assert by_hand.launched_by == rs.LaunchedBy.manual()
    assert (by_hand.partition_key, before > 0) == (None, True)
    assert (rs.LaunchedBy.manual().name, rs.LaunchedBy.manual().user) == (None, None)


def test_a_run_without_one_key_has_none(repo):
    repository = repo(
        rs.Asset(
            lambda: 1, name="g", partitions_def=rs.PartitionsDefinition.multi({"x": AB, "y": AB})
        )
    )
    sparse = [rs.PartitionKey.multi({"x": n, "y": n}) for n in "ab"]
    whole = rs.BackfillStrategy.single_run()
    run = repository.backfill(["g"], sparse, strategy=whole).run_ids[0]
    assert repository.storage.get_run(run).partition_key is None


@pytest.mark.parametrize("kind", ["StepStart", "StepSuccess", "StepRetry"])
def test_events_of_steps_have_no_partition(repo, kind):
    repository = steps(repo)
    repository.backfill(["one"], [A, B], strategy=rs.BackfillStrategy.single_run())
    found = kinds(repository.storage.get_events_for_asset("one"))
    assert (kind, "one", None) in found
