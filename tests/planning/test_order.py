"""`order`: the order in which the partitions of a backfill are run."""

import pytest
from tests.support import run_script

import rivers as rs
from rivers.exceptions import ConfigurationError

DAYS = rs.PartitionsDefinition.daily("2024-01-01", end="2024-01-05")
REGIONS = rs.PartitionsDefinition.static_(["us", "eu", "asia"])
GRID = rs.PartitionsDefinition.multi({"date": DAYS, "region": REGIONS})
EVERYTHING = rs.PartitionKeyRange.multi({})
DAY_TEXTS = [f"2024-01-0{day}" for day in range(1, 5)]


def texts(calls):
    """Shortens `date=2024-01-01|region=us` to `1 us`."""
    return [text.replace("date=2024-01-0", "").replace("|region=", " ") for (text,) in calls]


@pytest.mark.parametrize(
    ("order", "first", "last"),
    [
        ("definition", ["1 us", "1 eu", "1 asia", "2 us"], "4 asia"),
        ("reverse", ["4 asia", "4 eu", "4 us", "3 asia"], "1 us"),
        (["date"], ["1 us", "1 eu", "1 asia", "2 us"], "4 asia"),
        (["-date"], ["4 us", "4 eu", "4 asia", "3 us"], "1 asia"),
        (["-date", "-region"], ["4 asia", "4 eu", "4 us", "3 asia"], "1 us"),
        (["region"], ["1 us", "2 us", "3 us", "4 us", "1 eu"], "4 asia"),
        (["-region", "date"], ["1 asia", "2 asia", "3 asia", "4 asia", "1 eu"], "4 us"),
        (("region", "-date"), ["4 us", "3 us", "2 us", "1 us", "4 eu"], "1 asia"),
    ],
)
def test_runs_come_in_the_order_asked_for_and_everything_that_is_shown_follows(
    repo, recording, order, first, last
):
    asset, calls = recording(GRID)
    repository = repo(asset)
    result = repository.backfill(partition_range=EVERYTHING, max_concurrency=1, order=order)
    ran = texts(calls)
    assert (ran[: len(first)], ran[-1], len(set(ran))) == (first, last, 12)
    assert [[str(key)] for key in result.partition_keys] == calls
    shown = repository.backfill_partitions(result.backfill_id)
    rows = shown.select(shown["date"].cast(str), shown["region"].cast(str)).rows()
    assert [[f"date={date}|region={region}"] for date, region in rows] == calls
    assert shown["run"].to_list() == list(range(12))
    assert result.to_polars()["region"].to_list() == shown["region"].to_list()


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("reverse", [["eu 4", "us 4"], ["eu 3", "us 3"]]),
        (["region", "-date"], [["eu 4", "us 4"], ["eu 3", "us 3"]]),
        (["date"], [["eu 1", "us 1"], ["eu 2", "us 2"]]),
    ],
)
def test_groups_follow_the_order_of_their_dimensions_and_keep_that_of_the_definition_inside(
    repo, recording, order, expected
):
    asset, calls = recording(GRID)
    some = rs.PartitionKeyRange.multi({"region": ["us", "eu"]})
    strategy = rs.BackfillStrategy.per_dimension(["date"], ["region"])
    repo(asset).backfill(partition_range=some, strategy=strategy, max_concurrency=1, order=order)
    expected = [
        [f"date=2024-01-0{text[-1]}|region={text[:2]}" for text in reversed(run)]
        for run in expected
    ]
    assert calls[:2] == expected


def test_chunks_are_cut_after_the_order(repo, recording):
    asset, calls = recording(GRID)
    strategy = rs.BackfillStrategy.chunked(5)
    repository = repo(asset)
    result = repository.backfill(
        partition_range=EVERYTHING, strategy=strategy, max_concurrency=1, order="reverse"
    )
    assert [len(call) for call in calls] == [5, 5, 2]
    last = ["date=2024-01-03|region=eu", "date=2024-01-03|region=asia"]
    assert calls[0] == last + [f"date=2024-01-04|region={name}" for name in ("us", "eu", "asia")]
    shown = repository.backfill_partitions(result.backfill_id)
    assert shown["run"].to_list() == [0] * 5 + [1] * 5 + [2] * 2


def test_single_keys_too(repo, recording):
    asset, calls = recording(GRID)
    repository = repo(asset)
    given = [("3", "eu"), ("1", "us"), ("3", "us"), ("2", "asia")]
    keys = [
        rs.PartitionKey.multi({"date": f"2024-01-0{day}", "region": name}) for day, name in given
    ]
    for order, expected in (
        ("definition", ["3 eu", "1 us", "3 us", "2 asia"]),
        ("reverse", ["2 asia", "3 us", "1 us", "3 eu"]),
        (["-date"], ["3 us", "3 eu", "2 asia", "1 us"]),
        (["region", "-date"], ["3 us", "1 us", "3 eu", "2 asia"]),
    ):
        calls.clear()
        repository.backfill(partition_keys=keys, max_concurrency=1, order=order)
        assert texts(calls) == expected


def test_with_only_missing_what_is_left_is_ordered(repo, recording):
    asset, calls = recording(GRID)
    repository = repo(asset)
    there = rs.PartitionKeyRange.multi({"date": ("2024-01-02", "2024-01-03")})
    repository.backfill(partition_range=there)
    calls.clear()
    repository.backfill(
        partition_range=EVERYTHING, only_missing=True, max_concurrency=1, order=["-date", "region"]
    )
    assert texts(calls) == ["4 us", "4 eu", "4 asia", "1 us", "1 eu", "1 asia"]


@pytest.mark.parametrize("order", ["reverse", ["region", "-date"]])
def test_a_rerun_goes_in_the_same_order(repo, order):
    called = []

    @rs.Asset(partitions_def=GRID)
    def odd(context: rs.AssetExecutionContext):
        called.append(context.partition_key)
        if len(called) % 2:
            raise ValueError

    repository = repo(odd)
    first = repository.backfill(partition_range=EVERYTHING, max_concurrency=1, order=order)
    failed = called[::2]
    called[:] = ["none"]  # From now on the first one succeeds.
    again = repository.rerun_backfill(first.backfill_id)
    third = repository.rerun_backfill(again.backfill_id, dry_run=True)
    assert [str(key) for key in again.partition_keys] == failed
    assert [str(key) for key in third.partition_keys] == failed[1::2]
    by_cause = repository.rerun_backfill(first.backfill_id, error_type="ValueError", dry_run=True)
    assert [str(key) for key in by_cause.partition_keys] == failed


DIES = """
import os, sys
import rivers as rs

days = rs.PartitionsDefinition.daily("2024-01-01", end="2024-01-05")
regions = rs.PartitionsDefinition.static_(["us", "eu", "asia"])

@rs.Asset(partitions_def=rs.PartitionsDefinition.multi({"date": days, "region": regions}))
def cell(context: rs.AssetExecutionContext):
    if context.partition_key == "date=2024-01-03|region=us":
        while repo.get_backfill(context.run_id.split(".")[0]).completed_partitions < 3:
            pass
        os.kill(os.getpid(), 9)

repo = rs.CodeRepository([cell]).resolve(rs.Storage.embedded(sys.argv[1]))
everything = rs.PartitionKeyRange.multi({})
repo.backfill(partition_range=everything, max_concurrency=1, order=["-date", "region"])
"""


def test_a_resume_goes_on_in_the_same_order(tmp_path, recording):
    path = tmp_path / "rivers.db"
    assert run_script(DIES, path).returncode == -9
    asset, calls = recording(GRID, name="cell")
    repository = rs.CodeRepository([asset]).resolve(rs.Storage.embedded(path))
    (backfill_id,) = repository.backfills()["backfill_id"]
    assert repository.resume_backfill(backfill_id).status == "completed"
    assert texts(calls) == [f"{day} {name}" for day in "321" for name in ("us", "eu", "asia")]


def test_in_worker_processes(tmp_path):
    notes = tmp_path / "notes"

    def note(context: rs.AssetExecutionContext):
        with notes.open("a") as file:
            file.write(context.partition_key + "\n")

    asset = rs.Asset(note, partitions_def=DAYS)
    repository = rs.CodeRepository([asset], default_executor=rs.Executor.parallel(1))
    repository.resolve(rs.Storage.embedded(tmp_path / "rivers.db"))
    everything = rs.PartitionKeyRange.single(DAY_TEXTS[0], DAY_TEXTS[-1])
    repository.backfill(partition_range=everything, max_concurrency=1, order="reverse")
    repository.close()
    assert notes.read_text().split() == DAY_TEXTS[::-1]


def test_a_product_of_any_size_is_ordered_without_a_list(repo):
    hours = rs.PartitionsDefinition.hourly("1900-01-01-00:00")
    huge = rs.PartitionsDefinition.multi({"a": hours, "b": hours})
    repository = repo(huge)
    result = repository.backfill(partition_range=EVERYTHING, dry_run=True, order=["b", "-a"])
    assert result.num_partitions > 10**12


def test_what_is_no_order_is_refused(repo):
    repository = repo(GRID)
    for bad in ("newest", "date", [], [1], None, {"date": "desc"}):
        with pytest.raises(ConfigurationError, match=r'"definition", "reverse" or a list'):
            repository.backfill(partition_range=EVERYTHING, order=bad)
    with pytest.raises(ConfigurationError, match=r"no dimension \"dat\".*did you mean"):
        repository.backfill(partition_range=EVERYTHING, order=["-dat"])
    with pytest.raises(ConfigurationError, match="named twice"):
        repository.backfill(partition_range=EVERYTHING, order=["date", "-date"])
    keys = [rs.PartitionKey.single("us")]
    with pytest.raises(ConfigurationError, match="a single dimension"):
        repo(REGIONS).backfill(partition_keys=keys, order=["-region"])
    assert repository.backfills().is_empty()
