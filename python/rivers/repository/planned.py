"""What a plan becomes for its caller: a result, and how long it may take."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rivers.status import tables
from rivers.status.results import BackfillResult, check_listed, run_ids

if TYPE_CHECKING:
    from collections.abc import Callable

    from rivers._rivers import Plan
    from rivers.partitions import PartitionKey
    from rivers.repository.runtime import Runtime


def planned_result(
    backfill_id: str,
    plan: Plan,
    status: str,
    assets: list[str],
    estimate: Callable[[], float | None] = lambda: None,
) -> BackfillResult:
    """Describes a plan; its lists are made when they are read.

    Args:
        backfill_id: The id of its backfill; `""` in a dry run.
        plan: The runs.
        status: How the backfill stands; `"dry_run"` if there is none.
        assets: Names of the assets, in order.
        estimate: Returns the seconds that it may take.
    """
    dry = status == "dry_run"
    layers = plan.layers
    result = BackfillResult(backfill_id, plan.num_partitions, plan.num_runs, status, is_dry_run=dry)
    result.partitions_per_asset = {
        assets[index]: selection.num_partitions
        for selection, _, indices in layers
        for index in (indices or range(len(assets)))
    }
    selections = result.__dict__["_selections"] = tuple(layer[0] for layer in layers)

    def partition_keys() -> list[PartitionKey]:
        instead = "to_polars() and the tables of a backfill need less memory"
        check_listed("partitions", sum(own.num_partitions for own in selections), instead)
        return [key for own in selections for key in own.keys()]  # noqa: SIM118

    result._later(  # noqa: SLF001
        run_ids=lambda: [] if dry else run_ids(backfill_id, plan.num_runs),
        partition_keys=partition_keys,
        to_polars=lambda: tables.of_layers(layers, assets, lambda at: layers[at][0].table()),
        estimate=estimate,
    )
    return result


def estimate(runtime: Runtime, names: list[str], plan: Plan, max_concurrency: int) -> float | None:
    """Seconds that the runs of a plan would take at the rate of the assets' latest runs."""
    seconds = runtime.store.seconds_per_partition(names)
    if seconds is None or not plan.num_runs:
        return None if seconds is None else 0.0
    queue = runtime.run_queue
    bounds = [
        max_concurrency,
        runtime.executor.capacity,
        queue.max_concurrent_runs if queue else None,
    ]
    at_once = min(bound for bound in bounds if bound is not None)
    rounds = math.ceil(plan.num_runs / at_once)
    return rounds * seconds * plan.num_partitions / plan.num_runs
