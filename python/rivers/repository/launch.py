"""Prepares, submits and resumes backfills, and describes their results."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rivers._rivers import now
from rivers.assets import pools
from rivers.assets.config import check_config
from rivers.exceptions import ConfigurationError, ExecutionError, PartitionValidationError
from rivers.planning.checks import check_memory_inputs, check_same_keys
from rivers.planning.materialized import kept, leave_out_materialized, loadable, unavailable
from rivers.planning.missing_inputs import check_inputs_exist
from rivers.planning.request import BackfillRequest, Keeping, RunRequest
from rivers.planning.runs import plan_backfill, plan_rerun
from rivers.planning.selection import stored_assets
from rivers.repository import waiting
from rivers.repository.at_exit import keep_until_idle
from rivers.repository.importing import refuse_while_importing
from rivers.repository.nested import refuse_blocking_the_loop, submission
from rivers.repository.spaces import Spaces
from rivers.status import tables
from rivers.status.results import BackfillResult, run_ids

if TYPE_CHECKING:
    from collections.abc import Callable

    from rivers._rivers import Plan, Selection, Space
    from rivers._storage import BackfillRecord
    from rivers.assets.asset_graph import Graph, Node
    from rivers.execution.runner import Program
    from rivers.repository.program_builder import ProgramBuilder
    from rivers.repository.runtime import Runtime


@dataclass(frozen=True)
class Prepared:
    """A request that has passed all checks that do not need the engine.

    Attributes:
        request: Its options.
        nodes: The assets to execute, in order.
        plan: The runs.
        program: What the runs execute.
        config: The configuration of the assets as JSON.
    """

    request: BackfillRequest | RunRequest
    nodes: list[Node]
    plan: Plan
    program: Program
    config: str | None


class Launcher:
    """Brings requests to the engine.

    Args:
        runtime: Runs them.
        graph: All assets.
        builder: Builds what their runs execute.
        clock: Returns the current time, aware or naive in UTC; `None` for the machine's clock.
    """

    def __init__(
        self,
        runtime: Runtime,
        graph: Graph,
        builder: ProgramBuilder,
        clock: Callable[[], dt.datetime] | None,
    ) -> None:
        self.runtime = runtime
        self.graph = graph
        self.builder = builder
        self._clock = clock or _utc_now
        self._has_own_clock = clock is not None

    def spaces(self) -> Spaces:
        """The partitions of all assets as they are now."""
        return Spaces(self._clock(), self.runtime)

    def _clock_ahead(self) -> int:
        """How far the repository's clock is ahead of the one that times runs, in microseconds."""
        if not self._has_own_clock:
            return 0
        shown = self._clock()
        shown = shown.replace(tzinfo=dt.UTC) if shown.tzinfo is None else shown
        return (shown - _EPOCH) // dt.timedelta(microseconds=1) - now()

    def _kept(self, nodes: list[Node]) -> list[Keeping]:
        """How the values of each asset are kept."""
        isolation = self.runtime.executor.isolation
        handlers = [self.builder.handler(node) for node in nodes]
        return [
            Keeping(kept(node, handler, isolation), handler._known_facts())  # noqa: SLF001  (not for users)
            for node, handler in zip(nodes, handlers, strict=True)
        ]

    # -- the verbs ---------------------------------------------------------------------------------

    def backfill(self, request: BackfillRequest, *, block: bool, dry_run: bool) -> BackfillResult:
        """See `CodeRepository.backfill`."""
        refuse_while_importing("backfill")
        spaces = self.spaces()
        nodes, plan = plan_backfill(request, self.graph, spaces, self._materialized)
        if request.only_missing:
            plan = leave_out_materialized(plan, nodes, self._done)
        return self._launch(request, self.prepare(request, nodes, plan, spaces), block, dry_run)

    async def wait_async(self, result: BackfillResult) -> None:
        """Waits for the end of a backfill without blocking the event loop, and updates its result."""
        if not result.is_dry_run:
            key = self._record(result.backfill_id)["key"]
            await waiting.wait_async(self.runtime, key, result.backfill_id)
            result._fill(self._record(result.backfill_id))  # noqa: SLF001

    def rerun(
        self,
        backfill_id: str,
        error_type: str | None,
        part: list[Selection] | None = None,
        *,
        again: bool = False,
        block: bool,
        dry_run: bool,
    ) -> BackfillResult:
        """See `CodeRepository.rerun_backfill`.

        Args:
            backfill_id: The backfill.
            error_type: Only partitions that failed with this type of error.
            part: The partitions of each layer, if they are chosen.
            again: Whether they are executed for assets that are materialized, too.
            block: Whether to wait for the end.
            dry_run: Whether to plan only.
        """
        refuse_while_importing("rerun_backfill")
        record = self._record(backfill_id)
        if record["status"] == "in_progress":
            msg = f"the backfill {backfill_id!r} has not ended"
            raise ExecutionError(msg, remedy=("cancel_or_resume", backfill_id))
        store = self.runtime.store
        request = self._stored_request(backfill_id).rerun_options(backfill_id)
        spaces = self.spaces()
        left = store.uncompleted(backfill_id) if part is None else part
        if error_type is not None:
            left = self._failed_with(backfill_id, error_type)
        nodes, plan = plan_rerun(request, self.graph, spaces, store.plan(record["key"]), left)
        origins = self._origins(backfill_id)

        def done(node: Node, selection: Selection) -> Selection:
            made = store.materialized_in(origins, node.name, selection.space)
            return self._loadable(node, made.intersection(selection))

        if not again:
            plan = leave_out_materialized(plan, nodes, done)
        return self._launch(request, self.prepare(request, nodes, plan, spaces), block, dry_run)

    def resume(self, backfill_id: str, *, block: bool) -> BackfillResult:
        """See `CodeRepository.resume_backfill`."""
        refuse_while_importing("resume_backfill")
        record = self._record(backfill_id)
        connection = self.runtime.connect()
        request = self._stored_request(backfill_id)
        nodes = stored_assets(self.graph, request.selection)
        _, configs = check_config(request.config, nodes)
        plan = connection.store.plan(record["key"])
        spaces = self.spaces()
        program = self.builder.build(
            nodes, plan, configs, spaces, request.retry, request.timeout, self.runtime.store.skipped
        )
        _check_still_defined(program, plan, spaces)
        if block:
            self.refuse_blocking_the_loop(program)
        lost = unavailable(plan, nodes, self._loadable)
        connection.workers.prepare()
        left = record["num_partitions"] - record["completed"] - record["failed"]
        with submission(connection.engine), connection.event_log.lock:
            key = connection.engine.resume(
                backfill_id, program, self.runtime.executor, pools.needs(nodes),
                (self._clock_ahead(), lost),
            )  # fmt: skip
            connection.event_log.taken_over(backfill_id, left, record["num_partitions"])
        self._start()
        return self._result(key, backfill_id, plan, block)

    # -- their steps -------------------------------------------------------------------------------

    def prepare(
        self, request: BackfillRequest | RunRequest, nodes: list[Node], plan: Plan, spaces: Spaces
    ) -> Prepared:
        """Makes all checks that are left when the plan is made, and builds the program.

        Raises:
            ConfigurationError: `config` does not fit the assets.
            ExecutionError: A worker process could not load an input, or an input of a backfill neither
                exists nor will be materialized.
        """
        config, configs = check_config(request.config, nodes)
        check_same_keys(self.graph, nodes, plan, spaces)
        isolation = self.runtime.executor.isolation
        if isolation != "none":
            layers = [indices or range(len(nodes)) for _, _, indices in plan.layers]
            check_memory_inputs(self.graph, nodes, layers, self.builder.input_handler, isolation)
        if isinstance(request, BackfillRequest):
            if request.overlap == "refuse":
                # What holds the partitions is the better reason than inputs that do not exist.
                self.runtime.store.refuse_overlap([node.name for node in nodes], plan)
            handler_of = self.builder.input_handler
            check_inputs_exist(self.graph, nodes, plan, spaces, self._materialized, handler_of)
        program = self.builder.build(
            nodes, plan, configs, spaces, request.retry, request.timeout, self.runtime.store.skipped
        )
        return Prepared(request, nodes, plan, program, config)

    def submit(self, prepared: Prepared) -> tuple[int, str]:
        """Records a request and queues its runs.

        Returns:
            Its number in the storage, and its id.
        """
        connection = self.runtime.connect()
        request, plan, program = prepared.request, prepared.plan, prepared.program
        connection.workers.prepare()
        # The lock is held so that the end of the backfill is not logged before its start.
        with submission(connection.engine), connection.event_log.lock:
            key, request_id = connection.engine.submit(
                request.to_json(
                    prepared.nodes, prepared.config, self._kept(prepared.nodes), self._clock_ahead()
                ),
                plan, program,
                self.runtime.executor, pools.needs(prepared.nodes),
            )  # fmt: skip
            if isinstance(request, BackfillRequest):
                names = ", ".join(node.name for node in prepared.nodes)
                connection.event_log.started(request_id, plan.num_partitions, plan.num_runs, names)
        self._start()
        return key, request_id

    def refuse_blocking_the_loop(self, program: Program) -> None:
        """Refuses to wait, on the event loop of the runs, for what needs that loop.

        Raises:
            ExecutionError: The call is made in an async function, and its runs could not be executed.
        """
        refuse_blocking_the_loop(
            self.runtime.engine, is_async=program.is_async,
            has_queue=self.runtime.run_queue is not None,
        )  # fmt: skip

    def _start(self) -> None:
        # Before the first run can end: from here on the backfill needs no reference of the caller's.
        keep_until_idle(self.runtime, processes=self.runtime.executor.isolation != "none")
        self.runtime.connect().workers.notify()

    def _launch(
        self, request: BackfillRequest, prepared: Prepared, block: bool, dry_run: bool
    ) -> BackfillResult:
        plan = prepared.plan
        if not dry_run:
            if block:
                self.refuse_blocking_the_loop(prepared.program)
            key, backfill_id = self.submit(prepared)
            return self._result(key, backfill_id, plan, block)
        names = [node.name for node in prepared.nodes]
        return _planned(
            "", plan, "dry_run", names, lambda: self._estimate(names, plan, request.max_concurrency)
        )

    def _materialized(self, asset: str, space: Space) -> Selection:
        return self.runtime.store.materialized(asset, space)

    def _done(self, node: Node, selection: Selection) -> Selection:
        """Those of the partitions for which an asset need not be executed again."""
        made = self._materialized(node.name, selection.space).intersection(selection)
        return self._loadable(node, made)

    def _loadable(self, node: Node, done: Selection) -> Selection:
        """Those of an asset's materialized partitions whose values a run can load."""
        if not done.num_partitions:
            return done
        handler, isolation = self.builder.handler(node), self.runtime.executor.isolation
        return loadable(node, done, handler, isolation, self.runtime.store)

    def _origins(self, backfill_id: str) -> list[str]:
        """Ids of a backfill and of those that it runs again."""
        origins: list[str] = []
        origin: str | None = backfill_id
        while origin is not None and origin not in origins:
            origins.append(origin)
            text = self.runtime.store.request(origin)
            origin = None if text is None else BackfillRequest.from_json(text).rerun_of
        return origins

    def _result(self, key: int, backfill_id: str, plan: Plan, block: bool) -> BackfillResult:
        if block:
            advice = f"run the rest with rerun_backfill({backfill_id!r})"
            waiting.wait(self.runtime, key, backfill_id, plan.num_partitions, advice)
        record = self._record(backfill_id)
        result = _planned(backfill_id, plan, record["status"], record["assets"])
        result._fill(record)  # noqa: SLF001
        client = self.runtime.connect().client
        result.__dict__["_cells"] = lambda width, height: client.cells(
            backfill_id, width=width, height=height
        )
        return result

    def _record(self, backfill_id: str) -> BackfillRecord:
        return self.runtime.connect().client._record(backfill_id)  # noqa: SLF001  (it raises the client's error)

    def _stored_request(self, backfill_id: str) -> BackfillRequest:
        text = self.runtime.store.request(backfill_id)
        if text is None:
            raise AssertionError  # The caller has its record, and nothing is ever deleted.
        return BackfillRequest.from_json(text)

    def _estimate(self, names: list[str], plan: Plan, max_concurrency: int) -> float | None:
        """Seconds that the runs of a plan would take at the rate of the assets' latest runs."""
        seconds = self.runtime.store.seconds_per_partition(names)
        if seconds is None or not plan.num_runs:
            return None if seconds is None else 0.0
        queue = self.runtime.run_queue
        bounds = [
            max_concurrency,
            self.runtime.executor.capacity,
            queue.max_concurrent_runs if queue else None,
        ]
        at_once = min(bound for bound in bounds if bound is not None)
        rounds = math.ceil(plan.num_runs / at_once)
        return rounds * seconds * plan.num_partitions / plan.num_runs

    def _failed_with(self, backfill_id: str, error_type: str) -> list[Selection]:
        """The partitions that failed with this type of error, by layer.

        Raises:
            ConfigurationError: No partition did.
        """
        store = self.runtime.store
        failed = store.failed_with(backfill_id, error_type) if isinstance(error_type, str) else []
        if not any(layer.num_partitions for layer in failed):
            types = sorted({group["error_type"] for group in store.error_groups(backfill_id)})
            there_are = f"the types are {', '.join(map(repr, types))}" if types else "none failed"
            msg = f"no partition of {backfill_id!r} failed with error_type={error_type!r}; {there_are}"
            raise ConfigurationError(msg)
        return failed


def _check_still_defined(program: Program, plan: Plan, spaces: Spaces) -> None:
    """Has runs look for partitions that are gone, where a definition has changed since."""
    for (selection, _, _), steps in zip(plan.layers, program.layers, strict=True):
        for step in steps:
            space = spaces.resolve(step.definition)
            try:
                selection.check_in(space, step.name)
            except PartitionValidationError:
                step.check_defined(space)


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
        assets[index]: selection.num_partitions
        for selection, _, indices in layers
        for index in (indices or range(len(assets)))
    }
    result._later(  # noqa: SLF001
        run_ids=lambda: [] if dry else run_ids(backfill_id, plan.num_runs),
        partition_keys=lambda: [key for layer in layers for key in layer[0].keys()],  # noqa: SIM118
        to_polars=lambda: tables.of_layers(layers, assets, lambda at: layers[at][0].table()),
        estimate=estimate,
    )
    return result


_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def _utc_now() -> dt.datetime:
    """The current time, which does not depend on the zone of the machine."""
    return dt.datetime.now(dt.UTC)
