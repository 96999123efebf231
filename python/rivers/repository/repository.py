"""`CodeRepository`: the assets of a project, their runs and their backfills."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

from rivers._rivers import PartitionsDefinition
from rivers.assets import pools
from rivers.assets.asset_graph import Graph
from rivers.assets.graph_asset import check_tasks
from rivers.exceptions import AssetDefinitionError, ConfigurationError, ExecutionError
from rivers.execution.executor import Executor
from rivers.execution.resources import Resources
from rivers.planning.request import BackfillRequest, RunRequest
from rivers.policies.retry import RetryPolicy, check_retries, check_retry
from rivers.policies.run_queue import RunQueueConfig
from rivers.repository import reports, single_runs
from rivers.repository.importing import executor_of_command
from rivers.repository.launch import Launcher
from rivers.repository.program_builder import ProgramBuilder
from rivers.repository.runtime import Runtime
from rivers.status import tables
from rivers.status.notifications import check_hooks
from rivers.storage.storage import Storage

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
    from types import TracebackType
    from typing import Self, Unpack

    import polars as pl

    from rivers.assets.asset import Asset
    from rivers.assets.graph_asset import Task
    from rivers.client import BackfillClient
    from rivers.io import BaseIOHandler
    from rivers.partitions import PartitionKey, PartitionKeyRange
    from rivers.partitions.key_forms import KeyLike, KeyLikes
    from rivers.planning.request import (
        BackfillOptions,
        FailurePolicy,
        MoreOptions,
        Order,
        Overlap,
    )
    from rivers.policies.strategy import BackfillStrategy
    from rivers.repository.run_handle import RunHandle
    from rivers.status.grid import Bounds
    from rivers.status.notifications import BackfillEnd
    from rivers.status.results import BackfillResult, BackfillStatus, RunResult

    StatusFilter = str | Sequence[str] | None


class CodeRepository:
    """Assets, and everything that can be done with them.

    Args:
        assets: The assets, as they are now: what is set on them later, such as another `io_handler`,
            need not have an effect.
        tasks: Tasks that graph assets use. A task that is not listed works as well.
        default_executor: Where runs are executed; threads of this process by default.
        partition_defs: Definitions by name, for assets that refer to theirs by name.
        run_queue: One queue for all runs; without it each backfill is limited by its own
            `max_concurrency` alone.
        default_retry_policy: How assets without `retry` are retried; by default they are not.
        retries: Retry policies by name, which `retry=` of assets, tasks and backfills and
            `default_retry_policy` may give in place of a policy.
        resources: What functions share, by the name of the parameter that takes it, and what
            `io_handler="name"` means: a `Resource`, a pydantic model or an IO handler each. They are
            set up when the repository connects to its storage, and torn down by `close()`.
        pool_limits: Number of slots of each pool, over all runs of this repository in this process and
            its worker processes; see `Asset(pool=)`. A pool whose slots are set in the storage
            (`Storage.set_pool`, `rivers pools set`) is limited over all processes, too; with `None` only
            there.
        clock: Returns the current time, which definitions without an `end` reach: an aware datetime, or
            a naive one in UTC. By default the machine's clock in UTC, whatever its local zone.
        lease_seconds: Seconds after which the backfills of a silent process can be resumed elsewhere.
            Those of a process that is seen to be dead can be resumed at once.
        on_backfill_end: Functions, perhaps `async`, that are called with a `BackfillEnd` when a backfill of
            these assets has ended: at least once, by the process that ends it if it has loaded the
            repository, otherwise by the next that connects. `notification_id` identifies repeats. What
            they raise is logged.

    Raises:
        AssetDefinitionError: Something is no asset or no task, two assets have one name, or an asset
            needs more slots of a pool than there are.
        GraphValidationError: A dependency does not exist, or there is a cycle.
        ConfigurationError: A resource is of another kind, or a name of a handler or a retry policy is
            unknown.

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

    def __init__(
        self,
        assets: Iterable[Asset],
        tasks: Iterable[Task[Any]] | None = None,
        *,
        default_executor: Executor | None = None,
        partition_defs: Mapping[str, PartitionsDefinition] | None = None,
        run_queue: RunQueueConfig | None = None,
        default_retry_policy: RetryPolicy | str | None = None,
        retries: Mapping[str, RetryPolicy] | None = None,
        resources: Mapping[str, Any] | None = None,
        pool_limits: Mapping[str, int | None] | None = None,
        clock: Callable[[], dt.datetime] | None = None,
        lease_seconds: float = 15.0,
        on_backfill_end: Sequence[Callable[[BackfillEnd], Any]] = (),
    ) -> None:
        _check_kinds(default_executor, partition_defs, run_queue, clock)
        check_tasks(tasks)
        executor = executor_of_command() or default_executor or Executor.in_process()
        shared = Resources(resources, travel=executor.isolation != "none")
        self._declared = list(assets), dict(partition_defs or {}), list(shared)
        self._graph = Graph(*self._declared)
        limits = pools.check_limits(pool_limits or {}, self._graph)
        self._retries = check_retries(retries)
        retry = check_retry("default_retry_policy", default_retry_policy, self._retries)
        runtime = self._runtime = Runtime(
            executor, run_queue, limits, lease_seconds, shared,
            check_hooks(on_backfill_end), list(self._graph.nodes),
        )  # fmt: skip
        builder = ProgramBuilder(
            self._graph, retry, executor.isolation, self._retries, shared,
            store=lambda: runtime.store,
        )  # fmt: skip
        self._launcher = Launcher(self._runtime, self._graph, builder, clock)

    # -- the storage -------------------------------------------------------------------------------

    def resolve(self, storage: Storage | None = None) -> Self:
        """Connects the repository to its storage.

        It is called at first use otherwise, with `Storage.default()`.

        Args:
            storage: Where runs and backfills are recorded.

        Returns:
            The repository itself.

        Raises:
            StorageError: The storage cannot be opened.
            ExecutionError: A backfill is still running on another storage.
        """
        if storage is not None and not isinstance(storage, Storage):
            msg = f"storage must be a Storage, such as Storage.embedded(path), got {storage!r}"
            raise TypeError(msg)
        self._runtime.connect(storage)
        return self

    @property
    def storage(self) -> Storage:
        """Where runs and backfills are recorded."""
        return self._runtime.storage

    @property
    def assets(self) -> dict[str, Asset]:
        """The assets by name, in the order given; each output of a multi-asset is one.

        Example:
            >>> import rivers as rs
            >>> @rs.Asset
            ... def answer() -> int:
            ...     return 42
            >>> rs.CodeRepository([answer]).assets
            {'answer': <Asset 'answer'>}
        """
        return {name: node.asset for name, node in self._graph.nodes.items()}

    def validate(self) -> None:
        """Checks that the assets fit together, without a storage.

        The constructor makes the same checks, so that this succeeds unless what an asset refers to has
        changed since.

        Raises:
            AssetDefinitionError: An asset is declared wrongly.
            GraphValidationError: A dependency does not exist, or there is a cycle.
        """
        Graph(*self._declared)

    def io_handler_for_output(self, name: str) -> BaseIOHandler:
        """Returns the handler that stores the values of an asset, which may be the default one.

        Args:
            name: The asset; an output of a multi-asset is one.

        Raises:
            AssetNotFoundError: There is no such asset.
        """
        return self._launcher.builder.handler(self._graph[name])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Waits for the backfills that run in the background, then ends threads and processes.

        The repository can be used again afterwards: the next call connects it anew.
        """
        self._runtime.close()

    def shutdown(self) -> None:
        """Closes the repository, as `close()` does."""
        self.close()

    # -- single runs -------------------------------------------------------------------------------

    def materialize(
        self,
        selection: Sequence[str] | None = None,
        partition_key: KeyLike | None = None,
        tags: Sequence[tuple[str, str]] | None = None,
        raise_on_error: bool = True,
        config: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        include_upstream: bool = False,
        retry: RetryPolicy | str | None = None,
    ) -> RunResult:
        """Executes assets in one run, and waits for it.

        Args:
            selection: Names of assets; all but external ones by default.
            partition_key: The partition or partitions, for the partitioned ones.
            tags: Attached to the run; `("rivers/priority", "N")` overrides its priority, 0.
            raise_on_error: Whether a failure is raised, or only returned in the result.
            config: Values of the assets' config models, by asset.
            include_upstream: Whether to execute all assets that the selected ones depend on, directly
                or not, as well; external ones are left out.
            retry: How failing assets are retried: a policy, or the name of one in
                `CodeRepository(retries=)`. It goes before `Asset(retry=)`, which goes before
                `CodeRepository(default_retry_policy=)`; `RetryPolicy(0)` disables retries.

        Raises:
            ExecutionError: An asset failed (the exception is its cause), or the call is refused.
            AssetNotFoundError: An asset does not exist.
            PartitionValidationError: The key is not one of each partitioned asset's.
            ConfigurationError: `tags`, `config` or `retry` are not valid.

        Example:
            >>> import rivers as rs
            >>> @rs.Asset
            ... def prices() -> list[int]:
            ...     return [2, 3]
            >>> @rs.Asset
            ... def total(prices: list[int]) -> int:
            ...     return sum(prices)
            >>> with rs.CodeRepository([prices, total]).resolve(rs.Storage.memory()) as repo:
            ...     repo.materialize(["total"], include_upstream=True).materialized_assets
            ['prices', 'total']
        """
        request = RunRequest(tags, config, retry=check_retry("retry", retry, self._retries))
        names = single_runs.expanded(self._launcher, selection) if include_upstream else selection
        return single_runs.materialize(
            self._launcher, names, partition_key, request, raise_on_error=raise_on_error
        )

    def submit(
        self,
        selection: Sequence[str] | None = None,
        partition_key: KeyLike | None = None,
        tags: Sequence[tuple[str, str]] | None = None,
        config: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> RunHandle:
        """Executes assets in one run, in the background; the arguments are those of `materialize`.

        Returns:
            A handle with `status`, `wait(timeout)` and `cancel()`.

        Example:
            >>> import rivers as rs
            >>> @rs.Asset
            ... def answer() -> int:
            ...     return 42
            >>> with rs.CodeRepository([answer]).resolve(rs.Storage.memory()) as repo:
            ...     repo.submit(["answer"]).wait().success
            True
        """
        return single_runs.submit(
            self._launcher, selection, partition_key, RunRequest(tags, config)
        )

    def load_node(
        self, name: str, partition_key: KeyLike | None = None, *, type_hint: Any = None
    ) -> Any:
        """Loads the value of an asset through its IO handler.

        Args:
            name: The asset, or a task of a graph asset: `asset/task`.
            partition_key: Its partition; with several, the result is a dict of values.
                Partitions that were skipped when they were last run have no value, and are left out of the
                dict.
            type_hint: The type that the value is to have, such as `polars.LazyFrame`; the handler gets
                it as `InputContext.type_hint`, and decides what it means.

        Raises:
            AssetNotFoundError: There is no such asset.
            PartitionValidationError: The key is not one of the asset's.
            ExecutionError: Nothing is stored, the partition was skipped, or a key is missing or was not
                expected.
        """
        return single_runs.load_node(self._launcher, name, partition_key, type_hint)

    # -- backfills ---------------------------------------------------------------------------------

    @overload
    def backfill(
        self,
        selection: list[str] | None = None,
        partition_keys: list[PartitionKey] | None = None,
        partition_range: PartitionKeyRange | None = None,
        strategy: BackfillStrategy | None = None,
        failure_policy: FailurePolicy = ...,
        max_concurrency: int = ...,
        tags: list[tuple[str, str]] | None = None,
        config: dict[str, dict[str, Any]] | None = None,
        block: bool = ...,
        dry_run: bool = ...,
        **options: Unpack[MoreOptions],
    ) -> BackfillResult: ...
    @overload
    def backfill(
        self,
        selection: Sequence[str] | None = None,
        partition_keys: KeyLikes | None = None,
        partition_range: PartitionKeyRange | None = None,
        strategy: BackfillStrategy | str | None = None,
        failure_policy: FailurePolicy = ...,
        max_concurrency: int = ...,
        tags: Sequence[tuple[str, str]] | None = None,
        config: Mapping[str, Mapping[str, Any]] | None = None,
        block: bool = ...,
        dry_run: bool = ...,
        **options: Unpack[MoreOptions],
    ) -> BackfillResult: ...
    def backfill(  # type: ignore[misc]  # It takes the forms of the overloads; its own are those of the page.
        self,
        selection: list[str] | None = None,
        partition_keys: list[PartitionKey] | None = None,
        partition_range: PartitionKeyRange | None = None,
        strategy: BackfillStrategy | None = None,
        failure_policy: FailurePolicy = "continue",
        max_concurrency: int = 4,
        tags: list[tuple[str, str]] | None = None,
        config: dict[str, dict[str, Any]] | None = None,
        block: bool = True,
        dry_run: bool = False,
        *,
        only_missing: bool = False,
        include_upstream: bool = False,
        include_downstream: bool = False,
        retry: RetryPolicy | str | None = None,
        max_failures: float | None = None,
        order: Order = "definition",
        max_starts_per_second: float | None = None,
        overlap: Overlap = "allow",
        canary: int | None = None,
        timeout: float | None = None,
        only_stale: bool = False,
    ) -> BackfillResult:
        """Launches a backfill: executes assets for many partitions, in runs that are recorded.

        The partitions are those of the first selected asset. The others have the same keys or, where
        they do not, the partitions that the mappings between the assets lead to. Where partitions of
        one asset need partitions of another asset, or earlier ones of their own, each run starts when
        all runs that it needs have ended, and fails with `UpstreamFailed` if one of those failed. Such
        assets have runs of their own, and their partitions are counted for each.

        Args:
            selection: Names of assets; all partitioned ones by default.
            partition_keys: The partitions, one by one; a key with several values stands for several.
                Also a `PartitionSet` (`definition.select(...)`), or a table with a column per
                dimension: a Polars frame or anything else with the Arrow interface.
            partition_range: Or a range of them.
            strategy: How partitions are grouped into runs; by default as the assets declare, otherwise
                one run per partition.
            failure_policy: `"continue"`, or `"stop_on_failure"`: no run starts after a failure.
            max_concurrency: Maximum number of runs in flight.
            tags: Attached to each run; `("rivers/priority", "N")` overrides the priority, -10.
            config: Values of the assets' config models, by asset.
            block: Whether to wait for the end of the backfill; Ctrl-C then cancels it.
            dry_run: Whether to check and plan only; nothing is stored.
            only_missing: Whether to leave out partitions that are materialized for each of the assets;
                if none remains, the backfill is empty and completed. A partition whose run started
                before the end of its window is selected again, and so is one whose value was in the
                memory of a process that is gone.
            include_upstream: Whether to add all partitions that the selected ones need, directly or
                not; for an asset that needs its own earlier partitions, all earlier ones. With
                `only_missing`, only those that are missing are added.
            include_downstream: Whether to add all partitions that need the selected ones, directly or
                not. Both add unpartitioned assets, each of which runs once.
            retry: How failing assets are retried: a policy, or the name of one in
                `CodeRepository(retries=)`. It goes before `Asset(retry=)`, which goes before
                `CodeRepository(default_retry_policy=)`; `RetryPolicy(0)` disables retries. It is
                stored with the backfill.
            max_failures: The backfill stops, as under `"stop_on_failure"`, when `max_failures`
                partitions have failed: an int of at least 1; or a float below 1, a fraction of the
                partitions that have ended, once 20 have.
            order: The order in which partitions are run: `"definition"`, as they are defined, or as
                single keys are given; `"reverse"`, from the end, the newest first; or a list of
                dimensions, the slowest first, with a minus where the last key comes first:
                `["-date", "region"]`. Dimensions left out follow. Inside a run the order is the
                definition's. A run that needs others starts after those, whatever the order.
            max_starts_per_second: Maximum number of runs that start in a second, spread evenly; a number
                above 0. It protects a service that counts calls, whatever the concurrency.
            overlap: `"allow"`, or `"refuse"`: raise an error while another backfill that has not ended,
                even one that was interrupted, covers some of the same partitions of the same asset.
            canary: Number of partitions, spread over all, to run first. The others start only if all of
                these complete, and are canceled otherwise. Where runs have several partitions, the
                number of runs.
            timeout: Maximum duration of each call of a function, in seconds; it goes before
                `Asset(timeout=)`. After that the call fails with `TimeoutError`, and is retried like
                other failures. It is stored with the backfill.
            only_stale: Whether to leave out partitions that are materialized and up to date. A partition
                is stale if the run that materialized it started before its window's end, if its asset
                declares another `code_version` now, or if an upstream partition that it needs was
                materialized later, or is by this backfill. Missing partitions are selected as with
                `only_missing`. With `include_upstream`, stale partitions that the selected ones need are
                added.

        Returns:
            How the backfill ended; for a background backfill or a dry run, what is planned.

        Raises:
            AssetNotFoundError: An asset does not exist.
            PartitionValidationError: A partition does not exist.
            ConfigurationError: Another argument has a value that is not allowed.
            ExecutionError: The arguments do not fit together.
            StorageError: The storage failed; the backfill can be resumed.
        """
        policy = check_retry("retry", retry, self._retries)
        request = BackfillRequest(
            selection, partition_keys, partition_range, strategy, failure_policy, max_concurrency,
            tags, config, only_missing, include_upstream, include_downstream, policy, max_failures,
            order, max_starts_per_second, overlap, canary, timeout, only_stale,
        )  # fmt: skip
        return self._launcher.backfill(request, block=block, dry_run=dry_run)

    async def backfill_async(self, **options: Unpack[BackfillOptions]) -> BackfillResult:
        """Launches a backfill and awaits its end, while other tasks of the event loop continue.

        Cancelling the task has the effect of Ctrl-C in `backfill()`: no new run starts, runs in flight
        end, the rest is canceled and recorded, then `asyncio.CancelledError` is raised. Cancelling it
        again leaves at once, and the backfill can be resumed.

        Args:
            **options: The arguments of `backfill()`, by name; all but `block`.

        Returns:
            How the backfill ended; for a dry run, what is planned.

        Raises:
            TypeError: There is no such argument, or it is `block`.
            RiversError: As `backfill()`.

        Example:
            >>> import asyncio, rivers as rs
            >>> @rs.Asset(partitions_def=rs.PartitionsDefinition.static_(["us", "eu", "asia"]))
            ... async def sales(context: rs.AssetExecutionContext) -> int:
            ...     await asyncio.sleep(0)
            ...     return len(context.partition_key)
            >>> repo = rs.CodeRepository([sales]).resolve(rs.Storage.memory())
            >>> everywhere = rs.PartitionKeyRange.single("us", "asia")
            >>> asyncio.run(repo.backfill_async(partition_range=everywhere)).status
            'completed'
        """
        if "block" in options:
            raise TypeError("backfill_async() waits without blocking the loop: leave 'block' out")
        result = self.backfill(**options, block=False)
        await self._launcher.wait_async(result)
        return result

    def rerun_backfill(
        self,
        backfill_id: str,
        block: bool = True,
        dry_run: bool = False,
        *,
        error_type: str | None = None,
        where: PartitionKeyRange | Bounds | None = None,
        status: StatusFilter = None,
        asset: str | None = None,
        max_concurrency: int | None = None,
        max_failures: float | None = None,
    ) -> BackfillResult:
        """Launches the failed and canceled partitions of a backfill again, as a new backfill.

        The new backfill has the options of the earlier one, with the values that `update_backfill()`
        gave them.

        Args:
            backfill_id: The backfill.
            block: Whether to wait for the end.
            dry_run: Whether to plan only.
            error_type: Only partitions that failed with this type of error, as `backfill_errors()`
                names it; canceled partitions are left out.
            where: Only partitions in this part: a range of keys, or coordinates as in
                `BackfillClient.cells()`.
            status: Partitions with these statuses, instead of `"failed"` and `"canceled"`. Completed
                ones are executed again.
            asset: Where assets have runs of their own: the asset that `where` and `status` are about.
            max_concurrency: Maximum number of runs in flight; by default that of the earlier backfill.
            max_failures: The failures at which it stops; by default those of the earlier backfill.

        Raises:
            BackfillNotFoundError: There is no such backfill.
            AssetNotFoundError: The backfill does not contain `asset`.
            ConfigurationError: No partition failed with `error_type`, there is no such status, or
                `error_type` is given together with one.
            ExecutionError: The backfill has not ended, or none of its partitions is defined any more.
        """
        part = None
        if where is not None or status is not None:
            if error_type is not None:
                msg = "give error_type, or where and status: not both"
                raise ConfigurationError(msg)
            part = self._client.select_partitions(
                backfill_id, where=where, status=status or ["failed", "canceled"], asset=asset
            )
        # What is chosen by its status is executed again, also if it is materialized.
        return self._launcher.rerun(
            backfill_id, error_type, part, again=bool(status), max_concurrency=max_concurrency,
            max_failures=max_failures, block=block, dry_run=dry_run,
        )  # fmt: skip

    def resume_backfill(self, backfill_id: str, *, block: bool = True) -> BackfillResult:
        """Continues a backfill whose process died, under the same id.

        Failed attempts that were recorded count; a run that was to be retried is still retried, and
        that attempt executes all assets of the run. An attempt during which the process died does not
        count.

        A paused backfill stays paused until `unpause_backfill()`, also with `block=True`. The call
        waits up to 2 s for worker processes of the dead process to exit, since these may still be
        executing a function.

        Args:
            backfill_id: The backfill.
            block: Whether to wait for the end.

        Raises:
            BackfillNotFoundError: There is no such backfill.
            ExecutionError: The backfill has ended, or its process or a worker process is still alive.
        """
        return self._launcher.resume(backfill_id, block=block)

    def cancel_backfill(self, backfill_id: str, *, force_after: float | None = None) -> bool:
        """Cancels a backfill: no new run starts, runs in flight end, and the rest is canceled.

        Args:
            backfill_id: The backfill; one that has ended stays as it is.
            force_after: Seconds after which runs still in flight are ended by force: they are canceled,
                not failed, and not retried. A worker process is killed, a coroutine is canceled, and a
                thread is abandoned: its function goes on, but its slot is free, and what it returns is
                dropped. `None`: never.

        Returns:
            `True` if the backfill runs in this process: no run starts from now on. `False` otherwise:
            the process that runs it reads the request from the storage within a second; if no process
            does, the backfill has now ended.

        Raises:
            BackfillNotFoundError: There is no such backfill.
            ConfigurationError: `force_after` is not a number of seconds.
        """
        return self._client.cancel_backfill(backfill_id, force_after=force_after)

    def pause_backfill(self, backfill_id: str) -> None:
        """Pauses a backfill: no new run starts until `unpause_backfill()`; runs in flight end.

        See `BackfillClient.pause_backfill`.

        Args:
            backfill_id: The backfill.

        Raises:
            BackfillNotFoundError: There is no such backfill.
            ExecutionError: It has ended.
        """
        self._client.pause_backfill(backfill_id)

    def unpause_backfill(self, backfill_id: str) -> None:
        """Lets a paused backfill continue; see `BackfillClient.unpause_backfill`.

        Args:
            backfill_id: The backfill.

        Raises:
            BackfillNotFoundError: There is no such backfill.
            ExecutionError: It has ended.
        """
        self._client.unpause_backfill(backfill_id)

    def update_backfill(
        self,
        backfill_id: str,
        *,
        max_concurrency: int | None = None,
        priority: int | None = None,
        max_failures: float | None = None,
    ) -> None:
        """Changes the limits of a backfill in progress; see `BackfillClient.update_backfill`.

        Args:
            backfill_id: The backfill.
            max_concurrency: Maximum number of runs in flight; `None` leaves it as it is.
            priority: Place in the queue, higher first; `None` leaves it as it is.
            max_failures: Number of failed partitions, or their fraction, that stops the backfill; `None`
                leaves it as it is.

        Raises:
            BackfillNotFoundError: There is no such backfill.
            ConfigurationError: There is nothing to change, or a value is not allowed.
            ExecutionError: It has ended.
        """
        self._client.update_backfill(
            backfill_id, max_concurrency=max_concurrency, priority=priority,
            max_failures=max_failures,
        )  # fmt: skip

    def wait_backfill(self, backfill_id: str, timeout: float | None = None) -> BackfillStatus:
        """Waits until a backfill has ended, in whichever process it runs.

        Args:
            backfill_id: The backfill.
            timeout: Maximum number of seconds to wait; `None` for no limit.

        Returns:
            How it ended.

        Raises:
            BackfillNotFoundError: There is no such backfill.
            TimeoutError: The backfill has not ended within `timeout` seconds; it continues.
            ExecutionError: Its process is dead, so that it does not end until it is resumed.

        Example:
            >>> import rivers as rs
            >>> @rs.Asset(partitions_def=rs.PartitionsDefinition.static_(["us", "eu", "asia"]))
            ... def sales() -> int:
            ...     return 1
            >>> repo = rs.CodeRepository([sales]).resolve(rs.Storage.memory())
            >>> everywhere = rs.PartitionKeyRange.single("us", "asia")
            >>> launched = repo.backfill(partition_range=everywhere, block=False)
            >>> repo.wait_backfill(launched.backfill_id, timeout=30).status
            'completed'
        """
        return self._client.wait_backfill(backfill_id, timeout)

    def watch(self, backfill_id: str, *, every: float = 0.5) -> AsyncIterator[BackfillStatus]:
        """Yields how a backfill stands: now, after each change, and at last how it ended.

        See `BackfillClient.watch`.

        Args:
            backfill_id: The backfill.
            every: Seconds between two reads.

        Raises:
            BackfillNotFoundError: There is no such backfill.
            ExecutionError: Its process is dead, so nothing more will happen.
        """
        return self._client.watch(backfill_id, every=every)

    # -- what is recorded --------------------------------------------------------------------------

    def get_backfill(self, backfill_id: str) -> BackfillStatus | None:
        """Returns how a backfill stands, as far as it is recorded; `None` if no backfill has the id.

        The cost does not grow with the backfill.

        Args:
            backfill_id: The backfill.
        """
        return self._client.get_backfill(backfill_id)

    def backfills(self, *, status: StatusFilter = None, limit: int | None = None) -> pl.DataFrame:
        """Returns one row per backfill, the newest first; `BackfillClient.backfills` has the columns.

        Args:
            status: Only backfills with one of these statuses.
            limit: Maximum number of rows.

        Raises:
            ConfigurationError: There is no such status.
        """
        return self._client.backfills(status=status, limit=limit)

    def backfill_partitions(
        self, backfill_id: str, *, status: StatusFilter = None, run_id: bool = False
    ) -> pl.DataFrame:
        """Returns one row per partition of a backfill, in the order of its runs.

        `BackfillClient.backfill_partitions` has the columns.

        Args:
            backfill_id: The backfill.
            status: Only partitions with one of these statuses.
            run_id: Whether to add the column `run_id`.

        Raises:
            BackfillNotFoundError: There is no such backfill.
            ConfigurationError: There is no such status.
        """
        return self._client.backfill_partitions(backfill_id, status=status, run_id=run_id)

    def backfill_runs(self, backfill_id: str, *, status: StatusFilter = None) -> pl.DataFrame:
        """Returns one row per started run of a backfill, by number.

        `BackfillClient.backfill_runs` has the columns.

        Args:
            backfill_id: The backfill.
            status: Only runs with one of these statuses.

        Raises:
            BackfillNotFoundError: There is no such backfill.
            ConfigurationError: There is no such status.
        """
        return self._client.backfill_runs(backfill_id, status=status)

    def backfill_errors(self, backfill_id: str) -> pl.DataFrame:
        """Returns why partitions of a backfill failed: one row per error, the most frequent first.

        `BackfillClient.backfill_errors` has the columns and says which errors are equal.

        Args:
            backfill_id: The backfill, which may be in progress.

        Raises:
            BackfillNotFoundError: There is no such backfill.
        """
        return self._client.backfill_errors(backfill_id)

    def partition_status(
        self, asset: str, *, status: StatusFilter = None, metadata: bool = False
    ) -> pl.DataFrame:
        """One row per partition of an asset, in definition order.

        Args:
            asset: The asset's name; it may be external.
            status: Only partitions in these states.
            metadata: Whether there is a column `metadata`: a JSON object with what was recorded with the
                last materialization, or null (`str.json_decode` reads it).

        Returns:
            A column per dimension (see `rivers.status.tables`), `status` (Enum: missing, materialized,
            failed, in_progress, skipped), of the last materialization `last_materialized_at` (Datetime),
            `backfill_id` (String), `run` (UInt64) and `code_version` (String), and `skip_reason` (String:
            why it was skipped), `stale` (Boolean: whether it is out of date) and `stale_reason` (Enum:
            `early`, its run started before the end of its window; `code_version`, another version of the
            asset's code materialized it; `upstream`, an upstream partition that it needs was materialized
            later). Values that were in the memory of a process that is gone are missing.

        Raises:
            AssetNotFoundError: There is no such asset.
            ExecutionError: It is not partitioned.
            ConfigurationError: There is no such state.
        """
        node = self._graph[asset]
        if node.definition is None:
            msg = (
                f"the asset {asset!r} is not partitioned, so it has no table of partitions; "
                "storage.get_latest_materialization() says when it was materialized last"
            )
            raise ExecutionError(msg)
        spaces = self._launcher.spaces()
        states = self._launcher.states(spaces)
        return tables.partition_status(
            self._runtime.store, asset, status, states.unavailable(node), states.stale(node),
            metadata=metadata,
        )  # fmt: skip

    def report_materialized(
        self,
        asset: str,
        partition_keys: KeyLikes | None = None,
        partition_range: PartitionKeyRange | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> int:
        """Records partitions as materialized without running anything, such as files that others wrote.

        From now on they count as materialized by the asset's present code; what happens later overrules
        the report. The cost is that of describing the partitions: a range costs the same at any length.

        Args:
            asset: The asset, which may be external.
            partition_keys: The partitions, as in `backfill()`; nothing for an unpartitioned asset.
            partition_range: Or a range of them.
            metadata: Facts about the partitions by name, as in `context.add_output_metadata()`.

        Returns:
            Number of partitions.

        Raises:
            AssetNotFoundError: There is no such asset.
            PartitionValidationError: A partition does not exist.
            ExecutionError: No partitions are named, or some of an asset that has none.
            TypeError: A fact about the partitions has a type that metadata cannot have.

        Example:
            >>> import rivers as rs
            >>> january = rs.PartitionsDefinition.daily("2024-01-01", end="2024-02-01")
            >>> files = rs.Asset.external(
            ...     "files", io_handler=rs.InMemoryIOHandler(), partitions_def=january
            ... )
            >>> repo = rs.CodeRepository([files]).resolve(rs.Storage.memory())
            >>> month = rs.PartitionKeyRange.single("2024-01-01", "2024-01-31")
            >>> repo.report_materialized("files", partition_range=month)
            31
        """
        return reports.report_materialized(
            self._launcher, asset, partition_keys, partition_range, metadata
        )

    def forget_partitions(
        self,
        asset: str,
        partition_keys: KeyLikes | None = None,
        partition_range: PartitionKeyRange | None = None,
    ) -> int:
        """Records that partitions are missing, whatever materialized or skipped them before.

        Their values stay where they are. The cost is that of describing the partitions.

        Args:
            asset: The asset, which may be external.
            partition_keys: The partitions, as in `backfill()`; nothing for an unpartitioned asset.
            partition_range: Or a range of them.

        Returns:
            Number of partitions.

        Raises:
            AssetNotFoundError: There is no such asset.
            PartitionValidationError: A partition does not exist.
            ExecutionError: No partitions are named, or some of an asset that has none.

        Example:
            >>> import rivers as rs
            >>> @rs.Asset(partitions_def=rs.PartitionsDefinition.static_(["us", "eu"]))
            ... def sales() -> None: ...
            >>> repo = rs.CodeRepository([sales]).resolve(rs.Storage.memory())
            >>> _ = repo.backfill(partition_range=rs.PartitionKeyRange.single("us", "eu"))
            >>> repo.forget_partitions("sales", [rs.PartitionKey.single("us")])
            1
            >>> repo.partition_status("sales")["status"].to_list()
            ['missing', 'materialized']
        """
        return reports.forget_partitions(self._launcher, asset, partition_keys, partition_range)

    def __repr__(self) -> str:
        count = len(self._graph.nodes)
        return f"<CodeRepository of {count} asset{'' if count == 1 else 's'}>"

    def _repr_html_(self) -> str:
        from rivers.repository.notebook import repository_html  # noqa: PLC0415  (notebooks alone need it)

        return repository_html(self, self._graph)

    @property
    def _client(self) -> BackfillClient:
        return self._runtime.connect().client


def _check_kinds(
    executor: Executor | None,
    partition_defs: Mapping[str, PartitionsDefinition] | None,
    run_queue: RunQueueConfig | None,
    clock: Callable[[], dt.datetime] | None,
) -> None:
    for argument, value, kind in (
        ("default_executor", executor, Executor),
        ("run_queue", run_queue, RunQueueConfig),
    ):
        if value is not None and not isinstance(value, kind):
            msg = f"{argument} must be a {kind.__name__}, got {value!r}"
            raise TypeError(msg)
    for name, definition in (partition_defs or {}).items():
        if not isinstance(definition, PartitionsDefinition):
            msg = f"partition_defs[{name!r}] must be a PartitionsDefinition, got {definition!r}"
            raise AssetDefinitionError(msg)
    if clock is not None and not callable(clock):
        msg = f"clock must be a function that returns a datetime, got {clock!r}"
        raise TypeError(msg)
