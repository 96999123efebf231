"""`BackfillResult` and `BackfillStatus`: statuses, counts, ids and errors."""

import dataclasses
import pickle
import sqlite3
import threading

import pytest
from tests.support import counts

import rivers as rs
from rivers import PartitionKey, PartitionKeyRange, PartitionsDefinition
from rivers.exceptions import ExecutionError

REGIONS = PartitionsDefinition.static_(["us", "eu", "asia"])
ALL = PartitionKeyRange.single("us", "asia")
HOURS = PartitionsDefinition.hourly("1900-01-01", end="2100-01-01")
HUGE = PartitionsDefinition.multi({"a": HOURS, "b": HOURS})


@pytest.fixture
def failing():
    """Makes an asset that fails for some regions."""

    def make(*regions):
        def flaky(context):
            if context.partition_key in regions:
                msg = f"no data of {context.partition_key}"
                raise ValueError(msg)

        return rs.Asset(flaky, partitions_def=REGIONS)

    return make


@pytest.fixture
def waiting(repo):
    """Yields a repository whose asset waits, an event set when it is called, and the event that ends it."""
    called, leave = threading.Event(), threading.Event()

    def wait():
        called.set()
        leave.wait()

    yield repo(rs.Asset(wait, partitions_def=REGIONS)), called, leave
    leave.set()


def test_status_in_progress(waiting):
    repository, called, leave = waiting
    result = repository.backfill(partition_range=ALL, block=False)
    called.wait()
    assert (result.status, result.num_partitions, counts(result)) == ("in_progress", 3, (0, 0, 0))
    status = repository.get_backfill(result.backfill_id)
    assert (status.status, status.total_partitions, status.error) == ("in_progress", 3, None)
    assert counts(status) == (0, 0, 0)
    leave.set()
    repository.close()
    assert repository.get_backfill(result.backfill_id).status == "completed"


def test_status_completed(repo, failing):
    repository = repo(failing())
    result = repository.backfill(partition_range=ALL)
    assert (result.status, counts(result)) == ("completed", (3, 0, 0))
    status = repository.get_backfill(result.backfill_id)
    assert (status.status, counts(status)) == ("completed", (3, 0, 0))
    assert status.error is None  # unless failed
    assert not result.is_dry_run


def test_status_failed(repo, failing):
    repository = repo(failing("eu"))
    result = repository.backfill(partition_range=ALL)
    assert (result.status, counts(result)) == ("failed", (2, 1, 0))
    status = repository.get_backfill(result.backfill_id)
    assert (status.status, counts(status)) == ("failed", (2, 1, 0))


def test_status_failed_although_others_are_canceled(repo, failing):
    stop = {"failure_policy": "stop_on_failure", "max_concurrency": 1}
    result = repo(failing("eu")).backfill(partition_range=ALL, **stop)
    assert (result.status, counts(result)) == ("failed", (1, 1, 1))
    assert (result.num_runs, len(result.run_ids)) == (3, 3)


def test_status_canceled(waiting):
    repository, called, leave = waiting
    result = repository.backfill(partition_range=ALL, max_concurrency=1, block=False)
    called.wait()
    assert repository.cancel_backfill(result.backfill_id) is True
    leave.set()
    repository.close()
    status = repository.get_backfill(result.backfill_id)
    assert (status.status, counts(status)) == ("canceled", (1, 0, 2))
    assert status.error is None
    assert len(status.run_ids) == 3


def test_status_dry_run(repo, failing):
    result = repo(failing("eu")).backfill(partition_range=ALL, dry_run=True)
    assert (result.status, result.is_dry_run, counts(result)) == ("dry_run", True, (0, 0, 0))
    assert (result.num_partitions, result.num_runs, result.run_ids) == (3, 3, [])
    assert [str(key) for key in result.partition_keys] == ["us", "eu", "asia"]


def test_num_runs_and_run_ids(repo):
    seen = []

    def record(context):
        seen.append(context.run_id)

    repository = repo(rs.Asset(record, partitions_def=REGIONS))
    result = repository.backfill(partition_range=ALL, max_concurrency=1)
    assert result.num_runs == 3
    assert result.run_ids == [f"{result.backfill_id}.{number}" for number in range(3)] == seen
    assert repository.get_backfill(result.backfill_id).run_ids == seen
    keys = [repository.storage.get_run(run).partition_keys for run in seen]
    assert keys == [[key] for key in result.partition_keys]


def test_lists_are_built_on_first_touch_and_kept(repo, failing):
    repository = repo(failing())
    result = repository.backfill(partition_range=ALL)
    status = repository.get_backfill(result.backfill_id)
    for answer, name in (
        (result, "run_ids"),
        (result, "partition_keys"),
        (status, "run_ids"),
        (repository.storage.get_run(f"{result.backfill_id}.0"), "partition_keys"),
    ):
        repr(answer)
        assert name not in vars(answer)
        first = getattr(answer, name)
        assert type(first) is list
        assert getattr(answer, name) is first
        assert vars(answer)[name] is first


def test_a_result_whose_keys_are_not_read_costs_nothing(repo):
    result = repo(HUGE).backfill(partition_range=PartitionKeyRange.multi({}), dry_run=True)
    assert result.num_partitions == 1_753_176**2
    assert "partition_keys" not in vars(result)
    assert repr(result) == (
        "BackfillResult(dry run: 3,073,626,086,976 partitions in 3,073,626,086,976 runs)"
    )


def test_dry_runs_are_compared_by_arithmetic(repo):
    repository = repo(HUGE)

    def dry_run(first, last):
        chosen = PartitionKeyRange.multi({"a": (first, last)})
        return repository.backfill(partition_range=chosen, dry_run=True)

    early = [dry_run("1900-01-01T00:00", "1999-12-31T23:00") for _ in range(2)]
    shifted = dry_run("1900-01-01T01:00", "2000-01-01T00:00")
    assert early[0] == early[1]
    assert early[0] != shifted
    assert shifted.num_partitions == early[0].num_partitions > 10**12
    assert not any("partition_keys" in vars(result) for result in (*early, shifted))


def test_dry_runs_over_the_same_partitions_are_equal(repo):
    repository = repo(REGIONS)
    in_a_range = repository.backfill(partition_range=ALL, dry_run=True)
    keys = in_a_range.partition_keys
    assert in_a_range == repository.backfill(partition_keys=keys, dry_run=True)
    assert in_a_range == pickle.loads(pickle.dumps(in_a_range))
    assert in_a_range != repository.backfill(partition_keys=keys[:2], dry_run=True)
    two = repository.backfill(partition_keys=keys[:2], dry_run=True)
    assert two != repository.backfill(partition_keys=keys[1:], dry_run=True)


def test_what_cannot_be_listed_is_refused(repo):
    result = repo(HUGE).backfill(partition_range=PartitionKeyRange.multi({}), dry_run=True)
    for listing in (lambda: result.partition_keys, lambda: pickle.dumps(result)):
        with pytest.raises(ExecutionError, match="3,073,626,086,976 partitions cannot be listed"):
            listing()


def test_keys_that_represent_too_many_partitions_are_refused(repo):
    dimensions = [f"d{number}" for number in range(30)]
    two = PartitionsDefinition.static_(["a", "b"])
    repository = repo(PartitionsDefinition.multi(dict.fromkeys(dimensions, two)))
    key = PartitionKey.multi({name: ["a", "b"] for name in dimensions})
    with pytest.raises(
        ExecutionError, match="more than 100000000 partitions; give a partition_range"
    ):
        repository.backfill(partition_keys=[key], dry_run=True)


def test_results_are_plain_dataclasses(repo, failing):
    repository = repo(failing())
    result = repository.backfill(partition_range=ALL)
    status = repository.get_backfill(result.backfill_id)
    assert status == repository.get_backfill(result.backfill_id)
    for answer in (result, status):
        copy = pickle.loads(pickle.dumps(answer))
        assert dataclasses.asdict(copy) == dataclasses.asdict(answer)
    with pytest.raises(AttributeError, match="'BackfillResult' object has no attribute 'keys'"):
        _ = result.keys


def test_error_is_none_unless_failed_then_the_first_failure(repo, failing):
    repository = repo(failing("eu", "asia"))
    result = repository.backfill(partition_range=ALL, max_concurrency=1)
    assert repository.get_backfill(result.backfill_id).error == (
        'the asset "flaky" failed for the partition "eu": ValueError: no data of eu '
        "(2 of 3 partitions failed)"
    )


def test_get_backfill_of_an_unknown_id_is_none(repo, failing):
    repository = repo(failing())
    repository.backfill(partition_range=ALL, dry_run=True)
    run = repository.materialize(partition_key=PartitionKey.single("us")).run_id
    for unknown in ("", "no such", "01a20615-3307-7013-bf90-a24fa0e584e9", run, run.split(".")[0]):
        assert repository.get_backfill(unknown) is None


def test_get_backfill_returns_the_tags(repo, failing):
    repository, tags = repo(failing()), [("a", "b"), ("rivers/priority", "5"), ("a", "c")]
    result = repository.backfill(partition_range=ALL, tags=tags)
    assert repository.get_backfill(result.backfill_id).tags == tags


def test_get_backfill_does_not_grow_with_the_backfill(repo):
    def stop():
        msg = "stop"
        raise RuntimeError(msg)

    repository = repo(rs.Asset(stop, partitions_def=HUGE))
    result = repository.backfill(
        partition_range=PartitionKeyRange.multi({}),
        failure_policy="stop_on_failure",
        max_concurrency=1,
    )
    assert counts(result) == (0, 1, 1_753_176**2 - 1)
    status = repository.get_backfill(result.backfill_id)
    assert counts(status) == counts(result)
    assert status.error.endswith("(1 of 3073626086976 partitions failed)")


def test_a_dry_run_stores_nothing(repo, failing, tmp_path):
    path = tmp_path / "rivers.db"

    def content():
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            return list(connection.iterdump())
        finally:
            connection.close()

    repository = repo(failing(), storage=rs.Storage.embedded(path))
    failed = repository.backfill(partition_range=ALL)
    before = content()
    repository.backfill(partition_range=ALL, dry_run=True)
    repository.rerun_backfill(failed.backfill_id, dry_run=True)
    assert content() == before
    repository.backfill(partition_range=ALL)
    assert content() != before


WRONG = [
    {"selection": ["nothing"]},
    {"selection": []},
    {"partition_range": PartitionKeyRange.single("us", "mars")},
    {"partition_range": PartitionKeyRange.single("asia", "us")},
    {"strategy": rs.BackfillStrategy.per_dimension(["a"], ["b"])},
    {"failure_policy": "stop"},
    *({"max_concurrency": count} for count in (0, -1, True, 2.0)),
    *({"tags": [tag]} for tag in (("rivers/priority", "x"), ("rivers/rerun_of", "x"), ("x",))),
    {"config": {"flaky": {"factor": 1}}},
    {"config": {"other": {}}},
]


@pytest.mark.parametrize("arguments", WRONG)
def test_a_dry_run_validates_everything_that_a_real_one_does(repo, failing, arguments):
    repository = repo(failing())
    told = []
    for dry_run in (True, False):
        with pytest.raises(rs.exceptions.RiversError) as refused:
            repository.backfill(**{"partition_range": ALL, "dry_run": dry_run, **arguments})
        told.append((refused.type, str(refused.value)))
    assert told[0] == told[1]
    assert repository.storage.get_runs() == []
