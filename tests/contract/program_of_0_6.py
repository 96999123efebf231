"""A program in the idiom of the package `rivers` 0.6, which runs there and here without a change."""

import logging

import obstore.store
import pydantic

import rivers as rs
from rivers.exceptions import ConfigurationError, PartitionValidationError
from rivers.io_handlers import PickleIOHandler

days = rs.PartitionsDefinition.daily("2024-01-01", end="2024-01-05")
regions = rs.PartitionsDefinition.static_(["us", "eu"])
grid = rs.PartitionsDefinition.multi({"day": days, "region": regions})

store = obstore.store.MemoryStore()
raw = PickleIOHandler(store=store, prefix="raw")
reports = PickleIOHandler(store=store, prefix="v1/reports")
notes: list[tuple[str, ...]] = []


class Shop(rs.Resource):
    """Where the orders are."""

    url: str
    page_size: int = 10

    def setup(self):
        self._open = True

    def teardown(self):
        self._open = False
        notes.append(("closed", self.url))

    def orders(self, key):
        assert self._open
        return [len(key), self.page_size]


class Limits(pydantic.BaseModel):
    """Settings that functions share."""

    largest: int = 1_000


class Settings(pydantic.BaseModel):
    """Configuration of `orders`."""

    factor: int = 1
    broken: str = ""


@rs.Hook.success
def count(context):
    notes.append(("success", context.asset_name))


@rs.Hook.failure(name="page")
def page(context):
    notes.append(("failure", context.asset_name, context.error))


@rs.Asset(
    partitions_def=grid,
    io_handler=raw,
    hooks=[count, page],
    retry=rs.RetryPolicy(max_retries=1),
    tags={"team": "sales"},
    kinds=["table"],
    metadata={"unit": "EUR"},
)
def orders(context: rs.AssetExecutionContext[Settings], shop: Shop) -> list[int]:
    assert context.tags == {"team": "sales"}
    assert context.kinds == ["table"]
    assert context.asset_metadata == {"unit": "EUR"}
    context.log.debug("reading %s", context.partition.keys)
    start, end = context.partition_time_window
    assert (end - start).days == 1
    if context.config.broken and context.config.broken in str(context.partition.keys):
        raise ValueError("the shop is closed")
    return [context.config.factor * number for number in shop.orders("order")]


@rs.Asset.from_multi(
    output_defs=[rs.AssetDef("total", metadata={"kind": "sum"}), rs.AssetDef("largest")],
    partitions_def=grid,
    io_handler=raw,
    hooks=[count],
)
def figures(orders: list[int], limits: Limits):
    yield rs.Output(value=sum(orders), output_name="total", metadata={"rows": len(orders)})
    yield rs.Output(value=min(max(orders), limits.largest), output_name="largest")


@rs.Task
def combined(total: int, largest: int) -> dict[str, int]:
    return {"total": total, "largest": largest}


@rs.Task
def labelled(figures: dict[str, int], context: rs.TaskExecutionContext) -> dict[str, object]:
    return {**figures, "by": context.task_name}


@rs.Asset.from_graph(partitions_def=grid, io_handler="reports", node_io_handler=raw)
def report(total, largest):
    return labelled(combined(total, largest))


def main() -> None:
    """Backfills the grid, fails for a region, and runs again what failed."""
    logging.getLogger("rivers").setLevel(logging.ERROR)
    repo = rs.CodeRepository(
        [orders, figures, report],
        tasks=[combined, labelled],
        resources={"shop": Shop(url="shop://"), "limits": Limits(largest=8), "reports": reports},
        default_executor=rs.Executor.in_process(),
    )
    repo.resolve(rs.Storage.memory())
    repo.validate()
    assert set(repo.assets) == {"orders", "total", "largest", "report"}

    key = rs.PartitionKey.multi({"day": "2024-01-01", "region": "us"})
    result = repo.materialize(
        selection=["report"],
        partition_key=key,
        include_upstream=True,
        config={"orders": {"factor": 2}},
    )
    assert result.success
    assert result.failed_assets == []
    assert repo.load_node("report", partition_key=key) == {
        "total": 30,
        "largest": 8,
        "by": "labelled",
    }
    assert repo.load_node("report/combined", partition_key=key) == {"total": 30, "largest": 8}
    assert ("success", "total") in notes

    everything = rs.PartitionKeyRange.multi(
        {"day": ("2024-01-01", "2024-01-04"), "region": ["us", "eu"]}
    )
    backfill = repo.backfill(
        selection=["orders"],
        partition_range=everything,
        strategy=rs.BackfillStrategy.per_dimension(multi_run=["day"], single_run=["region"]),
        config={"orders": {"broken": "2024-01-03"}},
        max_concurrency=2,
        tags=[("reason", "test")],
    )
    assert (backfill.num_partitions, backfill.num_runs) == (8, 4)
    status = repo.get_backfill(backfill.backfill_id)
    assert status is not None
    assert status.failed_partitions == 2
    assert ("failure", "orders", "ValueError: the shop is closed") in notes
    again = repo.rerun_backfill(backfill.backfill_id)
    assert (again.num_partitions, again.failed) == (2, 2)

    try:
        rs.CodeRepository([orders], resources={"shop": 3})
    except ConfigurationError:
        notes.append(("refused",))
    partition = rs.PartitionContext(keys=[rs.PartitionKey.single("us")], definition=regions)
    context = rs.AssetExecutionContext("by_hand", partition=partition)
    assert context.partition_key == "us"
    try:
        context.mark_partition_failed(rs.PartitionKey.single("mars"), "no data")
    except PartitionValidationError:
        notes.append(("refused",))
    repo.shutdown()
    assert notes[-3:] == [("refused",), ("refused",), ("closed", "shop://")]


if __name__ == "__main__":
    main()
    print("done")
