"""Prepares, submits and resumes backfills, and describes their results."""

from __future__ import annotations

import datetime as dt
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rivers._lazy import ComputedOnce
from rivers._rivers import now
from rivers.assets import pools
from rivers.assets.config import check_config
from rivers.client import BackfillClient
from rivers.exceptions import ExecutionError, PartitionValidationError
from rivers.execution import observer
from rivers.execution.log_context import follow
from rivers.execution.observer import Observed
from rivers.planning.checks import (
    check_memory_inputs,
    check_outputs_reach,
    check_same_keys,
    warn_of_lost_values,
)
from rivers.planning.launch_info import NO_LAUNCH_INFO, LaunchInfo
from rivers.planning.lost_inputs import lost_inputs
from rivers.planning.materialized import (
    executed_parts,
    kept,
    leave_out_materialized,
    loadable,
    unavailable,
)
from rivers.planning.missing_inputs import check_inputs_exist
from rivers.planning.request import (
    BackfillRequest,
    Keeping,
    RunRequest,
    stored_assets_json,
)
from rivers.planning.runs import plan_backfill, plan_rerun
from rivers.planning.selection import stored_assets
from rivers.planning.states import AssetStates
from rivers.repository import made_again, recorded, waiting
from rivers.repository.at_exit import keep_until_idle
from rivers.repository.importing import refuse_while_importing
from rivers.repository.made_again import Again
from rivers.repository.nested import refuse_blocking_the_loop, submission
from rivers.repository.planned import estimate, planned_result
from rivers.repository.spaces import Spaces

if TYPE_CHECKING:
    from collections.abc import Callable

    from rivers._rivers import Plan, Selection
    from rivers._storage import BackfillRecord
    from rivers.assets.asset_graph import Graph, Node
    from rivers.execution.runner import Program
    from rivers.planning.expansion import Parts
    from rivers.repository.program_builder import ProgramBuilder
    from rivers.repository.runtime import Runtime
    from rivers.status.results import BackfillResult

_log = logging.getLogger("rivers")


@dataclass
class Prepared:
    """A request that has passed all checks that do not need the engine.

    Attributes:
        request: Its options.
        nodes: The assets to execute, in order.
        plan: The runs.
        config: The configuration of the assets as JSON.
        build: Builds what the runs execute.
        launch: How a backfill is launched.
    """

    request: BackfillRequest | RunRequest
    nodes: list[Node]
    plan: Plan
    config: str | None
    build: Callable[[], Program]
    launch: LaunchInfo = NO_LAUNCH_INFO

    @ComputedOnce
    def program(self) -> Program:
        """What the runs execute: a dry run does not."""
        return self.build()


class Launcher:
    """Brings requests to the engine.

    Attributes:
        launch: How its backfills are launched, where the command line does it.

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
        self.launch = LaunchInfo()

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

    def _warn_of_lost_values(self, nodes: list[Node]) -> None:
        ends_with_call = self.launch.module is not None  # By a shell command.
        if ends_with_call or self.runtime.executor.isolation != "none":
            warn_of_lost_values(nodes, self._kept(nodes), ends_with_call=ends_with_call)

    def states(self, spaces: Spaces) -> AssetStates:
        """What is materialized now, and what of it is out of date."""
        return AssetStates(self.runtime.store, self.graph, spaces, self.builder.handler)

    # -- the verbs ---------------------------------------------------------------------------------

    def backfill(self, request: BackfillRequest, *, block: bool, dry_run: bool) -> BackfillResult:
        """See `CodeRepository.backfill`."""
        refuse_while_importing("backfill")
        spaces = self.spaces()
        states = self.states(spaces)
        nodes, plan, left_out = plan_backfill(request, self.graph, spaces, states)
        if left_out is not None:
            lookup = left_out

            def done(node: Node, selection: Selection) -> Selection:
                made = lookup(node.name, selection.space).intersection(selection)
                return self._loadable(node, made)

            plan = leave_out_materialized(plan, nodes, done)
        prepared = self.prepare(request, nodes, plan, spaces, states)
        prepared.launch = self.launch
        return self._launch(request, prepared, block, dry_run)

    async def wait_async(self, result: BackfillResult) -> None:
        """Waits for the end of a backfill without blocking the event loop, and updates its result."""
        if not result.is_dry_run:
            key, total = self._record(result.backfill_id)["key"], result.num_partitions
            await waiting.wait_async(self.runtime, key, result.backfill_id, total)
            result._fill(self._record(result.backfill_id))  # noqa: SLF001

    def rerun(
        self,
        backfill_id: str,
        error_type: str | None,
        part: list[Selection] | None = None,
        *,
        again: bool = False,
        max_concurrency: int | None = None,
        max_failures: float | None = None,
        block: bool,
        dry_run: bool,
    ) -> BackfillResult:
        """See `CodeRepository.rerun_backfill`.

        Args:
            backfill_id: The backfill.
            error_type: Only partitions that failed with this type of error.
            part: The partitions of each layer, if they are chosen.
            again: Whether they are executed for assets that are materialized, too.
            max_concurrency: Maximum number of runs in flight, if it changes.
            max_failures: The failures at which it stops, if they change.
            block: Whether to wait for the end.
            dry_run: Whether to plan only.
        """
        refuse_while_importing("rerun_backfill")
        record = self._record(backfill_id)
        if record["status"] == "in_progress":
            msg = f"the backfill {backfill_id!r} has not ended"
            raise ExecutionError(msg, remedy=("cancel_or_resume", backfill_id))
        store = self.runtime.store
        request = recorded.request_of(self.runtime.store, backfill_id).rerun_options(
            backfill_id, max_concurrency, max_failures
        )
        launch = recorded.launch_of(self.runtime.store, backfill_id).updated(self.launch)
        spaces = self.spaces()
        left = store.uncompleted(backfill_id) if part is None else part
        if error_type is not None:
            left = recorded.failed_with(store, backfill_id, error_type)
        earlier = store.plan(record["key"])
        nodes, plan = plan_rerun(request, self.graph, spaces, earlier, left)
        origins = recorded.origins_of(store, backfill_id)
        states = self.states(spaces)
        indices = {name: index for index, name in enumerate(record["assets"])}

        def done(node: Node, selection: Selection) -> Selection:
            made = store.materialized_in(origins, node.name, selection.space)
            left_out = earlier.materialized(indices[node.name])
            if left_out is not None:
                made = made.union(left_out.same_in(selection.space))
            made = made.intersection(states.materialized(node.name, selection.space))
            return self._loadable(node, made.intersection(selection))

        if not again:
            plan = leave_out_materialized(plan, nodes, done)
        lost = lost_inputs(self.graph, executed_parts(plan, nodes), spaces, states)
        prepared = self.prepare(request, nodes, plan, spaces, states, lost)
        inputs: Again | None = None
        if lost and not dry_run:
            inputs = self._submit_again(lost, spaces, request, block=block)
            if block:
                made_again.wait(self.runtime, inputs)
                # What was skipped may have changed.
                prepared = self.prepare(request, nodes, plan, spaces, None, lost)
        prepared.launch = launch
        return self._launch(request, prepared, block, dry_run, inputs)

    def resume(self, backfill_id: str, *, block: bool) -> BackfillResult:
        """See `CodeRepository.resume_backfill`."""
        refuse_while_importing("resume_backfill")
        record = self._record(backfill_id)
        connection = self.runtime.connect()
        request = recorded.request_of(self.runtime.store, backfill_id)
        nodes = stored_assets(self.graph, request.selection)
        _, configs = check_config(request.config, nodes)
        plan = connection.store.plan(record["key"])
        spaces = self.spaces()
        is_interrupted = backfill_id in self.runtime.store.interrupted()
        pending = self.runtime.store.pending(backfill_id) if is_interrupted else None

        def build() -> Program:
            skipped = self.runtime.store.skipped
            program = self.builder.build(
                nodes, plan, configs, spaces, request.retry, request.timeout, skipped, pending
            )
            _check_still_defined(program, plan, spaces)
            if self.runtime.executor.isolation == "none":
                follow(program)
            return program

        program = build()
        if block:
            self.refuse_blocking_the_loop(program)
        states = self.states(spaces)

        def held(node: Node, done: Selection) -> Selection:
            made = states.materialized(node.name, done.space).intersection(done)
            return self._loadable(node, made)

        lost = unavailable(plan, nodes, held)
        loadable = [
            (index, held(nodes[index], own))
            for index, own in self.runtime.store.left_by_attempts(backfill_id)
        ]
        again: Again | None = None
        if pending is not None:
            inputs = lost_inputs(
                self.graph, executed_parts(plan, nodes, pending, lost), spaces, states
            )
            if inputs:
                again = self._submit_again(inputs, spaces, request, block=block)
            if again is not None and block:
                made_again.wait(self.runtime, again)
                program = build()
        connection.workers.prepare()
        left = record["num_partitions"] - record["completed"] - record["failed"]
        self._warn_of_lost_values(nodes)
        is_held = again is not None and not block
        assets = stored_assets_json(nodes, self._kept(nodes))
        launch = recorded.launch_of(self.runtime.store, backfill_id)
        names = [node.name for node in nodes]
        observation = program.begin(
            Observed(
                names, plan.num_partitions, plan.num_runs, resumed=backfill_id,
                traceparent=launch.traceparent,
            ),
        )  # fmt: skip
        with (
            observer.refusals(observation),
            submission(connection.engine),
            connection.event_log.lock,
        ):
            connection.notifier.expect_again(backfill_id, launch.notify)
            key = connection.engine.resume(
                backfill_id, program, self.runtime.executor, pools.needs(nodes),
                (self._clock_ahead(), list(lost.items()), assets, is_held, loadable),
            )  # fmt: skip
            connection.event_log.observe(observation, key, backfill_id)
            connection.event_log.expect(backfill_id)
            connection.event_log.taken_over(backfill_id, left, record["num_partitions"])
        self._start()
        if again is not None and not block:
            made_again.start_after(self.runtime, again, key, program, build)
        return self._result(key, backfill_id, plan, block)

    # -- their steps -------------------------------------------------------------------------------

    def _submit_again(
        self, lost: Parts, spaces: Spaces, request: BackfillRequest, *, block: bool
    ) -> Again:
        """Begins to materialize inputs again whose values are gone."""
        again, nodes, plan = made_again.requested(self.graph, lost, request)
        prepared = self.prepare(again, nodes, plan, spaces)
        if block:
            self.refuse_blocking_the_loop(prepared.program)
        return Again(*self.submit(prepared), plan.num_partitions)

    def prepare(
        self,
        request: BackfillRequest | RunRequest,
        nodes: list[Node],
        plan: Plan,
        spaces: Spaces,
        states: AssetStates | None = None,
        again: Parts | None = None,
    ) -> Prepared:
        """Makes all checks that are left when the plan is made.

        Args:
            request: The options.
            nodes: The assets to execute, in order.
            plan: The runs.
            spaces: The partitions of all assets.
            states: What is materialized; read again by default.
            again: Partitions by asset that are materialized again before the runs start.

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
            check_outputs_reach(nodes, self.builder.handler, isolation)
        if isinstance(request, BackfillRequest):
            if request.overlap == "refuse":
                # What holds the partitions is the better reason than inputs that do not exist.
                self.runtime.store.refuse_overlap([node.name for node in nodes], plan)
            handler_of = self.builder.input_handler
            known = states or self.states(spaces)
            check_inputs_exist(self.graph, nodes, plan, spaces, known, handler_of, again or {})

        def build() -> Program:
            skipped = self.runtime.store.skipped
            program = self.builder.build(
                nodes, plan, configs, spaces, request.retry, request.timeout, skipped
            )
            if isolation == "none":
                follow(program)
            return program

        prepared = Prepared(request, nodes, plan, config, build)
        if isolation != "none":
            prepared.program = build()  # Refuses what cannot be pickled, in a dry run, too.
        return prepared

    def submit(self, prepared: Prepared, *, held: bool = False) -> tuple[int, str]:
        """Records a request and queues its runs; if they are held, they start later.

        Returns:
            Its number in the storage, and its id.
        """
        connection = self.runtime.connect()
        request, plan, program = prepared.request, prepared.plan, prepared.program
        connection.workers.prepare()
        is_manual = not isinstance(request, BackfillRequest)
        assets = [node.name for node in prepared.nodes]
        observed = Observed(assets, plan.num_partitions, plan.num_runs, is_manual)
        observation, launch = program.begin(observed), prepared.launch
        if observation is not None:
            launch = replace(launch, traceparent=observation.traceparent)
        # The lock is held so that the end of the backfill is not logged before its start.
        with (
            observer.refusals(observation),
            submission(connection.engine),
            connection.event_log.lock,
        ):
            key, request_id = connection.engine.submit(
                request.to_json(
                    prepared.nodes, prepared.config, self._kept(prepared.nodes),
                    self._clock_ahead(), launch, connection.notifier.receivers(launch.notify),
                ),
                plan, program,
                self.runtime.executor, pools.needs(prepared.nodes), held,
            )  # fmt: skip
            connection.event_log.observe(observation, key, request_id)
            if not is_manual:
                connection.event_log.expect(request_id)
                names = ", ".join(assets)
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
        self,
        request: BackfillRequest,
        prepared: Prepared,
        block: bool,
        dry_run: bool,
        again: Again | None = None,
    ) -> BackfillResult:
        plan = prepared.plan
        self._warn_of_lost_values(prepared.nodes)
        if not dry_run:
            if block:
                self.refuse_blocking_the_loop(prepared.program)
            is_held = again is not None and not block
            key, backfill_id = self.submit(prepared, held=is_held)
            if again is not None and not block:
                made_again.start_after(
                    self.runtime, again, key, prepared.program, lambda: self._built_again(prepared)
                )
            return self._result(key, backfill_id, plan, block)
        names = [node.name for node in prepared.nodes]
        return planned_result(
            "",
            plan,
            "dry_run",
            names,
            lambda: estimate(self.runtime, names, plan, request.max_concurrency),
        )

    def _built_again(self, prepared: Prepared) -> Program:
        """What the runs of a request execute, by what was skipped until now."""
        request, spaces = prepared.request, self.spaces()
        _, configs = check_config(request.config, prepared.nodes)
        program = self.builder.build(
            prepared.nodes, prepared.plan, configs, spaces, request.retry, request.timeout,
            self.runtime.store.skipped,
        )  # fmt: skip
        if self.runtime.executor.isolation == "none":
            follow(program)
        return program

    def _loadable(self, node: Node, done: Selection) -> Selection:
        """Those of an asset's materialized partitions whose values a run can load."""
        if not done.num_partitions:
            return done
        handler, isolation = self.builder.handler(node), self.runtime.executor.isolation
        return loadable(node, done, handler, isolation, self.runtime.store)

    def _result(self, key: int, backfill_id: str, plan: Plan, block: bool) -> BackfillResult:
        if block:
            advice = f"run the rest with rerun_backfill({backfill_id!r})"
            left_advice = f"continue it with resume_backfill({backfill_id!r})"
            waiting.wait(self.runtime, key, backfill_id, plan.num_partitions, advice, left_advice)
        record = self._record(backfill_id)
        result = planned_result(backfill_id, plan, record["status"], record["assets"])
        result._fill(record)  # noqa: SLF001
        # The result holds the storage only: it must not keep the repository alive.
        storage = self.runtime.connect().storage
        result.__dict__["_cells"] = lambda width, height: BackfillClient(storage).cells(
            backfill_id, width=width, height=height
        )
        return result

    def _record(self, backfill_id: str) -> BackfillRecord:
        return self.runtime.connect().client._record(backfill_id)  # noqa: SLF001  (it raises the client's error)


def _check_still_defined(program: Program, plan: Plan, spaces: Spaces) -> None:
    """Has runs look for partitions that are gone, where a definition has changed since."""
    for (selection, _, _), steps in zip(plan.layers, program.layers, strict=True):
        for step in steps:
            space = spaces.resolve(step.definition)
            try:
                selection.check_in(space, step.name)
            except PartitionValidationError:
                step.check_defined(space)


_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def _utc_now() -> dt.datetime:
    """The current time, which does not depend on the zone of the machine."""
    return dt.datetime.now(dt.UTC)
