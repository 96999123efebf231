"""Unpartitioned assets upstream and downstream of what is selected: each is executed once."""

from pathlib import Path

import pytest
from tests.support import counts, key, keys, letters, repository, run_script

import rivers as rs
from rivers.io import PickleIOHandler

ROOT = Path(__file__).parents[2]

ABC = keys("a", "b", "c")


def shop(tmp_path, failing=(), storage=None):
    """Sales (three partitions) need rates (unpartitioned); a report (unpartitioned) takes all sales."""
    calls = []
    handler = PickleIOHandler(tmp_path)

    @rs.Asset(io_handler=handler)
    def rates():
        calls.append("rates")
        return 2

    @rs.Asset(partitions_def=letters(3), io_handler=handler)
    def sales(context: rs.AssetExecutionContext, rates):
        calls.append(context.partition_key)
        if context.partition_key in failing:
            raise ValueError("no")
        return rates

    @rs.Asset(io_handler=handler)
    def report(sales):
        calls.append("report")
        return sum(sales.values())

    return repository(rates, sales, report, storage=storage), calls


def both(repo, **options):
    return repo.backfill(
        ["sales"], partition_keys=ABC, include_upstream=True, include_downstream=True, **options
    )


def test_each_is_executed_once_before_or_after(tmp_path):
    repo, calls = shop(tmp_path)
    result = both(repo)
    assert counts(result) == (5, 0, 0)
    assert calls[0] == "rates"
    assert calls[-1] == "report"
    assert sorted(calls[1:-1]) == ["a", "b", "c"]
    assert repo.load_node("report") == 6


@pytest.mark.parametrize(
    "strategy", [rs.BackfillStrategy.single_run(), rs.BackfillStrategy.chunked(2)]
)
def test_under_every_strategy(tmp_path, strategy):
    calls = []

    @rs.Asset
    def rates():
        calls.append("rates")
        return 2

    @rs.Asset(partitions_def=letters(3))
    def sales(context: rs.AssetExecutionContext, rates):
        calls.append(len(context.partition.keys))
        return rates

    repo = repository(rates, sales)
    assert counts(
        repo.backfill(["sales"], partition_keys=ABC, include_upstream=True, strategy=strategy)
    ) == (4, 0, 0)
    assert calls.count("rates") == 1


def test_per_dimension_and_an_order_apply_to_the_partitioned_ones():
    grid = rs.PartitionsDefinition.multi({"x": letters(2), "y": letters(2)})
    calls = []

    @rs.Asset
    def rates():
        calls.append("rates")
        return 2

    @rs.Asset(partitions_def=grid)
    def sales(context: rs.AssetExecutionContext, rates):
        calls.append(str(context.partition.key))

    repo = repository(rates, sales)
    result = repo.backfill(
        ["sales"], partition_keys=grid.get_partition_keys(), include_upstream=True, order=["-y", "x"],
        strategy=rs.BackfillStrategy.per_dimension(multi_run=["y"], single_run=["x"]), max_concurrency=1,
    )  # fmt: skip
    assert counts(result) == (5, 0, 0)
    assert calls[0] == "rates"
    assert [call[-1] for call in calls[1:]] == ["b", "a"]


def test_a_dry_run_counts_them_and_lists_them(tmp_path):
    repo, calls = shop(tmp_path)
    plan = both(repo, dry_run=True)
    assert plan.num_partitions == plan.num_runs == 5
    assert plan.partitions_per_asset == {"rates": 1, "sales": 3, "report": 1}
    assert len(plan.partition_keys) == 3
    assert plan.to_polars().height == 5
    assert calls == []


def test_tables_list_them(tmp_path):
    repo, _ = shop(tmp_path)
    result = both(repo)
    table = repo.backfill_partitions(result.backfill_id)
    assert table.height == 5
    assert set(table["status"]) == {"completed"}
    assert len(result.partition_keys) == 3


def test_a_failed_partition_blocks_the_report_and_a_rerun_makes_both(tmp_path):
    failing = ["b"]
    repo, calls = shop(tmp_path, failing)
    result = both(repo)
    assert counts(result) == (3, 2, 0)
    assert "report" not in calls
    failing.clear()
    calls.clear()
    rerun = repo.rerun_backfill(result.backfill_id)
    assert counts(rerun) == (2, 0, 0)
    assert calls == ["b", "report"]


def test_only_missing_leaves_out_what_is_materialized(tmp_path):
    repo, calls = shop(tmp_path)
    repo.materialize(["rates"])
    calls.clear()
    result = both(repo, only_missing=True)
    assert sorted(calls) == ["a", "b", "c", "report"]
    calls.clear()
    assert counts(both(repo, only_missing=True)) == (0, 0, 0)
    assert calls == []
    assert result.status == "completed"


def test_downstream_of_few_partitions_takes_the_others_as_they_are(tmp_path):
    repo, calls = shop(tmp_path)
    both(repo)
    calls.clear()
    result = repo.backfill(["sales"], partition_keys=keys("b"), include_downstream=True)
    assert calls == ["b", "report"]
    assert counts(result) == (2, 0, 0)


def test_rates_do_not_select_other_partitions(tmp_path):
    repo, calls = shop(tmp_path)
    both(repo)
    calls.clear()
    repo.backfill(
        ["sales"], partition_keys=keys("b"), include_upstream=True, include_downstream=True
    )
    assert calls == ["rates", "b", "report"]


def test_an_asset_behind_an_unpartitioned_one():
    calls = []

    @rs.Asset(partitions_def=letters(2))
    def raw(context: rs.AssetExecutionContext):
        calls.append("raw " + context.partition_key)
        return 1

    @rs.Asset
    def total(raw):
        calls.append("total")
        return sum(raw.values())

    @rs.Asset
    def doubled(total):
        return 2 * total

    @rs.Asset(partitions_def=letters(3))
    def share(context: rs.AssetExecutionContext, doubled):
        return doubled

    repo = repository(raw, total, doubled, share)
    result = repo.backfill(["share"], partition_keys=keys("c"), include_upstream=True)
    assert counts(result) == (5, 0, 0)
    assert calls[-1] == "total"
    assert repo.load_node("share", key("c")) == 4


def test_an_external_unpartitioned_asset_is_left_out(tmp_path):
    handler = PickleIOHandler(tmp_path)
    handler.handle_output(rs.io.OutputContext("rates"), 5)
    rates = rs.Asset.external("rates", io_handler=handler)

    @rs.Asset(partitions_def=letters(1))
    def sales(rates):
        return rates

    repo = repository(rates, sales)
    assert counts(repo.backfill(["sales"], partition_keys=keys("a"), include_upstream=True)) == (
        1,
        0,
        0,
    )


CRASH = """
import os, sys
sys.path.insert(0, sys.argv[2])
import rivers as rs
from rivers.io import PickleIOHandler
from tests.planning.test_unpartitioned_neighbours import both, shop

def die(self, context, value):
    if context.asset_name == "sales":
        os._exit(3)
    write(self, context, value)

write, PickleIOHandler.handle_output = PickleIOHandler.handle_output, die
repo, _ = shop(sys.argv[1] + "/values", storage=rs.Storage.embedded(sys.argv[1] + "/storage.db"))
both(repo, max_concurrency=1)
"""


def test_a_backfill_whose_process_died_is_resumed(tmp_path):
    ended = run_script(CRASH, tmp_path, ROOT)
    assert ended.returncode == 3, ended.stderr
    storage = rs.Storage.embedded(tmp_path / "storage.db")
    repo, calls = shop(tmp_path / "values", storage=storage)
    (backfill_id,) = repo.backfills()["backfill_id"]
    result = repo.resume_backfill(backfill_id)
    assert counts(result) == (5, 0, 0)
    assert sorted(set(calls)) == ["a", "b", "c", *(["rates"] if "rates" in calls else []), "report"]
    assert repo.load_node("report") == 6
