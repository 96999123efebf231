"""Failures grouped by error, reruns by error type, rates and estimates."""

import contextlib
import sqlite3

import pytest

import rivers as rs
from rivers import PartitionKey, PartitionKeyRange, PartitionsDefinition
from rivers.exceptions import BackfillNotFoundError, ConfigurationError

NUMBERS = PartitionsDefinition.static_([str(number) for number in range(8)])
SINGLE_RUN = rs.BackfillStrategy.single_run()


def fail(context):
    number = int(context.partition_key)
    if number < 3:
        raise ValueError(f"the row {number * 10} is broken")
    if number == 3:
        raise KeyError("price")


@pytest.fixture
def failed(repo):
    repository = repo(rs.Asset(fail, name="x", partitions_def=NUMBERS))
    everything = PartitionKeyRange.single("0", "7")
    return repository, repository.backfill(partition_range=everything, max_concurrency=1)


def error_rows(errors):
    return errors.select("error_type", "message", "count").rows()


def test_errors_are_grouped_by_what_does_not_vary(failed):
    repository, result = failed
    errors = repository.backfill_errors(result.backfill_id)
    assert error_rows(errors) == [("ValueError", "the row … is broken", 3), ("KeyError", "…", 1)]
    assert errors["partition"].to_list() == ["0", "3"]
    assert "the row 0 is broken" in errors["traceback"][0]
    runs = repository.backfill_runs(result.backfill_id, status="failed")["ended_at"].to_list()
    assert errors["first_at"].to_list() == [runs[0], runs[3]]
    assert errors["last_at"].to_list() == [runs[2], runs[3]]


def test_errors_count_each_partition_of_a_run_for_its_first_error(repo):
    def some(context):
        for key in context.partition.keys[1:3]:
            context.mark_partition_failed(key, "empty")

    def rest():
        raise ValueError("broken")

    assets = [
        rs.Asset(some, name="a", partitions_def=NUMBERS),
        rs.Asset(rest, name="b", partitions_def=NUMBERS),
    ]
    repository = repo(*assets)
    result = repository.backfill(
        partition_range=PartitionKeyRange.single("0", "7"), strategy=SINGLE_RUN
    )
    errors = repository.backfill_errors(result.backfill_id)
    assert [row[1:] for row in error_rows(errors)] == [("broken", 6), ("empty", 2)]
    assert errors["partition"].to_list() == ["0", "1"]
    assert errors["count"].sum() == result.failed == 8
    again = repository.rerun_backfill(result.backfill_id, error_type="ValueError", dry_run=True)
    assert [key.key for key in again.partition_keys] == [[key] for key in "034567"]


def test_errors_of_a_backfill_without_any_is_an_empty_table(repo, recording):
    asset, _ = recording(NUMBERS)
    repository = repo(asset)
    result = repository.backfill(partition_keys=[PartitionKey.single("1")])
    errors = repository.backfill_errors(result.backfill_id)
    assert errors.height == 0
    assert errors.columns[:3] == ["error_type", "message", "count"]
    with pytest.raises(ConfigurationError, match="none failed"):
        repository.rerun_backfill(result.backfill_id, error_type="ValueError")


def test_errors_of_an_unknown_backfill(failed):
    with pytest.raises(BackfillNotFoundError, match="there is no backfill 'nothing'"):
        failed[0].backfill_errors("nothing")


def test_rerun_of_one_error_type_takes_only_what_failed_with_it(failed):
    repository, result = failed
    again = repository.rerun_backfill(result.backfill_id, error_type="ValueError")
    assert [key.key for key in again.partition_keys] == [["0"], ["1"], ["2"]]
    assert again.failed == 3


@pytest.mark.parametrize("error_type", ["valueerror", "", 1])
def test_rerun_of_an_unknown_error_type_is_refused_with_those_there_are(failed, error_type):
    repository, result = failed
    with pytest.raises(ConfigurationError, match="the types are 'KeyError', 'ValueError'"):
        repository.rerun_backfill(result.backfill_id, error_type=error_type)
    assert repository.backfills().height == 1


def test_failures_that_were_recorded_before_there_were_families_are_folded_too(tmp_path, repo):
    storage = rs.Storage.embedded(tmp_path / "rivers.db")
    repository = repo(rs.Asset(fail, name="x", partitions_def=NUMBERS), storage=storage)
    everything = PartitionKeyRange.single("0", "7")
    result = repository.backfill(partition_range=everything, max_concurrency=1)
    errors = repository.backfill_errors(result.backfill_id)
    again = repository.rerun_backfill(result.backfill_id, error_type="ValueError", dry_run=True)
    with contextlib.closing(sqlite3.connect(tmp_path / "rivers.db")) as database:
        database.execute("UPDATE failure SET family = NULL WHERE run > 0")
        database.commit()
    assert repository.backfill_errors(result.backfill_id).equals(errors)
    later = repository.rerun_backfill(result.backfill_id, error_type="ValueError", dry_run=True)
    assert later.partition_keys == again.partition_keys


def test_a_dry_run_estimates_its_duration(repo, recording):
    asset, _ = recording(NUMBERS)
    repository = repo(asset)
    everything = PartitionKeyRange.single("0", "7")

    def estimate(**options):
        planned = repository.backfill(partition_range=everything, dry_run=True, **options)
        return planned.estimate

    assert estimate() is None
    result = repository.backfill(partition_range=everything, strategy=SINGLE_RUN)
    assert result.estimate is None
    (took,) = repository.backfill_runs(result.backfill_id)["duration"]
    seconds = took.total_seconds()
    assert estimate(max_concurrency=1) == pytest.approx(seconds)
    assert estimate(max_concurrency=3) == pytest.approx(
        seconds / 8 * 3
    )  # Three rounds with one run each.
    assert estimate(strategy=SINGLE_RUN) == pytest.approx(seconds)
    everything = PartitionKeyRange.single("0", "1")
    assert estimate(max_concurrency=1) == pytest.approx(seconds / 4)


def test_an_estimate_knows_the_bounds_of_the_repository(repo, recording):
    asset, _ = recording(NUMBERS)
    repository = repo(asset, run_queue=rs.RunQueueConfig(max_concurrent_runs=2))
    everything = PartitionKeyRange.single("0", "7")
    result = repository.backfill(partition_range=everything, strategy=SINGLE_RUN)
    (took,) = repository.backfill_runs(result.backfill_id)["duration"]
    planned = repository.backfill(partition_range=everything, max_concurrency=8, dry_run=True)
    assert planned.estimate == pytest.approx(took.total_seconds() / 2)


def test_a_live_status_has_a_rate_and_an_end(repo):
    seen = []

    def look(context):
        if context.partition_key == "6":
            backfill_id = context.run_id.split(".")[0]
            while repository.get_backfill(backfill_id).completed_partitions < 6:
                pass
            status = repository.get_backfill(backfill_id)
            seen.append((status.rate, status.eta))

    repository = repo(rs.Asset(look, name="x", partitions_def=NUMBERS))
    everything = PartitionKeyRange.single("0", "7")
    result = repository.backfill(partition_range=everything, max_concurrency=1)
    ((rate, eta),) = seen
    assert rate > 0
    assert eta == pytest.approx(2 / rate)
    ended = repository.get_backfill(result.backfill_id)
    assert (ended.rate, ended.eta) == (None, None)
