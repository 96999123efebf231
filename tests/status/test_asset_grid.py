"""The map of an asset, which is made of sets, compared with its table, which has a row for each partition."""

import random
import threading

import pytest
from tests.support import wait_until

import rivers as rs
from rivers.repository.internals import grid_of

GRID = rs.PartitionsDefinition.multi({
    "date": rs.PartitionsDefinition.daily("2024-01-01", end="2024-01-09"),
    "region": rs.PartitionsDefinition.static_(["us", "eu", "asia"]),
})  # fmt: skip
DAYS, REGIONS = 8, 3


def shown(repo, asset):
    """The state of each partition as the map has it."""
    grid = grid_of(repo, asset)
    found = []
    for day in range(DAYS):
        for region in range(REGIONS):
            where = {"date": (day, day + 1), "region": (region, region + 1)}
            totals = grid.cells(None, None, where, 1, 1).totals
            found.append(next(state for state, count in totals.items() if count))
    return found


def listed(repo, asset):
    """The state of each partition as the table has it."""
    table = repo.partition_status(asset)
    rows = zip(table["status"].to_list(), table["stale"].to_list(), strict=True)
    return ["stale" if stale and status == "materialized" else status for status, stale in rows]


@pytest.mark.parametrize("seed", range(12))
def test_the_map_of_an_asset_agrees_with_its_table_after_any_history(seed):
    rng = random.Random(seed)
    bad, skipped = set(), set()

    def part():
        first, last = sorted(rng.sample(range(DAYS), 2))
        days = (f"2024-01-{first + 1:02}", f"2024-01-{last + 1:02}")
        regions = rng.sample(["us", "eu", "asia"], rng.randint(1, 3))
        return GRID.select(date=days, region=regions)

    @rs.Asset(partitions_def=GRID, io_handler=rs.InMemoryIOHandler())
    def sales(context):
        if context.partition_key in skipped:
            raise rs.Skip("no data")
        if context.partition_key in bad:
            raise ValueError("no data")
        return 1

    @rs.Asset(partitions_def=GRID, io_handler=rs.InMemoryIOHandler())
    def report(sales):
        return sales

    every = GRID.select().keys()
    keys = [str(key) for key in every]
    with rs.CodeRepository([sales, report]).resolve(rs.Storage.memory()) as repo:
        for _ in range(rng.randint(3, 7)):
            bad, skipped = set(rng.sample(keys, 5)), set(rng.sample(keys, 2))
            action = rng.choice(["backfill", "backfill", "chunks", "report", "forget", "sales"])
            chosen = part().keys()
            if action == "report":
                repo.report_materialized("sales", partition_keys=chosen)
            elif action == "forget":
                repo.forget_partitions("sales", partition_keys=chosen)
            else:
                repo.backfill(
                    ["sales"] if action == "sales" else ["sales", "report"],
                    partition_keys=chosen,
                    strategy=rs.BackfillStrategy.chunked(4) if action == "chunks" else None,
                )
            for asset in ("sales", "report"):
                assert shown(repo, asset) == listed(repo, asset), (action, asset)


def test_what_a_live_backfill_has_not_ended_is_in_progress():
    gate, begun = threading.Event(), threading.Event()

    @rs.Asset(partitions_def=GRID)
    def sales(context):
        if context.partition_key == "date=2024-01-02|region=us":
            begun.set()
            gate.wait(20)
        return 1

    with rs.CodeRepository([sales]).resolve(rs.Storage.memory()) as repo:
        launched = repo.backfill(
            partition_keys=GRID.select(date=("2024-01-01", "2024-01-03")),
            block=False,
            max_concurrency=1,
        )
        assert begun.wait(20)
        # Runs that ended before are recorded meanwhile.
        wait_until(lambda: shown(repo, "sales") == listed(repo, "sales"))
        assert shown(repo, "sales").count("in_progress") >= 6
        gate.set()
        repo.wait_backfill(launched.backfill_id, timeout=20)
        assert shown(repo, "sales") == ["materialized"] * 9 + ["missing"] * 15
