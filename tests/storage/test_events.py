"""Events, progress and the other records of runs, derived from what is recorded anyway."""

import pickle
import time

import pytest
from tests.support import TIMEOUT, key, keys, letters, repository, run_script, wait_until

import rivers as rs
from rivers.exceptions import ConfigurationError

BATCHED = rs.BackfillStrategy.single_run()
PAIRS = rs.PartitionsDefinition.multi(
    {
        "date": rs.PartitionsDefinition.static_(["mon", "tue"]),
        "region": rs.PartitionsDefinition.static_(["eu", "us"]),
    }
)


def pair(date, region):
    return rs.PartitionKey.multi({"date": date, "region": region})


def shown(events):
    """Returns type, asset and partition of each event."""
    return [
        (event.event_type, event.asset_key, event.partition_key and str(event.partition_key))
        for event in events
    ]


def test_an_event_has_the_fields_of_its_record(repo):
    @rs.Asset(code_version="7", partitions_def=letters(2))
    def table(context) -> None:
        context.add_output_metadata({"rows": 5})

    repo = repo(table)
    before = time.time_ns()
    run_id = repo.backfill(partition_keys=keys("a")).run_ids[0]
    start, made, end = repo.storage.get_events_for_run(run_id)
    assert [event.event_type for event in (start, made, end)] == [
        "StepStart", "Materialization", "StepSuccess",
    ]  # fmt: skip
    assert {type(event) for event in (start, made, end)} == {rs.StoredEvent}
    assert len({start.id, made.id, end.id}) == 3
    assert isinstance(made.id, str)
    assert made.asset_key == "table"
    assert made.run_id == run_id
    assert made.partition_key == key("a")
    assert (start.partition_key, end.partition_key) == (None, None)
    assert isinstance(made.timestamp, int)
    assert before - 1_000 <= start.timestamp <= made.timestamp <= time.time_ns()
    assert made.metadata == [("rows", "5")]
    assert (made.data_version, made.code_version, made.input_data_versions) == (None, "7", [])
    assert start.metadata == []
    assert pickle.loads(pickle.dumps(made)) == made


def test_events_of_an_asset_come_newest_first_and_those_of_a_run_oldest_first(repo):
    @rs.Asset(partitions_def=letters(3))
    def table():
        return 1

    repo = repo(table)
    storage = repo.storage
    first = repo.backfill(partition_keys=keys("a", "b"), strategy=BATCHED).run_ids[0]
    second = repo.materialize(partition_key=key("c")).run_id
    of_runs = storage.get_events_for_run(first) + storage.get_events_for_run(second)
    assert shown(of_runs) == [
        ("StepStart", "table", None),
        ("Materialization", "table", "a"),
        ("Materialization", "table", "b"),
        ("StepSuccess", "table", None),
        ("StepStart", "table", None),
        ("Materialization", "table", "c"),
        ("StepSuccess", "table", None),
    ]
    assert storage.get_events_for_asset("table") == of_runs[::-1]
    for limit in range(9):
        assert storage.get_events_for_asset("table", limit=limit) == of_runs[::-1][:limit]
    assert storage.get_events_for_asset("table", 1) == [of_runs[-1]]
    with pytest.raises(ConfigurationError):
        storage.get_events_for_asset("table", limit=-1)


def test_unknown_names_have_no_events(repo):
    storage = repo(letters(1)).storage
    assert storage.get_events_for_asset("other") == storage.get_events_for_run("other.0") == []
    assert storage.get_events_for_run("nonsense") == []
    assert storage.get_latest_materialization("other") is None
    assert storage.get_run_progress("other.0") == (0, 0)


def test_only_the_newest_runs_are_looked_at_among_many(repo):
    @rs.Asset(partitions_def=letters(26))
    def table():
        return 1

    repo = repo(table)
    repo.backfill(partition_range=rs.PartitionKeyRange.single("a", "z"))
    everything = repo.storage.get_events_for_asset("table", limit=1_000)
    assert len(everything) == 3 * 26
    times = [event.timestamp for event in everything]
    assert times == sorted(times, reverse=True)
    few = repo.storage.get_events_for_asset("table", limit=5)
    assert [event.timestamp for event in few] == times[:5]
    assert len(repo.storage.get_events_for_asset("table")) == 78


def test_a_step_that_raised_has_one_failure_with_all_partitions_of_its_run(repo):
    @rs.Asset(partitions_def=PAIRS)
    def table():
        raise ValueError("boom")

    @rs.Asset(partitions_def=PAIRS)
    def below(table):
        return 1

    @rs.Asset
    def alone():
        raise KeyError("k")

    repo = repo(table, below, alone)
    launched = repo.backfill(
        ["table", "below"],
        partition_range=rs.PartitionKeyRange.multi({"region": ["us", "eu"], "date": ["tue"]}),
        strategy=BATCHED,
    )
    events = repo.storage.get_events_for_run(launched.run_ids[0])
    assert [(event.event_type, event.asset_key) for event in events] == [
        ("StepStart", "table"),
        ("StepFailure", "table"),
    ]
    failure = events[1]
    assert failure.partition_key == pair("tue", ["eu", "us"])
    assert failure.metadata == [("error", "ValueError: boom")]
    assert repo.storage.get_events_for_asset("below") == []
    repo.materialize(["alone"], raise_on_error=False)
    failure = repo.storage.get_events_for_asset("alone", limit=1)[0]
    assert (failure.event_type, failure.partition_key) == ("StepFailure", None)
    assert failure.metadata == [("error", "KeyError: 'k'")]


def test_no_key_stands_for_partitions_that_are_no_product(repo):
    @rs.Asset(partitions_def=PAIRS)
    def table():
        raise ValueError("boom")

    repo = repo(table)
    sparse = [pair("mon", "eu"), pair("tue", "us")]
    run_id = repo.backfill(partition_keys=sparse, strategy=BATCHED).run_ids[0]
    assert repo.storage.get_events_for_run(run_id)[-1].partition_key is None
    assert repo.storage.get_run(run_id).partition_key is None


@pytest.mark.parametrize("given", ["empty", ValueError("empty")])
def test_each_marked_partition_has_a_failure_for_each_output(repo, given):
    @rs.Asset.from_multi(
        output_defs=[rs.AssetDef("x"), rs.AssetDef("y")], partitions_def=letters(3)
    )
    def both(context):
        context.mark_partition_failed(key("b"), given)
        return {"x": 1, "y": 2}

    repo = repo(both)
    run_id = repo.backfill(partition_keys=keys("a", "b"), strategy=BATCHED).run_ids[0]
    events = repo.storage.get_events_for_run(run_id)
    expected = [
        ("StepStart", None),
        ("Materialization", "a"),
        ("StepFailure", "b"),
        ("StepSuccess", None),
    ]
    for name in ("x", "y"):
        own = [event for event in events if event.asset_key == name]
        assert [(kind, partition) for kind, _, partition in shown(own)] == expected
        assert own[2].metadata == [("error", "empty" if given == "empty" else "ValueError: empty")]
    assert repo.storage.get_run_progress(run_id) == (1, 1)


def test_each_attempt_starts_and_is_followed_by_a_retry_or_the_end(repo):
    @rs.Asset
    def first():
        return 1

    @rs.Asset(retry=rs.RetryPolicy(max_retries=2))
    def second(context, first):
        if context.attempt < 3:
            raise OSError(f"away {context.attempt}")
        return 1

    repo = repo(first, second)
    run_id = repo.materialize().run_id
    events = repo.storage.get_events_for_run(run_id)
    assert [event.event_type for event in events if event.asset_key == "second"] == [
        "StepStart", "StepRetry", "StepStart", "StepRetry", "StepStart", "Materialization", "StepSuccess",
    ]  # fmt: skip
    retries = [event for event in events if event.event_type == "StepRetry"]
    assert [event.metadata for event in retries] == [
        [("error", "OSError: away 1")],
        [("error", "OSError: away 2")],
    ]
    times = [event.timestamp for event in events]
    assert times == sorted(times)
    assert len({event.id for event in events}) == len(events)


def test_the_latest_materialization_is_that_of_the_partition_with_the_text(repo):
    @rs.Asset(partitions_def=PAIRS)
    def table(context) -> None:
        context.add_output_metadata({"run": context.run_id})

    repo = repo(table)
    every = rs.PartitionKeyRange.multi({})
    first = repo.backfill(partition_range=every, strategy=BATCHED).run_ids[0]
    second = repo.materialize(partition_key=pair("mon", "us")).run_id
    latest = repo.storage.get_latest_materialization
    assert latest("table").run_id == latest("table", "date=mon|region=us").run_id == second
    assert latest("table", partition="date=tue|region=us").run_id == first
    assert latest("table", "date=mon|region=us").metadata == [("run", second)]
    assert latest("table", "date=mon|region=us").partition_key == pair("mon", "us")
    for unknown in ("date=sun|region=us", "mon", "date=mon", "", "a=1|b=2"):
        assert latest("table", unknown) is None


def test_a_failure_does_not_hide_the_materialization_before_it(repo):
    answers = iter([1, ValueError("boom")])

    @rs.Asset(partitions_def=letters(2))
    def table():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    repo = repo(table)
    first = repo.materialize(partition_key=key("a")).run_id
    repo.materialize(partition_key=key("a"), raise_on_error=False)
    assert repo.storage.get_latest_materialization("table", "a").run_id == first
    assert repo.storage.get_latest_materialization("table").run_id == first
    assert repo.storage.get_latest_materialization("table", "b") is None


def test_unpartitioned_assets_have_materializations_without_a_partition(repo):
    @rs.Asset
    def up():
        return 1

    @rs.Asset(partitions_def=letters(2))
    def down(up):
        return 1

    repo = repo(up, down)
    run_id = repo.materialize(partition_key=key("b")).run_id
    made = [
        (event.asset_key, event.partition_key)
        for event in repo.storage.get_events_for_run(run_id)
        if event.event_type == "Materialization"
    ]
    assert made == [("up", None), ("down", key("b"))]
    assert repo.storage.get_latest_materialization("up").run_id == run_id
    assert repo.storage.get_latest_materialization("up", "b") is None


def test_a_run_in_flight_has_started_and_ended_no_step(tmp_path):
    gate, storage = tmp_path / "gate", rs.Storage.embedded(tmp_path / "r.db")

    @rs.Asset(partitions_def=letters(2))
    def table():
        wait_until(gate.exists)
        return 1

    with repository(table, storage=storage) as repo:
        launched = repo.backfill(partition_keys=keys("a", "b"), max_concurrency=1, block=False)
        first, second = launched.run_ids
        wait_until(lambda: storage.get_run(first).status == "running")
        assert shown(storage.get_events_for_run(first)) == [("StepStart", "table", None)]
        assert storage.get_events_for_run(second) == []
        assert storage.get_run_progress(first) == (0, 1)
        running, waiting = storage.get_run(first), storage.get_run(second)
        assert running.start_time > 0
        assert running.end_time is None
        assert running.block_reason is None
        assert (waiting.start_time, waiting.end_time) == (0, None)
        assert "1" in waiting.block_reason
        repo.pause_backfill(launched.backfill_id)
        assert "paused" in storage.get_run(second).block_reason
        repo.unpause_backfill(launched.backfill_id)
        gate.touch()
        repo.wait_backfill(launched.backfill_id, timeout=TIMEOUT)
        assert storage.get_run(second).block_reason is None


def test_a_multi_asset_is_one_step_and_partitions_are_not_counted(repo):
    @rs.Asset.from_multi(
        output_defs=[rs.AssetDef("x"), rs.AssetDef("y")], partitions_def=letters(3)
    )
    def both():
        return {"x": 1, "y": 2}

    @rs.Asset(partitions_def=letters(3))
    def below(x):
        raise ValueError("boom")

    repo = repo(both, below)
    launched = repo.backfill(partition_keys=keys("a", "b", "c"), strategy=BATCHED)
    assert repo.storage.get_run_progress(launched.run_ids[0]) == (2, 2)


def test_a_run_record_has_one_key_and_times_in_nanoseconds(repo):
    @rs.Asset(partitions_def=PAIRS)
    def table():
        return 1

    @rs.Asset
    def alone():
        return 1

    repo = repo(table, alone)
    before = time.time_ns()
    several = pair(["mon", "tue"], "us")
    run = repo.storage.get_run(repo.materialize(["table"], several).run_id)
    assert run.partition_key == several
    assert before - 1_000 <= run.start_time <= run.end_time <= time.time_ns()
    assert run.start_time == int(run.started_at.timestamp() * 1_000_000) * 1_000
    assert (run.job_name, run.block_reason) == (None, None)
    run = repo.storage.get_run(repo.materialize(["alone"]).run_id)
    assert run.partition_key is None


def test_what_launched_a_run_can_be_compared(repo):
    repo = repo(letters(2))
    launched = repo.backfill(partition_keys=keys("a"))
    run_id = repo.materialize(partition_key=key("b")).run_id
    by = repo.storage.get_run(launched.run_ids[0]).launched_by
    assert by == rs.LaunchedBy.backfill(launched.backfill_id) != rs.LaunchedBy.backfill("other")
    assert (by.name, by.user, by.kind) == (None, None, "backfill")
    by = repo.storage.get_run(run_id).launched_by
    assert by == rs.LaunchedBy.manual()
    assert (by.name, by.user) == (None, None)


def test_another_process_derives_the_events_that_this_one_does(tmp_path):
    @rs.Asset(partitions_def=letters(3))
    def table(context):
        context.mark_partition_failed("b", "empty")

    with repository(table, storage=rs.Storage.embedded(tmp_path / "r.db")) as repo:
        repo.backfill(partition_keys=keys("a", "b", "c"), strategy=BATCHED)
        here = [event.id for event in repo.storage.get_events_for_asset("table")]
    code = """
import sys, rivers as rs
storage = rs.Storage.open(sys.argv[1], read_only=True)
print([event.id for event in storage.get_events_for_asset("table")])
"""
    done = run_script(code, tmp_path / "r.db")
    assert done.stdout.strip() == str(here), done.stderr
