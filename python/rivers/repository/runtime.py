"""What a repository runs on: its storage, its engine, its workers, and the way of a request to them."""

from __future__ import annotations

import datetime as dt
import logging
import threading
from typing import TYPE_CHECKING, Any

from rivers._rivers import Engine, PartitionsDefinition, Plan, Space
from rivers._validation import check_seconds
from rivers.assets import pools
from rivers.assets.asset_graph import Graph
from rivers.assets.config import check_config
from rivers.exceptions import AssetDefinitionError, ExecutionError
from rivers.execution.executor import Executor
from rivers.execution.runner import Program
from rivers.execution.steps import Step, StepInput, StepOutput
from rivers.io import InMemoryIOHandler
from rivers.planning import request as submission
from rivers.policies.retry import RetryPolicy, check_retry
from rivers.policies.run_queue import RunQueueConfig
from rivers.repository.waiting import wait_at_exit
from rivers.status.event_log import Reports
from rivers.status.progress import progress
from rivers.storage.storage import Storage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType
    from typing import Self

    from rivers.assets.asset import Asset
    from rivers.assets.asset_graph import Node
    from rivers.execution.workers import Workers
    from rivers.io import BaseIOHandler

_log = logging.getLogger("rivers")


class Runtime:
    """The part of a `CodeRepository` that holds threads, processes and the storage."""

    def __init__(
        self,
        assets: Iterable[Asset],
        default_executor: Executor | None = None,
        partition_defs: Mapping[str, PartitionsDefinition] | None = None,
        run_queue: RunQueueConfig | None = None,
        *,
        default_retry_policy: RetryPolicy | None = None,
        pool_limits: Mapping[str, int] | None = None,
        clock: Callable[[], dt.datetime] | None = None,
        lease_seconds: float = 15.0,
    ) -> None:
        _check_kinds(default_executor, partition_defs, run_queue)
        self._graph = Graph(assets, partition_defs or {})
        self._pools = pools.check_limits(pool_limits or {}, self._graph)
        self._executor = default_executor or Executor.in_process()
        self._run_queue = run_queue
        self._default_retry = check_retry("default_retry_policy", default_retry_policy)
        if clock is not None and not callable(clock):
            msg = f"clock must be a function that returns a datetime, aware or naive in UTC, got {clock!r}"
            raise TypeError(msg)
        self._clock = clock or _utc_now
        self._lease_seconds = check_seconds("lease_seconds", lease_seconds)
        self._default_handler = InMemoryIOHandler()
        self._lock = threading.Lock()
        self._storage: Storage | None = None
        self._engine: Engine | None = None
        self._workers: Workers | None = None
        self._shown_by: Callable[..., Any] = progress  # The command line has its own.

    # -- the storage -------------------------------------------------------------------------------

    def resolve(self, storage: Storage | None = None) -> Self:
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
            list(self._pools.items()),
            self._lease_seconds,
        )
        for orphan, manual in self._engine.orphans():
            if manual:
                self._engine.cancel(orphan)
                _log.warning("the run %s.0 was interrupted: its process is gone", orphan)
            else:
                _log.warning(
                    "the backfill %s was interrupted: its process is gone; continue it with "
                    "resume_backfill(%r), or end it with cancel_backfill(%r)", orphan, orphan, orphan,
                )  # fmt: skip
        self._workers = self._executor.start(self._engine)
        self._reports = Reports(self._engine, self._storage._store)  # noqa: SLF001
        return self._storage, self._engine, self._workers

    def _connected(self) -> tuple[Storage, Engine, Workers]:
        with self._lock:
            return self._connect(None)

    @property
    def storage(self) -> Storage:
        """Where runs and backfills are recorded."""
        return self._connected()[0]

    @property
    def engine(self) -> Engine:
        """What runs backfills in this process."""
        return self._connected()[1]

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
            self._reports.tell()
        with self._lock:
            self._close()

    def abandon(self) -> None:
        """Leaves what runs in the background at once, resumable; what is in flight is not recorded."""
        engine, workers = self._engine, self._workers
        if engine is not None and workers is not None:
            for key in engine.live():
                engine.abandon(key)
                workers.cancel(key)

    def _close(self) -> None:
        if self._engine is not None and self._workers is not None:
            self._engine.close()
            self._workers.close()
            self._reports.close()
            self._engine = self._workers = None

    def _space(self, definition: PartitionsDefinition | None, now: dt.datetime) -> Space:
        if definition is None:
            return Space.unpartitioned()
        return definition.resolve(now, self.storage)

    def _spaces_of(self, now: dt.datetime) -> Callable[[Node], Space]:
        """The partitions of assets at a moment, each definition resolved once."""
        known: dict[PartitionsDefinition | None, Space] = {}

        def space_of(node: Node) -> Space:
            space = known.get(node.definition)
            if space is None:
                space = known[node.definition] = self._space(node.definition, now)
            return space

        return space_of

    def _handler(self, node: Node) -> BaseIOHandler:
        return node.asset.io_handler or self._default_handler

    def _input_handler(self, node: Node, upstream: Node) -> BaseIOHandler:
        """What loads an input: the handler of its `AssetDef`, else the upstream's."""
        given = node.asset.upstream_defs.get(upstream.name)
        return (given and given.io_handler) or self._handler(upstream)

    def _prepare(
        self,
        nodes: list[Node],
        plan: Plan,
        now: dt.datetime,
        config: Any,
        retry: RetryPolicy | None,
    ) -> tuple[str | None, Program]:
        """All checks that are left when the plan is made."""
        text, instances = check_config(config, nodes)
        if self._executor.isolation != "none":
            layers = [assets or range(len(nodes)) for _, _, assets in plan.layers]
            submission.check_memory_inputs(
                self._graph, nodes, layers, self._input_handler, self._executor.isolation
            )
        return text, self._program(nodes, plan, instances, now, retry)

    def _submit(
        self, nodes: list[Node], plan: Plan, now: dt.datetime, config: Any, *,
        manual: bool, retry: RetryPolicy | None = None, **request: Any,
    ) -> tuple[int, str, Program]:  # fmt: skip
        text, program = self._prepare(nodes, plan, now, config, retry)
        assets = [
            (node.name, node.asset.code_version, node.definition is not None) for node in nodes
        ]
        _, engine, workers = self._connected()
        kept = None if retry is None else retry.to_json()
        wish = submission.Submission(
            manual=manual, assets=assets, config=text, retry=kept, **request
        )
        workers.prepare()
        with self._reports.telling:
            key, backfill_id = engine.submit(
                wish, plan, program, self._executor, pools.needs(nodes)
            )
            if not manual:
                names = ", ".join(name for name, *_ in assets)
                self._reports.started(backfill_id, plan.num_partitions, plan.num_runs, names)
        workers.notify()
        wait_at_exit(self, processes=self._executor.isolation != "none")
        return key, backfill_id, program

    def _program(
        self,
        nodes: list[Node],
        plan: Plan,
        configs: Mapping[str, Any],
        now: dt.datetime,
        retry: RetryPolicy | None,
    ) -> Program:
        """What the runs of a plan execute; `nodes` are the request's assets, in its order."""
        places = {node.name: place for place, node in enumerate(nodes)}
        # The graph may have changed since the request was made, so its order may be another one.
        ordered = self._graph.in_order(places)
        needs = self._graph.needs_among(places)
        steps = [
            Step(
                name=step.name,
                outputs=[
                    StepOutput(
                        places[name],
                        name,
                        self._handler(self._graph[name]),
                        self._graph[name].asset.metadata,
                    )
                    for name in step.outputs
                ],
                by_name=step.kind == "multi",
                fn=step.call_for(step.outputs, {}),
                is_async=step.is_async,
                context_param=step.signature.context_param,
                inputs=[self._input(node, self._graph[name], now) for name in node.inputs],
                needs=[places[name] for name in needs[node.name]],
                definition=node.definition,
                config=configs.get(step.name),
                metadata=step.metadata,
                retry=retry
                or check_retry(f"retry of the asset {step.name!r}", step.retry)
                or self._default_retry,
            )
            for step, node in {node.asset.step: node for node in reversed(ordered)}.items()
        ]
        order = {places[node.name]: at for at, node in enumerate(ordered)}
        steps.sort(key=lambda step: min(order[index] for index in step.indices))
        layers = [
            [step for step in steps if assets is None or step.index in assets]
            for _, _, assets in plan.layers
        ]
        program = Program(layers)
        if self._executor.isolation != "none":
            program.pickle()
        return program

    def _input(self, node: Node, upstream: Node, now: dt.datetime) -> StepInput:
        given = node.asset.upstream_defs.get(upstream.name)
        return StepInput(
            parameter=upstream.name,
            handler=self._input_handler(node, upstream),
            metadata={**upstream.asset.metadata, **(given.metadata if given else {})},
            space=None if upstream.definition is None else self._space(upstream.definition, now),
            mapping=node.mappings.get(upstream.name),
            has_default=upstream.name in node.asset.step.signature.optional_inputs,
        )

    def _wait(self, key: int, request_id: str, total: int, advice: str) -> None:
        """Waits for the end. The first Ctrl-C cancels what has not started; the second leaves at once."""
        _, engine, workers = self._connected()
        interrupted = False
        try:
            try:
                with self._shown_by(request_id, total, lambda: engine.progress(key)) as line:
                    while not engine.wait(key, line.patience()):
                        line.update()
            except KeyboardInterrupt:
                interrupted = True
                engine.cancel(request_id)
                engine.wait(key)
        except KeyboardInterrupt:
            # The second one, wherever the first had come to.
            engine.abandon(key)
            workers.cancel(key)
            msg = f"left at once; continue it with resume_backfill({request_id!r})"
            raise KeyboardInterrupt(msg) from None
        finally:
            self._reports.tell()
        if interrupted:
            raise KeyboardInterrupt("canceled; " + advice.format(request_id))


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


def _utc_now() -> dt.datetime:
    """The current time, which does not depend on the zone of the machine."""
    return dt.datetime.now(dt.timezone.utc)
