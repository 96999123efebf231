"""Equal keys between definitions that are not equal, and mappings that do not fit."""

import datetime as dt

import pytest

import rivers as rs
from rivers import PartitionKey, PartitionMapping, PartitionsDefinition
from rivers.exceptions import (
    ExecutionError,
    GraphValidationError,
    PartitionValidationError,
)

static = PartitionsDefinition.static_
daily = PartitionsDefinition.daily
hours = PartitionsDefinition.hourly
every = PartitionsDefinition.time_window
SAME = PartitionMapping.identity()


def graph(down, up, mapping=None, *, seen=None, **options):
    """A repository in which `sales` takes `rates`."""

    @rs.Asset(partitions_def=up)
    def rates(context: rs.AssetExecutionContext) -> str:
        return ",".join(str(key) for key in context.partition.keys)

    deps = [rs.AssetDef.input("rates", partition_mapping=mapping)] if mapping else []

    @rs.Asset(partitions_def=down, deps=deps)
    def sales(rates: str) -> None:
        if seen is not None:
            seen.append(rates)

    return rs.CodeRepository([rates, sales], **options)


def noon() -> dt.datetime:
    return dt.datetime(2024, 1, 10, 12)


SHORT = "%Y-%m-%dT%H"
FIT = {
    "fewer keys in another order": (static(["c", "a"]), static(["a", "b", "c"])),
    "keys that are days": (static(["2024-01-02"]), daily("2024-01-01")),
    "a later start": (daily("2024-01-03"), daily("2024-01-01")),
    "an earlier start": (daily("2023-12-01"), daily("2024-01-01")),
    "another end": (daily("2024-01-01"), daily("2024-01-01", end="2024-02-01")),
    "no end": (daily("2024-01-01", end="2024-02-01"), daily("2024-01-01")),
    "a coarser grid": (
        daily("2024-01-01", fmt=SHORT),
        hours("2024-01-01", fmt=SHORT),
    ),
    "a schedule on a grid of days": (
        every("2024-01-01", "0 0 * * MON", fmt="%Y-%m-%d"),
        daily("2023-01-01"),
    ),
    "a schedule among the times of another": (
        every("2024-01-01", "0 6 1 * *", fmt=SHORT),
        every("2023-06-05", "0 6,18 * * *", fmt=SHORT),
    ),
    "weeks among days": (
        PartitionsDefinition.weekly("2024-01-01"),
        daily("2024-01-10"),
    ),
    "days of one zone": (
        daily("2024-03-01", timezone="America/New_York"),
        daily("2023-11-01", timezone="America/New_York"),
    ),
    "holidays that only the upstream has": (
        daily("2024-01-01", end="2025-01-01", exclude=["2024-12-25"]),
        daily("2024-01-01"),
    ),
    "a dimension of a product": (
        PartitionsDefinition.multi({"day": daily("2024-01-03"), "land": static(["it"])}),
        PartitionsDefinition.multi({"land": static(["no", "it"]), "day": daily("2024-01-01")}),
    ),
}
UNFIT = {
    "another key": (static(["a", "z"]), static(["a", "b"]), '"z"'),
    "a coarser upstream": (hours("2024-01-01", fmt=SHORT), daily("2024-01-01", fmt=SHORT), "T01"),
    "keys in another format": (
        daily("2024-01-01", fmt="%d.%m.%Y"),
        daily("2024-01-01"),
        "01.01.2024",
    ),
    "days that begin at another hour": (
        daily("2024-01-01T06:00"),
        daily("2024-01-01"),
        "2024-01-01",
    ),
    "steps that do not meet": (
        every("2024-01-01", interval_seconds=5),
        every("2024-01-01", interval_seconds=3),
        "00:00:05",
    ),
    "days that a schedule leaves out": (
        daily("2024-01-01"),
        every("2024-01-01", "0 0 * * MON-FRI", fmt="%Y-%m-%d"),
        "2024-01-06",
    ),
    "a schedule that is not a grid of days": (
        every("2024-01-01", "0 5 * * *", fmt="%Y-%m-%d"),
        daily("2024-01-01"),
        "2024-01-01",
    ),
    "days of two zones": (
        daily("2024-01-01", timezone="America/New_York"),
        daily("2024-01-01", timezone="Europe/Rome"),
        "2024-01-01",
    ),
    "holidays that only the downstream has": (
        daily("2024-01-01", end="2025-01-01"),
        daily("2024-01-01", exclude=["2024-12-25"]),
        "2024-12-25",
    ),
    "registered keys": (PartitionsDefinition.dynamic("x"), static(["a"]), "registered"),
    "keys registered under another name": (
        PartitionsDefinition.dynamic("x"),
        PartitionsDefinition.dynamic("y"),
        "registered",
    ),
    "a dimension of a product": (
        PartitionsDefinition.multi({"day": daily("2024-01-01"), "land": static(["it", "de"])}),
        PartitionsDefinition.multi({"day": daily("2024-01-01"), "land": static(["no", "it"])}),
        '"de"',
    ),
}


@pytest.mark.parametrize("mapping", [None, SAME], ids=["implied", "declared"])
@pytest.mark.parametrize(("down", "up"), FIT.values(), ids=FIT)
def test_keys_that_the_upstream_has_belong_together(down, up, mapping):
    graph(down, up, mapping)


@pytest.mark.parametrize("mapping", [None, SAME], ids=["implied", "declared"])
@pytest.mark.parametrize(("down", "up", "told"), UNFIT.values(), ids=UNFIT)
def test_a_key_that_the_upstream_cannot_have_is_named(down, up, told, mapping):
    for error in (GraphValidationError, PartitionValidationError):
        with pytest.raises(error, match=told):
            graph(down, up, mapping)


@pytest.mark.parametrize("mapping", [None, SAME], ids=["implied", "declared"])
def test_each_partition_gets_the_value_of_its_own_key(mapping):
    seen = []
    code = graph(daily("2024-01-03"), daily("2024-01-01"), mapping, seen=seen, clock=noon)
    days = [PartitionKey.single(f"2024-01-0{day}") for day in (4, 3)]
    with code.resolve(rs.Storage.memory()) as repo:
        assert repo.backfill(["rates"], partition_keys=days).status == "completed"
        assert (
            repo.backfill(["sales"], partition_keys=days, max_concurrency=1).status == "completed"
        )
        both = repo.backfill(["rates", "sales"], partition_keys=days, max_concurrency=1)
        assert both.status == "completed"
        repo.materialize(["rates", "sales"], days[0])
    assert seen == ["2024-01-04", "2024-01-03"] * 2 + ["2024-01-04"]


def test_keys_in_another_order_get_their_own_values():
    seen = []
    code = graph(static(["c", "a"]), static(["a", "b", "c"]), seen=seen)
    with code.resolve(rs.Storage.memory()) as repo:
        result = repo.backfill(
            ["sales"],
            partition_keys=[PartitionKey.single("c"), PartitionKey.single("a")],
            include_upstream=True,
            max_concurrency=1,
        )
    assert (result.status, seen) == ("completed", ["c", "a"])


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize(
    ("up", "missing"),
    [
        (daily("2024-01-05"), "2024-01-04"),
        (daily("2024-01-01", end="2024-01-04"), "2024-01-04"),
    ],
)
def test_a_partition_that_the_upstream_does_not_have_is_refused_at_submission(up, missing, dry_run):
    code = graph(daily("2024-01-01"), up, clock=noon)
    days = [PartitionKey.single("2024-01-04")]
    with code.resolve(rs.Storage.memory()) as repo:
        for options in ({}, {"include_upstream": True}):
            with pytest.raises(ExecutionError, match="rates") as caught:
                repo.backfill(["sales"], partition_keys=days, dry_run=dry_run, **options)
            assert missing in str(caught.value)
        with pytest.raises(ExecutionError, match=missing) as caught:
            repo.materialize(["sales"], days[0])
        assert "rates" in str(caught.value)
        assert repo.backfills().is_empty()


LETTERS = static(["a", "b"])
DAYS = daily("2024-01-01", end="2024-01-04")
GRID = PartitionsDefinition.multi({"day": DAYS, "letter": LETTERS})


@pytest.mark.parametrize(
    ("down", "up", "mapping", "told"),
    [
        (
            GRID,
            GRID,
            PartitionMapping.multi({"dya": SAME}),
            "its upstream 'rates' has no dimension",
        ),
        (
            GRID,
            GRID,
            PartitionMapping.multi({"day": ("dya", SAME)}),
            "the asset 'sales' has no dimension",
        ),
        (
            GRID,
            LETTERS,
            PartitionMapping.multi_to_single("x"),
            "the asset 'sales' has no dimension",
        ),
        (
            LETTERS,
            GRID,
            PartitionMapping.multi_to_single("x"),
            "its upstream 'rates' has no dimension",
        ),
        (LETTERS, DAYS, PartitionMapping.time_window(-1), "time_window"),
        (LETTERS, LETTERS, PartitionMapping.static_({"z": "a"}), '"z"'),
        (LETTERS, GRID, None, "share none"),
    ],
)
def test_a_mapping_that_does_not_fit_is_both_kinds_of_error(down, up, mapping, told):
    for error in (GraphValidationError, PartitionValidationError):
        with pytest.raises(error, match=told):
            graph(down, up, mapping)


@pytest.mark.parametrize(
    "mapping",
    [
        PartitionMapping.multi({"day": SAME, "letter": SAME}),
        PartitionMapping.multi({"letter": ("letter", SAME)}),
    ],
)
def test_identity_of_each_dimension_is_identity(mapping):
    seen = []
    code = graph(GRID, GRID, mapping, seen=seen)
    with code.resolve(rs.Storage.memory()) as repo:
        key = PartitionKey.multi({"day": "2024-01-02", "letter": "b"})
        repo.materialize(["rates", "sales"], key)
        result = repo.backfill(["rates", "sales"], partition_keys=GRID.get_partition_keys())
        assert (result.status, result.num_runs, len(seen)) == ("completed", 6, 7)


def test_identity_of_each_dimension_needs_no_other_handler_in_processes():
    mapping = PartitionMapping.multi({"day": SAME, "letter": SAME})
    code = graph(GRID, GRID, mapping, default_executor=rs.Executor.parallel(max_workers=1))
    with code.resolve(rs.Storage.memory()) as repo:
        result = repo.backfill(
            ["rates", "sales"], partition_keys=GRID.get_partition_keys()[:2], dry_run=True
        )
        assert result.num_runs == 2


def test_multi_is_by_dimension_of_the_upstream():
    up = PartitionsDefinition.multi({"month": static(["jan", "feb"]), "letter": LETTERS})
    to_month = PartitionMapping.static_(
        {"2024-01-01": "jan", "2024-01-02": "feb", "2024-01-03": "feb"}
    )
    seen = []
    code = graph(GRID, up, PartitionMapping.multi({"month": ("day", to_month)}), seen=seen)
    with code.resolve(rs.Storage.memory()) as repo:
        repo.backfill(["rates"], partition_keys=up.get_partition_keys())
        key = PartitionKey.multi({"day": "2024-01-03", "letter": "b"})
        repo.backfill(["sales"], partition_keys=[key])
    assert seen == ["month=feb|letter=b"]
