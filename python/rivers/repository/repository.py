"""What a user calls: a repository of assets, its runs and its backfills."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from rivers.assets import pools
from rivers.assets.config import check_config
from rivers.exceptions import (
    ExecutionError,
    PartitionValidationError,
)
from rivers.planning import limits as steering
from rivers.planning import request as submission
from rivers.planning import runs as planning
from rivers.policies.retry import RetryPolicy, check_retry
from rivers.policies.run_queue import BACKFILL_PRIORITY
from rivers.repository.awaiting import Awaiting
from rivers.repository.control import Control
from rivers.repository.single_runs import Runs
from rivers.repository.waiting import wait_at_exit
from rivers.status import tables
from rivers.status.results import BackfillResult, run_ids

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable

    from rivers._rivers import Plan
    from rivers.assets.asset_graph import Node
    from rivers.execution.runner import Program
    from rivers.partitions import PartitionKey, PartitionKeyRange
    from rivers.policies.strategy import BackfillStrategy

_log = logging.getLogger("rivers")

_RERUN = "run the rest with rerun_backfill({0!r})"
"""What Ctrl-C tells of a backfill."""


class CodeRepository(Runs, Control, Awaiting):
    """Assets, and everything that can be done with them.

    Args:
        assets: The assets.
        default_executor: Where runs are executed; threads of this process by default.
        partition_defs: Definitions by name, for assets that name theirs.
        run_queue: One queue for all runs; without it each backfill is bounded by its own
            `max_concurrency` alone.
        default_retry_policy: How assets that have no `retry` are tried again; by default not at all.
        pool_limits: How many slots each pool has, over all runs of this repository in this process and
            its worker processes; see `Asset(pool=)`.
        clock: Returns the current time, which definitions without an `end` reach: an aware datetime, or
            a naive one in UTC. By default the machine's clock in UTC, whatever its local zone.
        lease_seconds: How long a process that shows no life keeps its backfills from being resumed
            elsewhere. One that is seen to be dead does not keep them at all.

    Raises:
        AssetDefinitionError: Something is no asset, two have one name, or one takes slots of a pool that
            has no or not so many.
        GraphValidationError: A dependency does not exist, or there is a cycle.

    Example:
        >>> import rivers as rs
        >>> @rs.Asset(partitions_def=rs.PartitionsDefinition.static_(["us", "eu", "asia"]))
        ... def sales(context: rs.AssetExecutionContext) -> int:
        ...     return len(context.partition_key)
        >>> with rs.CodeRepository([sales]).resolve(rs.Storage.memory()) as repo:
        ...     result = repo.backfill(partition_range=rs.PartitionKeyRange.single("us", "eu"))
        >>> result.status, result.completed
        ('completed', 2)
    """

    def backfill(
        self,
        selection: list[str] | None = None,
        partition_keys: list[PartitionKey] | None = None,
        partition_range: PartitionKeyRange | None = None,
        strategy: BackfillStrategy | None = None,
        failure_policy: str = "continue",
        max_concurrency: int = 4,
        tags: list[tuple[str, str]] | None = None,
        config: dict[str, dict[str, Any]] | None = None,
        block: bool = True,
        dry_run: bool = False,
        *,
        only_missing: bool = False,
        include_upstream: bool = False,
        include_downstream: bool = False,
        retry: RetryPolicy | None = None,
        max_failures: float | None = None,
        order: str | list[str] = "definition",
        max_starts_per_second: float | None = None,
        overlap: str = "allow",
        canary: int | None = None,
    ) -> BackfillResult:
        """Launches a backfill.

        The partitions are those of the first selected asset. The others have the same keys or, where
        they do not, what the mappings between the assets lead to. Where partitions of one asset need
        other partitions of another asset, or earlier ones of the same, each run starts when all that it
        needs has ended, and fails with `UpstreamFailed` where that failed. Such assets have runs of
        their own, and their partitions are counted for each.

        Args:
            selection: Names of assets; all partitioned ones by default.
            partition_keys: The partitions, one by one; a key with several values stands for several.
                Also a `PartitionSet` (`definition.select(...)`), or a table with a column per
                dimension: a Polars frame or anything else with the Arrow interface.
            partition_range: Or a range of them.
            strategy: How they are grouped into runs; by default as the assets declare, else one run
                per partition.
            failure_policy: `"continue"`, or `"stop_on_failure"`: nothing starts after a failure.
            max_concurrency: Most runs in flight.
            tags: Attached to each run; `("rivers/priority", "N")` overrides the priority, -10.
            config: Per-asset values of their config models.
            block: Whether to wait for its end; Ctrl-C cancels it then.
            dry_run: Whether to check and plan only; nothing is stored.
            only_missing: Whether to leave out what is materialized for each of the assets; with
                nothing left the backfill is empty and completed.
            include_upstream: Whether to add all that the selected partitions need, near and far; of an
                asset that needs its own earlier partitions, all earlier ones. With `only_missing` it is
                what it takes to make the selected partitions.
            include_downstream: Whether to add all that needs the selected partitions, near and far.
            retry: How assets that raise are tried again; it goes before `Asset(retry=)`, which goes
                before `CodeRepository(default_retry_policy=)`. `RetryPolicy(0)`: not at all. It is
                kept with the backfill.
            max_failures: It stops, as under `"stop_on_failure"`, when so many partitions have failed: an
                int of at least 1; or a float below 1, a fraction of those that have ended, from 20 on.
            order: In which order partitions are run: `"definition"`, as they are defined, or as single
                keys are given; `"reverse"`, from the end, the newest first; or a list of dimensions, the
                slowest first, with a minus where the last key comes first: `["-date", "region"]`. Those
                left out follow. Inside a run the order is the definition's. A run that needs others starts
                after those, whatever the order.
            max_starts_per_second: Most runs that start in a second, spread evenly; a number above 0. It
                spares a service that counts calls, whatever the concurrency.
            overlap: `"allow"`, or `"refuse"`: not while another backfill that has not ended, also one that
                was interrupted, holds some of the same partitions of the same asset.
            canary: So many partitions first, spread over all; the rest if they complete, else it is
                canceled. Where runs have several partitions: so many runs.

        Returns:
            What became of it, or of a background backfill or dry run: what is planned.

        Raises:
            AssetNotFoundError: An asset does not exist.
            PartitionValidationError: A partition does not.
            ConfigurationError: Another argument has a value that is not allowed.
            ExecutionError: The arguments do not fit together.
            StorageError: The storage failed; the backfill can be resumed.
        """
        nodes = submission.select_assets(self._graph, selection)
        now = self._clock()
        space_of = self._spaces_of(now)
        chosen = submission.select_partitions(space_of(nodes[0]), partition_keys, partition_range)
        parts = planning.follow(self._graph, nodes, chosen, space_of)
        store = self.storage._store  # noqa: SLF001
        if only_missing:
            parts = submission.left_out(parts, self._graph, store)
        parts = planning.widen(
            self._graph, parts, space_of, upstream=include_upstream, downstream=include_downstream,
            keep=lambda found, nodes: (
                submission.only_missing(found, nodes, store) if only_missing else found
            ),
        )  # fmt: skip
        plan = planning.plan_runs(
            self._graph, parts, lambda nodes: submission.choose_strategy(strategy, nodes),
            lambda selection: steering.in_order(selection, order),
        )  # fmt: skip
        steering.check_plan(plan, canary)
        checked_tags, priority = submission.check_tags(tags, BACKFILL_PRIORITY)
        return self._launch(
            self._graph.in_order(parts), plan, now, config, block=block, dry_run=dry_run,
            tags=checked_tags, priority=priority, retry=check_retry("retry", retry),
            **steering.checked(
                failure_policy=failure_policy,
                max_concurrency=max_concurrency,
                max_failures=max_failures,
                max_starts_per_second=max_starts_per_second,
                overlap=overlap,
                canary=canary,
            ),
        )  # fmt: skip

    def rerun_backfill(
        self,
        backfill_id: str,
        block: bool = True,
        dry_run: bool = False,
        *,
        error_type: str | None = None,
    ) -> BackfillResult:
        """Launches the failed and canceled partitions of a backfill again, as a new one.

        Args:
            backfill_id: The backfill.
            block: Whether to wait for the end.
            dry_run: Whether to plan only.
            error_type: Only what failed with this type of error, as `backfill_errors()` names it;
                what was canceled is left out then.

        Raises:
            BackfillNotFoundError: There is no such backfill.
            ConfigurationError: No partition failed with `error_type`.
            ExecutionError: It has not ended, or none of its partitions is defined any more.
        """
        record = self._record(backfill_id)
        if record["status"] == "in_progress":
            msg = (
                f"the backfill {backfill_id!r} has not ended; wait for it, cancel it with "
                "cancel_backfill(), or continue it with resume_backfill() if its process died"
            )
            raise ExecutionError(msg)
        nodes = submission.select_assets(self._graph, record["assets"])
        now = self._clock()
        store = self.storage._store  # noqa: SLF001
        left = store.uncompleted(backfill_id)
        if error_type is not None:
            left = self._failed_with(backfill_id, error_type)
        parts: planning.Parts = {}
        strategies: dict[str, planning.Strategy] = {}
        space_of = self._spaces_of(now)
        for own, (_, strategy, places) in zip(left, store.plan(record["key"]).layers, strict=True):
            spaces = [
                (node, space_of(node))
                for place, node in enumerate(nodes)
                if places is None or place in places
            ]
            if own.num_partitions or len(left) == 1:
                parts |= {node.name: submission.only_defined(own, spaces) for node, _ in spaces}
                strategies |= {node.name: strategy for node, _ in spaces}
        plan = planning.plan_runs(self._graph, parts, lambda nodes: strategies[nodes[0].name])
        tags = [tag for tag in record["tags"] if tag[0] != submission.RERUN_TAG]
        return self._launch(
            self._graph.in_order(parts), plan, now, submission.stored_config(record), block=block,
            dry_run=dry_run, tags=[*tags, (submission.RERUN_TAG, backfill_id)],
            retry=submission.stored_retry(record), **steering.kept(record),
        )  # fmt: skip

    def resume_backfill(self, backfill_id: str, *, block: bool = True) -> BackfillResult:
        """Continues a backfill whose process died, under the same id.

        Attempts that had failed and were recorded count; what waited for its next attempt waits on, and
        that attempt executes all assets of the run. One that the process died in does not count.

        One that is paused stays so until `unpause_backfill()`; `block=True` waits on. Waits up to 2 s for
        worker processes of the dead process to leave: until then they may still be in a function.

        Args:
            backfill_id: The backfill.
            block: Whether to wait for the end.

        Raises:
            BackfillNotFoundError: There is no such backfill.
            ExecutionError: It has ended, or its process lives, or a worker process of it does not leave.
        """
        record = self._record(backfill_id)
        _, engine, workers = self._connected()
        nodes = submission.select_assets(self._graph, record["assets"])
        _, instances = check_config(submission.stored_config(record), nodes)
        now = self._clock()
        plan = self.storage._store.plan(record["key"])  # noqa: SLF001
        program = self._program(nodes, plan, instances, now, submission.stored_retry(record))
        self._check_still_defined(program, plan, now)
        workers.prepare()
        left = record["num_partitions"] - record["completed"] - record["failed"]
        with self._reports.telling:
            key = engine.resume(backfill_id, program, self._executor, pools.needs(nodes))
            self._reports.taken_over(backfill_id, left, record["num_partitions"])
        workers.notify()
        wait_at_exit(self, processes=self._executor.isolation != "none")
        if block:
            self._wait(key, backfill_id, record["num_partitions"], _RERUN)
        return self._result(backfill_id, plan)

    def _check_still_defined(self, program: Program, plan: Plan, now: dt.datetime) -> None:
        """Has runs look for partitions that are gone, where the definition has changed since."""
        for (selection, _, _), steps in zip(plan.layers, program.layers, strict=True):
            for step in steps:
                space = self._space(step.definition, now)
                try:
                    selection.check_in(space, step.name)
                except PartitionValidationError:
                    step.defined = space

    def cancel_backfill(self, backfill_id: str) -> bool:
        """Cancels a backfill.

        Returns:
            `True` if it runs in this process and was told to stop: nothing new starts from now on.
            `False` otherwise: a process that runs it finds the storage's marker within a second; if
            none does, it has ended now.

        Raises:
            BackfillNotFoundError: There is no such backfill.
        """
        self._record(backfill_id)
        told = self._connected()[1].cancel(backfill_id)
        self._reports.tell()
        return told

    def _launch(
        self, nodes: list[Node], plan: Plan, now: dt.datetime, config: Any, *,
        block: bool, dry_run: bool, retry: RetryPolicy | None, **request: Any,
    ) -> BackfillResult:  # fmt: skip
        if dry_run:
            self._prepare(nodes, plan, now, config, retry)
            if request["refuse_overlap"]:
                self.storage._store.refuse_overlap([node.name for node in nodes], plan)  # noqa: SLF001
            most = request["max_concurrency"]
            names = [node.name for node in nodes]
            return _planned("", plan, "dry_run", names, lambda: self._estimate(nodes, plan, most))
        key, backfill_id, _ = self._submit(
            nodes, plan, now, config, manual=False, retry=retry, **request
        )
        if block:
            self._wait(key, backfill_id, plan.num_partitions, _RERUN)
        return self._result(backfill_id, plan)

    def _result(self, backfill_id: str, plan: Plan) -> BackfillResult:
        record = self._record(backfill_id)
        result = _planned(backfill_id, plan, record["status"], record["assets"])
        result._fill(record)  # noqa: SLF001
        result.__dict__["_table"] = self._drawn(backfill_id)
        return result


def _planned(
    backfill_id: str,
    plan: Plan,
    status: str,
    assets: list[str],
    estimate: Callable[[], float | None] = lambda: None,
) -> BackfillResult:
    dry = status == "dry_run"
    layers = plan.layers
    result = BackfillResult(backfill_id, plan.num_partitions, plan.num_runs, status, is_dry_run=dry)
    result.partitions_per_asset = {
        assets[place]: selection.num_partitions
        for selection, _, places in layers
        for place in (places or range(len(assets)))
    }
    result._later(  # noqa: SLF001
        run_ids=lambda: [] if dry else run_ids(backfill_id, plan.num_runs),
        partition_keys=lambda: [key for layer in layers for key in layer[0].keys()],  # noqa: SIM118
        to_polars=lambda: tables.of_layers(layers, assets, lambda at: layers[at][0].table()),
        estimate=estimate,
    )
    return result
