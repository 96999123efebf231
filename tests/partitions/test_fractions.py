"""Time windows that start at fractions of a second, and keys that show an offset from UTC."""

import datetime as dt
import itertools
import pickle

import pytest

import rivers as rs
from rivers import PartitionKey, PartitionsDefinition
from rivers.exceptions import PartitionDefinitionError, PartitionValidationError

FMT = "%Y-%m-%dT%H:%M:%S%.3f"
HALVES = PartitionsDefinition.time_window(
    "2024-01-01", interval_seconds=0.5, end="2024-01-01T00:00:02", fmt=FMT
)
NEW_YORK = "America/New_York"


def texts(definition):
    return [str(key) for key in definition.get_partition_keys()]


def window(definition, text):
    return rs.PartitionContext([PartitionKey.single(text)], definition).time_window()


def test_halves_of_a_second_have_keys_with_fractions():
    assert texts(HALVES) == [f"2024-01-01T00:00:0{second}" for second in
                             ("0.000", "0.500", "1.000", "1.500")]  # fmt: skip
    assert HALVES.interval_seconds == 0.5
    assert HALVES.cron_schedule is None
    assert window(HALVES, "2024-01-01T00:00:00.500") == (
        dt.datetime(2024, 1, 1, 0, 0, 0, 500_000),
        dt.datetime(2024, 1, 1, 0, 0, 1),
    )


def test_a_definition_with_fractions_is_a_value():
    assert eval(repr(HALVES), {"PartitionsDefinition": PartitionsDefinition}) == HALVES
    assert pickle.loads(pickle.dumps(HALVES)) == HALVES
    assert "interval_seconds=0.5" in repr(HALVES)


@pytest.mark.parametrize("seconds", [60.0, 60])
def test_whole_seconds_are_the_same_as_an_int_or_a_float(seconds):
    definition = PartitionsDefinition.time_window("2024-01-01", interval_seconds=seconds)
    whole = PartitionsDefinition.time_window("2024-01-01", interval_seconds=60)
    assert definition == whole
    assert hash(definition) == hash(whole)
    assert "interval_seconds=60," in f"{definition!r}".replace(")", ",")


def test_keys_are_exact_to_the_nanosecond():
    thirds = PartitionsDefinition.time_window(
        "2024-01-01",
        interval_seconds=1 / 3,
        end="2024-01-01T00:00:01.5",
        fmt="%Y-%m-%dT%H:%M:%S%.9f",
    )
    assert [text[-12:] for text in texts(thirds)] == [
        "00.000000000", "00.333333333", "00.666666666", "00.999999999", "01.333333332",
    ]  # fmt: skip
    start, end = window(thirds, "2024-01-01T00:00:00.333333333")
    assert (start.microsecond, end.microsecond) == (333_333, 666_666)


@pytest.mark.parametrize("fmt", ["%Y-%m-%dT%H:%M:%S%.3f", "%Y-%m-%dT%H:%M:%S.%f", "%s%.6f"])
def test_a_thousandth_is_found_anywhere_in_a_month(fmt):
    definition = PartitionsDefinition.time_window(
        dt.datetime(1999, 12, 31, 23, 59, 59, 999_000), interval_seconds=0.001, fmt=fmt,
        end="2000-02-01",
    )  # fmt: skip
    for offset in (0, 1, 2, 999, 86_400_000, 2_678_400_000):
        moment = dt.datetime(1999, 12, 31, 23, 59, 59, 999_000) + dt.timedelta(milliseconds=offset)
        (key,) = rs.CodeRepository(
            [rs.Asset(lambda: 1, name="a", partitions_def=definition)]
        ).resolve(rs.Storage.memory()).backfill(
            partition_range=rs.PartitionKeyRange.single(moment, moment), dry_run=True
        ).partition_keys  # fmt: skip
        assert window(definition, str(key))[0] == moment


@pytest.mark.parametrize(
    "seconds", [0, -1, -0.5, 0.0, 5e-10, float("nan"), float("inf"), -float("inf"), 1e30]
)
def test_what_is_no_length_of_a_window_is_refused(seconds):
    with pytest.raises(PartitionDefinitionError, match="interval_seconds must be between 1e-9"):
        PartitionsDefinition.time_window("2024-01-01", interval_seconds=seconds, fmt=FMT)


def test_a_length_as_text_is_a_type_error():
    with pytest.raises(TypeError, match="interval_seconds"):
        PartitionsDefinition.time_window("2024-01-01", interval_seconds="0.5")


@pytest.mark.parametrize(
    ("seconds", "fmt", "finer"),
    [
        (0.5, None, "%.3f"),
        (0.5, "%Y-%m-%dT%H:%M:%S", "%.3f"),
        (0.0005, FMT, "%.6f"),
        (1e-9, FMT, "%.9f"),
    ],
)
def test_a_format_that_does_not_show_the_fractions_is_refused(seconds, fmt, finer):
    with pytest.raises(PartitionDefinitionError, match=f"cannot tell.*finer format.*{finer}"):
        PartitionsDefinition.time_window("2024-01-01", interval_seconds=seconds, fmt=fmt)


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("2024-01-01T00:00:00.250", "not on the grid.*00.000.*00.500"),
        ("2024-01-01T00:00:00", "does not have the format"),
        ("2023-12-31T23:59:59.500", "before the start"),
        ("2024-01-01T00:00:02.000", "after the end"),
    ],
)
def test_other_keys_are_refused(repo, key, told):
    repository = repo(rs.Asset(lambda: 1, name="a", partitions_def=HALVES))
    with pytest.raises(PartitionValidationError, match=told):
        repository.backfill(partition_keys=[PartitionKey.single(key)])


def test_a_grid_of_minutes_may_start_at_a_fraction():
    definition = PartitionsDefinition.time_window(
        "2024-01-01T00:00:00.25", interval_seconds=60, end="2024-01-01T00:02", fmt=FMT
    )
    assert texts(definition) == ["2024-01-01T00:00:00.250", "2024-01-01T00:01:00.250"]
    assert definition.start == dt.datetime(2024, 1, 1, 0, 0, 0, 250_000)
    assert eval(repr(definition), {"PartitionsDefinition": PartitionsDefinition}) == definition


def test_a_range_between_datetimes_has_fractions(repo):
    repository = repo(rs.Asset(lambda: 1, name="a", partitions_def=HALVES))
    second = dt.datetime(2024, 1, 1)
    half = second.replace(microsecond=500_000)
    named = rs.PartitionKeyRange.single(half, half)
    assert eval(repr(named), {"PartitionKeyRange": rs.PartitionKeyRange, "datetime": dt}) == named
    chosen = repository.backfill(partition_range=named, dry_run=True).partition_keys
    assert [str(key) for key in chosen] == ["2024-01-01T00:00:00.500"]
    whole = rs.PartitionKeyRange.single(second, None)
    assert repository.backfill(partition_range=whole, dry_run=True).num_partitions == 4


def test_the_last_window_contains_the_present_to_the_fraction(repo):
    open_end = PartitionsDefinition.time_window("2024-01-01", interval_seconds=0.25, fmt=FMT)
    asset = rs.Asset(lambda: 1, name="a", partitions_def=open_end)
    repository = repo(asset, clock=lambda: dt.datetime(2024, 1, 1, 0, 0, 1, 499_999))
    everything = rs.PartitionKeyRange.single(None, None)
    keys = repository.backfill(partition_range=everything, dry_run=True).partition_keys
    assert str(keys[-1]) == "2024-01-01T00:00:01.250"
    assert len(keys) == 6


@pytest.mark.parametrize("parallel", [False, True])
def test_fractions_are_stored_shown_and_mapped(repo, tmp_path, parallel):
    handler = rs.PickleIOHandler(tmp_path)
    seconds = PartitionsDefinition.time_window(
        "2024-01-01", interval_seconds=1, end="2024-01-01T00:00:02"
    )
    asset = rs.Asset(
        lambda context: context.partition.time_window()[0].microsecond, name="half",
        partitions_def=HALVES, io_handler=handler,
    )  # fmt: skip
    taking = rs.Asset(
        lambda half: half, name="second", partitions_def=seconds, io_handler=handler,
        deps=[rs.AssetDef.input("half", rs.PartitionMapping.time_window())],
    )  # fmt: skip
    options = {"default_executor": rs.Executor.parallel(1)} if parallel else {}
    repository = repo(asset, taking, **options)
    everything = rs.PartitionKeyRange.single(None, None)
    result = repository.backfill(["second"], partition_range=everything, include_upstream=True)
    assert (result.status, result.num_partitions) == ("completed", 6)
    assert repository.load_node("second", PartitionKey.single("2024-01-01T00:00:01")) == {
        "2024-01-01T00:00:01.000": 0,
        "2024-01-01T00:00:01.500": 500_000,
    }
    table = repository.partition_status("half")
    assert table["partition_start"].dt.microsecond().to_list() == [0, 500_000] * 2
    again = repository.backfill(["half"], partition_range=everything, only_missing=True)
    assert again.num_partitions == 0
    # A grid of another width has other partitions, although some keys are alike.
    wider = PartitionsDefinition.time_window(
        "2024-01-01", interval_seconds=1.0, end="2024-01-01T00:00:02", fmt=FMT
    )
    moved = rs.Asset(asset.step.fn, name="half", partitions_def=wider, io_handler=handler)
    other = rs.CodeRepository([moved]).resolve(repository.storage)
    assert other.backfill(partition_range=everything, only_missing=True).num_partitions == 2


def test_fractions_follow_a_zone():
    definition = PartitionsDefinition.time_window(
        "2024-11-03T00:59:59.5", interval_seconds=1799.75, timezone=NEW_YORK, fmt=FMT,
        end="2024-11-03T02:30",
    )  # fmt: skip
    keys = texts(definition)
    starts = [window(definition, key)[0].astimezone(dt.UTC) for key in keys]
    assert [later - earlier for earlier, later in itertools.pairwise(starts)] == [
        dt.timedelta(seconds=1799.75)
    ] * (len(starts) - 1)
    assert keys[:2] == ["2024-11-03T00:59:59.500", "2024-11-03T01:29:59.250"]
    assert len(keys) == len(set(keys)) == 6


def test_keys_can_show_their_offset():
    hours = PartitionsDefinition.hourly(
        "2024-11-03", end="2024-11-03T03:00", timezone=NEW_YORK, fmt="%Y-%m-%dT%H%z"
    )
    assert texts(hours) == [
        "2024-11-03T00-0400", "2024-11-03T01-0400", "2024-11-03T01-0500", "2024-11-03T02-0500",
    ]  # fmt: skip
    start, end = window(hours, "2024-11-03T01-0500")
    assert start.astimezone(dt.UTC).hour == 6
    assert end - start == dt.timedelta(hours=1)
    assert not hours.validate_partition_key(PartitionKey.single("2024-11-03T02-0400"))
    utc = PartitionsDefinition.daily("2024-01-01", end="2024-01-03", fmt="%Y-%m-%d%:z")
    assert texts(utc) == ["2024-01-01+00:00", "2024-01-02+00:00"]
    assert not utc.validate_partition_key(PartitionKey.single("2024-01-01+01:00"))
    with pytest.raises(PartitionDefinitionError, match="not the name of a zone"):
        PartitionsDefinition.daily("2024-01-01", fmt="%Y-%m-%d %Z")
