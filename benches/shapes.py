"""The shapes of pipelines whose overhead is measured: functions that do nothing, in each way to do it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import rivers as rs
from rivers._rivers import WorkerBatch
from rivers.execution.runner import Program
from rivers.execution.worker import execute_batch
from rivers.execution.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from rivers._rivers import Batch, Engine

    Assets = Callable[[rs.PartitionsDefinition], Sequence[Any]]

_ALL_RUNS = (1 << 63) - 1


@dataclass(frozen=True)
class Shape:
    """A pipeline.

    Attributes:
        names: The names of its assets.
        assets: Makes them over a grid.
        runs: Number of runs that are measured.
        executor: Executes it.
    """

    names: list[str]
    assets: Assets
    runs: int
    executor: rs.Executor


class _SendingWorkers(Workers):
    """Executes what a worker process would, in a thread of this process, so that both sides are counted."""

    def execute(self, batch: Batch, program: Program) -> None:
        known = getattr(self, "_known", None)  # A worker process reads a program once.
        if known is None or known[0] is not program:
            known = self._known = program, Program.unpickle(program.pickled)
        own = known[1]
        while (sent := batch.send(_ALL_RUNS)) is not None:
            batch.receive(execute_batch(own, WorkerBatch(batch.spec, sent, batch.prior_attempts())))

    def cancel(self, backfill_key: int) -> None:
        pass

    def close(self) -> None:
        pass


class Sending(rs.Executor):
    """An executor whose workers share nothing with the engine, but are in its process."""

    @property
    def capacity(self) -> int:
        """One worker."""
        return 1

    @property
    def isolation(self) -> Any:
        """What it measures: worker processes."""
        return "process"

    def start(self, engine: Engine) -> Workers:
        """Returns its workers."""
        return _SendingWorkers(engine)


def _no_op(grid: rs.PartitionsDefinition) -> Sequence[Any]:
    @rs.Asset(partitions_def=grid)
    def nothing() -> None:
        pass

    return [nothing]


def _not_annotated(grid: rs.PartitionsDefinition) -> Sequence[Any]:
    # That each of its values is None is not known before it returns.
    @rs.Asset(partitions_def=grid)
    def nothing(context):  # type: ignore[no-untyped-def]
        pass

    return [nothing]


def _key(grid: rs.PartitionsDefinition) -> Sequence[Any]:
    @rs.Asset(partitions_def=grid)
    def looking(context: rs.AssetExecutionContext) -> None:
        context.partition_key  # noqa: B018

    return [looking]


def _value(grid: rs.PartitionsDefinition) -> Sequence[Any]:
    @rs.Asset(partitions_def=grid, io_handler=rs.InMemoryIOHandler())
    def one() -> int:
        return 1

    return [one]


def _two(grid: rs.PartitionsDefinition) -> Sequence[Any]:
    handler = rs.InMemoryIOHandler()

    @rs.Asset(partitions_def=grid, io_handler=handler)
    def first() -> int:
        return 1

    @rs.Asset(partitions_def=grid, io_handler=handler)
    def second(first: int) -> int:
        return first

    return [first, second]


def _failure(grid: rs.PartitionsDefinition) -> Sequence[Any]:
    @rs.Asset(partitions_def=grid)
    def failing() -> None:
        raise ValueError

    return [failing]


def _async(grid: rs.PartitionsDefinition) -> Sequence[Any]:
    @rs.Asset(partitions_def=grid)
    async def nothing() -> None:
        pass

    return [nothing]


def _mapping(grid: rs.PartitionsDefinition) -> Sequence[Any]:
    hours = len(grid.get_partition_keys())
    start = datetime(2000, 1, 1)
    windows = rs.PartitionsDefinition.hourly(start, end=start + timedelta(hours=hours))

    @rs.Asset(partitions_def=windows)
    def upstream() -> None:
        pass

    before = rs.AssetDef.dep("upstream", partition_mapping=rs.PartitionMapping.time_window(-1))

    @rs.Asset(partitions_def=windows, deps=[before])
    def downstream() -> None:
        pass

    return [upstream, downstream]


def _retry(grid: rs.PartitionsDefinition) -> Sequence[Any]:
    tried: set[str] = set()

    @rs.Asset(partitions_def=grid, retry=rs.RetryPolicy(max_retries=1))
    def stumbling(context: rs.AssetExecutionContext) -> None:
        if context.partition_key not in tried:
            tried.add(context.partition_key)
            raise ValueError

    return [stumbling]


def _skip(grid: rs.PartitionsDefinition) -> Sequence[Any]:
    @rs.Asset(partitions_def=grid)
    def skipping() -> None:
        raise rs.Skip("nothing there")

    return [skipping]


def _generator(grid: rs.PartitionsDefinition) -> Sequence[Any]:
    @rs.Asset(partitions_def=grid, io_handler=rs.InMemoryIOHandler())
    def yielding():  # type: ignore[no-untyped-def]
        yield 1

    return [yielding]


def _multi_asset(grid: rs.PartitionsDefinition) -> Sequence[Any]:
    handler = rs.InMemoryIOHandler()
    outputs = [rs.AssetDef("left", io_handler=handler), rs.AssetDef("right", io_handler=handler)]

    @rs.Asset.from_multi(partitions_def=grid, output_defs=outputs)
    def both() -> Any:
        return {"left": 1, "right": 2}

    return [both]


_HERE = rs.Executor.in_process()

SHAPES = {
    "no-op": Shape(["nothing"], _no_op, 40_000, _HERE),
    "not annotated": Shape(["nothing"], _not_annotated, 40_000, _HERE),
    "key accessed": Shape(["looking"], _key, 20_000, _HERE),
    "value": Shape(["one"], _value, 20_000, _HERE),
    "two assets": Shape(["first", "second"], _two, 20_000, _HERE),
    "failure": Shape(["failing"], _failure, 4_000, _HERE),
    "async": Shape(["nothing"], _async, 40_000, _HERE),
    "process": Shape(["nothing"], _no_op, 40_000, Sending()),
    "mapping": Shape(["upstream", "downstream"], _mapping, 10_000, _HERE),
    "retry": Shape(["stumbling"], _retry, 4_000, _HERE),
    "skip": Shape(["skipping"], _skip, 4_000, _HERE),
    "generator": Shape(["yielding"], _generator, 4_000, _HERE),
    "multi-asset": Shape(["left", "right"], _multi_asset, 10_000, _HERE),
}
"""By name; the numbers of runs keep the measurement short."""


@contextmanager
def prepared(
    shape: Shape, num_runs: int, max_concurrency: int = 1
) -> Generator[Callable[[], object]]:
    """Gives what executes a number of runs of a shape, in the storage of the environment."""
    keys = [str(number) for number in range(num_runs)]
    assets = shape.assets(rs.PartitionsDefinition.static_(keys))
    with rs.CodeRepository(assets, default_executor=shape.executor) as repo:
        ends = (None, None) if shape.assets is _mapping else (keys[0], keys[-1])
        whole = rs.PartitionKeyRange.single(*ends)
        yield lambda: repo.backfill(
            selection=shape.names, partition_range=whole, max_concurrency=max_concurrency
        )
