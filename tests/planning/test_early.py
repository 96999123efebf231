"""Partitions whose run started before their window's end."""

import datetime as dt

import pytest
from tests.support import repository

import rivers as rs

NOON = dt.datetime(2024, 1, 10, 12)
OPEN = rs.PartitionsDefinition.daily("2024-01-01")
HOURS = rs.PartitionsDefinition.hourly("2024-01-10")
CRON = rs.PartitionsDefinition.time_window(
    "2024-01-01", cron_schedule="0 6 * * *", fmt="%Y-%m-%dT%H"
)
GRID = rs.PartitionsDefinition.multi(
    {"day": OPEN, "region": rs.PartitionsDefinition.static_(["us", "eu"])}
)


class Clock:
    def __init__(self):
        self.now = NOON

    def __call__(self):
        return self.now


def counting(definition, name="asset", **options):
    @rs.Asset(partitions_def=definition, name=name, **options)
    def asset(context: rs.AssetExecutionContext) -> None:
        calls.extend(context.partition.keys)

    calls = asset.calls = []
    return asset


@pytest.mark.parametrize(
    ("definition", "early", "later"),
    [(OPEN, 1, 0), (HOURS, 1, 0), (CRON, 1, 0), (GRID, 2, 0)],
    ids=["days", "hours", "cron", "product"],
)
def test_an_early_partition_is_selected_again_until_it_runs_after_its_window(
    definition, early, later
):
    clock = Clock()
    asset = counting(definition)
    repo = repository(asset, clock=clock)
    repo.backfill(partition_keys=definition.select())
    table = repo.partition_status("asset")
    assert table["status"].unique().to_list() == ["materialized"]
    assert table["stale_reason"].drop_nulls().to_list() == ["early"] * early
    select = {"partition_keys": definition.select(), "dry_run": True}
    assert repo.backfill(**select, only_missing=True).num_partitions == early
    assert repo.backfill(**select, only_stale=True).num_partitions == early
    # In the next minute the same windows are open, in a month none of these.
    clock.now = NOON + dt.timedelta(days=31)
    keys = table.drop("status")  # The partitions of then.
    then = keys.select([name for name in keys.columns if name in ("partition", "day", "region")])
    assert (
        repo.backfill(partition_keys=then, only_missing=True, dry_run=True).num_partitions == early
    )
    repo.backfill(partition_keys=then, only_missing=True)
    assert repo.backfill(partition_keys=then, only_missing=True).num_partitions == later
    assert not repo.partition_status("asset", status="materialized")["stale"].any()


def test_the_machines_clock_decides_by_default():
    asset = counting(rs.PartitionsDefinition.yearly("2020-01-01"))
    repo = repository(asset)
    repo.backfill(partition_keys=asset.partitions_def.select())
    assert repo.partition_status("asset")["stale"].to_list()[-1:] == [True]
    assert sum(repo.partition_status("asset")["stale"]) == 1


def test_early_upstream_partitions_are_run_again_with_include_upstream():
    clock = Clock()
    up = counting(OPEN, "up")
    down = counting(OPEN, "down", deps=["up"])
    repo = repository(up, down, clock=clock)
    today = [rs.PartitionKey.single("2024-01-10")]
    repo.backfill(["up"], partition_keys=today)
    clock.now += dt.timedelta(days=1)
    repo.backfill(["down"], partition_keys=today, include_upstream=True, only_missing=True)
    assert len(up.calls) == 2
    repo.backfill(["down"], partition_keys=today, include_upstream=True, only_missing=True)
    assert len(up.calls) == 2


def test_a_reported_partition_is_not_early():
    asset = counting(OPEN)
    repo = repository(asset, clock=Clock())
    repo.report_materialized("asset", partition_keys=OPEN.select())
    assert not repo.partition_status("asset")["stale"].any()
