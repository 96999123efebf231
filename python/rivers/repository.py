"""What a user calls: a repository of assets, its runs and its backfills."""

from __future__ import annotations

import datetime as dt
import logging
import threading
from typing import TYPE_CHECKING, Any, Self, cast

from rivers import submission, tables
from rivers._rivers import Engine, PartitionsDefinition, Plan, Space
from rivers.config import check_config
from rivers.exceptions import (
    AssetDefinitionError,
    BackfillNotFoundError,
    ExecutionError,
    PartitionValidationError,
)
from rivers.executors import Executor
from rivers.executors.program import Input, Program, Step
from rivers.executors.workers import Workers
from rivers.graph import Graph
from rivers.io import InMemoryIOHandler, InputContext
from rivers.progress import ProgressLine
from rivers.queue import BACKFILL_PRIORITY, RunQueueConfig, check_seconds
from rivers.results import BackfillResult, BackfillStatus, RunResult, run_ids
from rivers.storage import Storage
from rivers.strategy import BackfillStrategy
from rivers.waiting import wait_at_exit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from types import TracebackType

    import polars as pl

    from rivers._rivers import Selection
    from rivers.assets import Asset
    from rivers.graph import Node
    from rivers.io import BaseIOHandler
    from rivers.partitions import PartitionKey, PartitionKeyRange

_log = logging.getLogger("rivers")


class CodeRepository:
    """Assets, and everything that can be done with them.

    Args:
        assets: The assets.
        default_executor: Where runs are executed; threads of this process by default.
        partition_defs: Definitions by name, for assets that name theirs.
        run_queue: One queue for all runs; without it each backfill is bounded by its own
            `max_concurrency` alone.
        clock: Tells the naive wall-clock time that definitions without an end reach to.
        lease_seconds: How long a process that shows no life keeps its backfills from being resumed
            elsewhere. One that is seen to be dead does not keep them at all.

    Raises:
        AssetDefinitionError: Something is no asset, or two have one name.
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

    def __init__(
        self,
        assets: Iterable[Asset],
        default_executor: Executor | None = None,
        partition_defs: Mapping[str, PartitionsDefinition] | None = None,
        run_queue: RunQueueConfig | None = None,
        *,
        clock: Callable[[], dt.datetime] | None = None,
        lease_seconds: float = 15.0,
    ) -> None:
        _check_kinds(default_executor, partition_defs, run_queue)
        self._graph = Graph(assets, partition_defs or {})
        self._executor = default_executor or Executor.in_process()
        self._run_queue = run_queue
        self._clock = clock or _wall_clock
        self._lease_seconds = check_seconds("lease_seconds", lease_seconds)
        self._default_handler = InMemoryIOHandler()
        self._lock = threading.Lock()
        self._storage: Storage | None = None
        self._engine: Engine | None = None
        self._workers: Workers | None = None

    # -- the storage -------------------------------------------------------------------------------

    def resolve(self, storage: Storage | None = None) -> CodeRepository:
        """Connects the repository to its storage.

        Called without being told to at first use, with the default storage: what `RIVERS_STORAGE`
        names, or `.rivers/rivers.db` in the working directory.

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
        with self._lock:
            self._connect(storage)
        return self

    def _connect(self, storage: Storage | None) -> tuple[Storage, Engine, Workers]:
        connected = self._storage, self._engine, self._workers
        if connected[1] is not None and (storage is None or storage is self._storage):
            return connected  # type: ignore[return-value]
        if self._engine is not None and self._engine.live():
            msg = (
                "a backfill is still running on the repository's storage; wait for it or cancel it"
            )
            raise ExecutionError(msg)
        self._close()
        queue = self._run_queue
        self._storage = storage or self._storage or Storage.default()
        self._engine = Engine(
            self._storage._store,  # noqa: SLF001  (the storage's other half)
            queue.max_concurrent_runs if queue else None,
            list(queue.tag_concurrency_limits) if queue else [],
            self._lease_seconds,
        )
        for orphan in self._engine.orphans():
            _log.warning(
                "the backfill %s was interrupted: its process is gone; continue it with "
                "resume_backfill(%r), or end it with cancel_backfill(%r)", orphan, orphan, orphan,
            )  # fmt: skip
        self._workers = Workers(self._engine)
        return self._storage, self._engine, self._workers

    def _connected(self) -> tuple[Storage, Engine, Workers]:
        with self._lock:
            return self._connect(None)

    @property
    def storage(self) -> Storage:
        """Where runs and backfills are recorded."""
        return self._connected()[0]

    @property
    def assets(self) -> list[Asset]:
        """The assets, in the order given."""
        return [node.asset for node in self._graph.nodes.values()]

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
        """Waits for the backfills that run in the background, then ends threads and processes."""
        engine = self._engine
        if engine is not None:
            for key in engine.live():
                engine.wait(key)
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._engine is not None and self._workers is not None:
            self._engine.close()
            self._workers.close()
            self._engine = self._workers = None

    def _space(self, definition: PartitionsDefinition | None, now: dt.datetime) -> Space:
        if definition is None:
            return Space.unpartitioned()
        return definition.resolve(now, self.storage)

    def _handler(self, node: Node) -> BaseIOHandler:
        return node.asset.io_handler or self._default_handler

    # -- runs --------------------------------------------------------------------------------------

    def materialize(
        self,
        selection: Sequence[str] | None = None,
        partition_key: PartitionKey | None = None,
        tags: Sequence[tuple[str, str]] | None = None,
        config: Mapping[str, Mapping[str, Any]] | None = None,
        raise_on_error: bool = True,
    ) -> RunResult:
        """Executes assets in one run, and waits for it.

        Args:
            selection: Names of assets; all by default.
            partition_key: The partition or partitions, for the partitioned ones.
            tags: Attached to the run; `("rivers/priority", "N")` overrides its priority, 0.
            config: Per-asset values of their config models.
            raise_on_error: Whether a failure is raised, or only told in the result.

        Raises:
            ExecutionError: An asset failed (the exception is its cause), or the call is refused.
            AssetNotFoundError: An asset does not exist.
            PartitionValidationError: The key is not one of each partitioned asset's.
            ConfigurationError: `tags` or `config` are not valid.
        """
        names = (
            submission.asset_names(selection) if selection is not None else list(self._graph.nodes)
        )
        nodes = [self._graph[name] for name in names]
        now = self._clock()
        partitioned = [
            (node, self._space(node.definition, now)) for node in nodes if node.definition
        ]
        plan = Plan(_manual_selection(partitioned, partition_key), BackfillStrategy.single_run())
        checked_tags, priority = submission.check_tags(tags, 0)
        key, run_of, program = self._submit(
            nodes, plan, now, config, manual=True, stop_on_failure=False, max_concurrency=1,
            tags=checked_tags, priority=priority,
        )  # fmt: skip
        self._wait(key, run_of, 1)
        run = self.storage.get_run(f"{run_of}.0")
        missed = self.storage._store.missed(key)  # noqa: SLF001
        result = RunResult(
            run_id=f"{run_of}.0",
            success=run is not None and run.status == "completed",
            materialized_assets=[step.name for step in program.steps if step.name not in missed],
            failed_assets=[step.name for step in program.steps if step.name in missed],
            error=run.error if run is not None else None,
        )
        if raise_on_error and not result.success:
            raise ExecutionError(result.error or "the run was canceled") from program.first_error
        return result

    def load_node(self, name: str, partition_key: PartitionKey | None = None) -> Any:
        """The value of an asset, through its IO handler.

        Args:
            name: The asset.
            partition_key: Its partition; with several, a dict of the values.

        Raises:
            AssetNotFoundError: There is no such asset.
            PartitionValidationError: The key is not one of the asset's.
            ExecutionError: Nothing is stored, or a key is missing or too many.
        """
        node = self._graph[name]
        keys: list[PartitionKey] = []
        if node.definition is not None:
            space = self._space(node.definition, self._clock())
            keys = _manual_selection([(node, space)], partition_key).keys()
        elif partition_key is not None:
            msg = f"the asset {name!r} is not partitioned, but a partition_key was given"
            raise ExecutionError(msg)
        context = InputContext(asset=name, partitions=keys, metadata=node.asset.metadata)
        return self._handler(node).load_input(context)

    # -- backfills ---------------------------------------------------------------------------------

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
    ) -> BackfillResult:
        """Launches a backfill (API page, "CodeRepository.backfill()"; SEMANTICS 4 to 7).

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
        spaces = [(node, self._space(node.definition, now)) for node in nodes]
        chosen = submission.select_partitions(spaces[0][1], partition_keys, partition_range)
        submission.check_others(chosen, spaces[1:])
        if only_missing:
            chosen = submission.only_missing(chosen, nodes, self.storage._store)  # noqa: SLF001
        strategy = submission.choose_strategy(strategy, nodes)
        checked_tags, priority = submission.check_tags(tags, BACKFILL_PRIORITY)
        return self._launch(
            nodes, Plan(chosen, strategy), now, config, block=block, dry_run=dry_run,
            stop_on_failure=submission.check_policy(failure_policy),
            max_concurrency=submission.check_concurrency(max_concurrency),
            tags=checked_tags, priority=priority,
        )  # fmt: skip

    def rerun_backfill(
        self,
        backfill_id: str,
        block: bool = True,
        dry_run: bool = False,
    ) -> BackfillResult:
        """Launches the failed and canceled partitions of a backfill again, as a new one (SEMANTICS 8).

        Args:
            backfill_id: The backfill.
            block: Whether to wait for the end.
            dry_run: Whether to plan only.

        Raises:
            BackfillNotFoundError: There is no such backfill.
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
        # It is there, since its record is.
        left = cast("Selection", self.storage._store.uncompleted(backfill_id))  # noqa: SLF001
        spaces = [(node, self._space(node.definition, now)) for node in nodes]
        left = submission.only_defined(left, spaces)
        earlier = self.storage._store.plan(record["key"])  # noqa: SLF001
        tags = [tag for tag in record["tags"] if tag[0] != submission.RERUN_TAG]
        return self._launch(
            nodes, Plan.like(left, earlier), now, submission.stored_config(record), block=block,
            dry_run=dry_run, stop_on_failure=record["stop_on_failure"],
            max_concurrency=record["max_concurrency"], priority=record["priority"],
            tags=[*tags, (submission.RERUN_TAG, backfill_id)],
        )  # fmt: skip

    def resume_backfill(self, backfill_id: str, *, block: bool = True) -> BackfillResult:
        """Continues a backfill whose process died, under the same id (SEMANTICS 8).

        Args:
            backfill_id: The backfill.
            block: Whether to wait for the end.

        Raises:
            BackfillNotFoundError: There is no such backfill.
            ExecutionError: It has ended, or its process lives.
        """
        record = self._record(backfill_id)
        _, engine, workers = self._connected()
        nodes = submission.select_assets(self._graph, record["assets"])
        _, instances = check_config(submission.stored_config(record), nodes)
        now = self._clock()
        program = self._program(nodes, instances, now)
        self._check_still_defined(program, record["key"], now)
        if program.max_workers is not None:
            workers.start_processes()
        key = engine.resume(backfill_id, program, program.max_workers)
        workers.call()
        wait_at_exit(self, processes=program.max_workers is not None)
        _log.info("backfill %s is resumed", backfill_id)
        if block:
            self._wait(key, backfill_id, record["num_partitions"])
        return self._result(backfill_id, self.storage._store.plan(key))  # noqa: SLF001

    def _check_still_defined(self, program: Program, key: int, now: dt.datetime) -> None:
        """Has runs look for partitions that are gone, where the definition has changed since."""
        selection = self.storage._store.plan(key).selection  # noqa: SLF001
        for step in program.steps:
            space = self._space(step.definition, now)
            try:
                selection.check_in(space, step.name)
            except PartitionValidationError:
                step.defined = space

    def get_backfill(self, backfill_id: str) -> BackfillStatus | None:
        """How a backfill stands, as far as it is recorded; `None` if there is none of this id.

        Its cost does not grow with the backfill.
        """
        store = self.storage._store  # noqa: SLF001
        record = store.backfill(backfill_id)
        if record is None or record["manual"]:
            return None
        status = BackfillStatus(
            backfill_id=backfill_id,
            status=record["status"],
            total_partitions=record["num_partitions"],
            completed_partitions=record["completed"],
            failed_partitions=record["failed"],
            canceled_partitions=record["canceled"],
            error=store.error(backfill_id),
            tags=record["tags"],
        )
        status._later(run_ids=lambda: run_ids(backfill_id, record["num_runs"]))  # noqa: SLF001
        return status

    def cancel_backfill(self, backfill_id: str) -> bool:
        """Cancels a backfill (API page, "CodeRepository.cancel_backfill()"; SEMANTICS 8).

        Returns:
            `True` if it runs in this process and was told to stop: nothing new starts from now on.
            `False` otherwise: a process that runs it finds the storage's marker within a second; if
            none does, it has ended now.

        Raises:
            BackfillNotFoundError: There is no such backfill.
        """
        self._record(backfill_id)
        return self._connected()[1].cancel(backfill_id)

    # -- tables ------------------------------------------------------------------------------------

    def backfill_partitions(
        self, backfill_id: str, *, status: str | Sequence[str] | None = None, run_id: bool = False
    ) -> pl.DataFrame:
        """One row per partition of a backfill, in the order of its runs.

        Args:
            backfill_id: The backfill.
            status: Only these states.
            run_id: Whether to add the column `run_id`.

        Returns:
            A column per dimension (see `rivers.tables`), `status` (Enum: pending, running, completed,
            failed, canceled), `run` (UInt64: the run's number in the backfill), `run_id` (String, on
            request), `started_at` and `ended_at` (Datetime), `error` (String).

        Raises:
            BackfillNotFoundError: There is no such backfill.
            ConfigurationError: There is no such state.
        """
        store = self.storage._store  # noqa: SLF001
        return tables.backfill_partitions(store, backfill_id, status, run_id=run_id)

    def backfill_runs(
        self, backfill_id: str, *, status: str | Sequence[str] | None = None
    ) -> pl.DataFrame:
        """One row per run of a backfill that has started, by number.

        Args:
            backfill_id: The backfill.
            status: Only these states.

        Returns:
            `run` (UInt64), `run_id` (String), `status` (Enum: running, completed, failed, canceled),
            `num_partitions` (UInt64), `started_at` and `ended_at` (Datetime), `duration` (Duration),
            `error` (String).

        Raises:
            BackfillNotFoundError: There is no such backfill.
            ConfigurationError: There is no such state.
        """
        return tables.backfill_runs(self.storage._store, backfill_id, status)  # noqa: SLF001

    def backfills(
        self, *, status: str | Sequence[str] | None = None, limit: int | None = None
    ) -> pl.DataFrame:
        """One row per backfill, the newest first.

        Args:
            status: Only these states.
            limit: Most rows.

        Returns:
            `backfill_id` (String), `status` (Enum: in_progress, completed, failed, canceled), counts of
            partitions (UInt64), `strategy` (String), `assets` (List of String), `tags` (List of
            Struct), `created_at` and `ended_at` (Datetime), `rate` (Float64: partitions a second),
            `owner_alive` (Boolean: whether a process runs it; null once it has ended), `error` (String).

        Raises:
            ConfigurationError: There is no such state.
        """
        storage, engine, _ = self._connected()
        return tables.backfills(storage._store, engine, status, limit)  # noqa: SLF001

    def partition_status(
        self, asset: str, *, status: str | Sequence[str] | None = None
    ) -> pl.DataFrame:
        """One row per partition of an asset, in definition order.

        Args:
            asset: Its name.
            status: Only these states.

        Returns:
            A column per dimension (see `rivers.tables`), `status` (Enum: missing, materialized, failed,
            in_progress), and of the last materialization `last_materialized_at` (Datetime),
            `backfill_id` (String), `run` (UInt64) and `code_version` (String).

        Raises:
            AssetNotFoundError: There is no such asset.
            ExecutionError: It is not partitioned.
            ConfigurationError: There is no such state.
        """
        (node,) = submission.select_assets(self._graph, [asset])
        space = self._space(node.definition, self._clock())
        return tables.partition_status(self.storage._store, asset, space, status)  # noqa: SLF001

    # -- the way from a plan to its end ------------------------------------------------------------

    def _launch(
        self, nodes: list[Node], plan: Plan, now: dt.datetime, config: Any, *,
        block: bool, dry_run: bool, **request: Any,
    ) -> BackfillResult:  # fmt: skip
        if dry_run:
            self._prepare(nodes, now, config)
            return _planned("", plan, "dry_run")
        key, backfill_id, _ = self._submit(nodes, plan, now, config, manual=False, **request)
        if block:
            self._wait(key, backfill_id, plan.num_partitions)
        return self._result(backfill_id, plan)

    def _prepare(
        self, nodes: list[Node], now: dt.datetime, config: Any
    ) -> tuple[str | None, Program]:
        """All checks that are left when the plan is made."""
        text, instances = check_config(config, nodes)
        if self._executor.max_workers is not None:
            submission.check_memory_inputs(self._graph, nodes, self._handler)
        return text, self._program(nodes, instances, now)

    def _submit(
        self, nodes: list[Node], plan: Plan, now: dt.datetime, config: Any, *,
        manual: bool, **request: Any,
    ) -> tuple[int, str, Program]:  # fmt: skip
        text, program = self._prepare(nodes, now, config)
        assets = [
            (node.name, node.asset.code_version, node.definition is not None)
            for node in self._graph.in_order(node.name for node in nodes)
        ]
        _, engine, workers = self._connected()
        wish = submission.Submission(manual=manual, assets=assets, config=text, **request)
        if program.max_workers is not None:
            workers.start_processes()
        key, backfill_id = engine.submit(wish, plan, program, program.max_workers)
        workers.call()
        wait_at_exit(self, processes=program.max_workers is not None)
        if not manual:
            _log.info(
                "backfill %s: %d partitions in %d runs",
                backfill_id,
                plan.num_partitions,
                plan.num_runs,
            )
        return key, backfill_id, program

    def _program(self, nodes: list[Node], configs: Mapping[str, Any], now: dt.datetime) -> Program:
        ordered = self._graph.in_order(node.name for node in nodes)
        places = {node.name: place for place, node in enumerate(ordered)}
        steps = [
            Step(
                index=place,
                name=node.name,
                fn=node.asset.fn,  # type: ignore[arg-type]  # The graph has checked it.
                is_async=node.asset.is_async,
                context_param=node.asset.context_param,
                inputs=[self._input(self._graph[name], now) for name in node.inputs],
                needs=[
                    places[name] for name in self._graph.upstream_of(node.name) if name in places
                ],
                handler=self._handler(node),
                definition=node.definition,
                config=configs.get(node.name),
                metadata=node.asset.metadata,
            )
            for place, node in enumerate(ordered)
        ]
        return Program(steps, self._executor.max_workers)

    def _input(self, upstream: Node, now: dt.datetime) -> Input:
        space = None if upstream.definition is None else self._space(upstream.definition, now)
        return Input(upstream.name, self._handler(upstream), upstream.asset.metadata, space)

    def _wait(self, key: int, backfill_id: str, total: int) -> None:
        """Waits for the end; see SEMANTICS 6 for Ctrl-C."""
        _, engine, workers = self._connected()
        try:
            with ProgressLine(total, lambda: engine.progress(key)) as line:
                while not engine.wait(key, line.patience()):
                    line.update()
        except KeyboardInterrupt:
            engine.cancel(backfill_id)
            try:
                engine.wait(key)
            except KeyboardInterrupt:
                engine.abandon(key)
                workers.kill(key)
                msg = f"left at once; continue it with resume_backfill({backfill_id!r})"
                raise KeyboardInterrupt(msg) from None
            msg = f"canceled; run the rest with rerun_backfill({backfill_id!r})"
            raise KeyboardInterrupt(msg) from None

    def _result(self, backfill_id: str, plan: Plan) -> BackfillResult:
        store = self.storage._store  # noqa: SLF001
        record = self._record(backfill_id)
        result = _planned(backfill_id, plan, record["status"])
        result.completed, result.failed = record["completed"], record["failed"]
        result.canceled = record["canceled"]
        if result.status == "failed":
            _log.warning("backfill %s failed: %s", backfill_id, store.error(backfill_id))
        return result

    def _record(self, backfill_id: str) -> dict[str, Any]:
        record = self.storage._store.backfill(backfill_id)  # noqa: SLF001
        if record is None or record["manual"]:
            msg = f"there is no backfill {backfill_id!r}; backfills() lists those there are"
            raise BackfillNotFoundError(msg)
        return record


def _planned(backfill_id: str, plan: Plan, status: str) -> BackfillResult:
    dry = status == "dry_run"
    result = BackfillResult(backfill_id, plan.num_partitions, plan.num_runs, status, is_dry_run=dry)
    result._later(  # noqa: SLF001
        run_ids=lambda: [] if dry else run_ids(backfill_id, plan.num_runs),
        partition_keys=lambda: plan.selection.keys(),  # noqa: PLW0108  (the selection waits, too)
        to_polars=lambda: tables.frame(plan.selection.table()),
    )
    return result


def _manual_selection(
    partitioned: list[tuple[Node, Space]], partition_key: PartitionKey | None
) -> Selection:
    """The partitions that a key names, checked for each of the assets."""
    if not partitioned:
        if partition_key is not None:
            msg = "a partition_key was given, but none of the selected assets is partitioned"
            raise ExecutionError(msg)
        return Space.unpartitioned().all()
    first, space = partitioned[0]
    if partition_key is None:
        msg = f"the asset {first.name!r} is partitioned: give a partition_key, or use backfill()"
        raise ExecutionError(msg)
    chosen = space.select_keys([partition_key])
    submission.check_others(chosen, partitioned[1:])
    return chosen


def _check_kinds(
    executor: Executor | None,
    partition_defs: Mapping[str, PartitionsDefinition] | None,
    run_queue: RunQueueConfig | None,
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


def _wall_clock() -> dt.datetime:
    """The naive wall-clock time: what a person here would say (SEMANTICS 2)."""
    return dt.datetime.now()  # noqa: DTZ005
