"""Builds what the runs of a request execute from the asset graph."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from rivers.assets.graph_asset import handler_of_task
from rivers.assets.traced_function import TracedFunction
from rivers.execution.runner import Program
from rivers.execution.steps import Step, StepInput, StepOutput, Upstream
from rivers.io import InMemoryIOHandler
from rivers.io.stored import StoredIOHandler
from rivers.policies.retry import check_retry

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping, Sequence

    from rivers._rivers import Plan, Selection, Space, Store
    from rivers.assets.asset_graph import Graph, Node
    from rivers.assets.step_def import StepDef
    from rivers.execution.executor import Isolation
    from rivers.execution.resources import Resources
    from rivers.io import BaseIOHandler
    from rivers.policies.retry import RetryPolicy
    from rivers.repository.spaces import Spaces

    Skipped = Callable[[str, Space], Selection | None]
    """The partitions of a space that the latest backfill of each skipped for the asset of this name."""


class ProgramBuilder:
    """Turns assets into the steps that a worker executes.

    Args:
        graph: All assets.
        default_retry: How assets without a retry policy are retried; `None` for not at all.
        isolation: What separates the workers from this process.
        retries: The retry policies that assets and tasks name.
        resources: What functions take by name, and what names of handlers mean.
        store: Returns the storage, which has values beside it if it is a file.

    Raises:
        ConfigurationError: An asset or a task names an unknown retry policy or handler.
    """

    def __init__(
        self,
        graph: Graph,
        default_retry: RetryPolicy | None,
        isolation: Isolation,
        retries: Mapping[str, RetryPolicy],
        resources: Resources,
        store: Callable[[], Store],
    ) -> None:
        self._graph = graph
        self._isolation = isolation
        self._retries = retries
        self._resources = resources
        # In tests, the handler of all assets that are not external, whatever they declare.
        self.only_handler: BaseIOHandler | None = None
        self._store = store
        self._memory = InMemoryIOHandler()
        self._stored: tuple[Store, StoredIOHandler] | None = None
        # What does not change from request to request is looked up once.
        self._retry_of: dict[StepDef, RetryPolicy | None] = {}
        self._calls: dict[tuple[StepDef, tuple[str, ...]], Callable[..., Any]] = {}
        self._handlers: dict[str, BaseIOHandler] = {}
        self._input_handlers: dict[tuple[str, str], BaseIOHandler] = {}
        for node in graph.nodes.values():
            step = node.asset.step
            if step not in self._retry_of:
                policy = None
                if step.retry is not None:
                    owner = f"retry of the asset {step.name!r}"
                    policy = check_retry(owner, step.retry, retries)
                self._retry_of[step] = policy or default_retry
                if step.kind == "graph":
                    step.call_for(step.outputs, retries, resources.handler)
            if node.asset.io_handler is not None or node.asset.upstream_defs:
                self._look_up_handlers(node)

    def _look_up_handlers(self, node: Node) -> None:
        """Finds the handlers that an asset declares for its values and for its inputs."""
        for name, given in node.asset.upstream_defs.items():
            owner = f"the input {name!r} of the asset {node.name!r}"
            handler = self._resources.handler(given.io_handler, owner)
            if handler is not None:
                self._input_handlers[node.name, name] = handler
        handler = self._resources.handler(node.asset.io_handler, f"the asset {node.name!r}")
        if handler is not None:
            self._handlers[node.name] = handler

    def handler(self, node: Node) -> BaseIOHandler:
        """The handler that stores the values of an asset."""
        if self.only_handler is not None and not node.asset.is_external:
            return self.only_handler
        return self._handlers.get(node.name) or self._default_handler()

    def input_handler(self, node: Node, upstream: Node) -> BaseIOHandler:
        """The handler that loads an input: that of its `AssetDef`, otherwise the upstream's."""
        declared = self._input_handlers.get((node.name, upstream.name))
        if declared is None or (self.only_handler is not None and not upstream.asset.is_external):
            return self.handler(upstream)
        return declared

    def _default_handler(self) -> BaseIOHandler:
        """Keeps values beside a file storage, and in memory if no file is within reach of the workers."""
        store = self._store()
        values = store.values
        if values is None or self._isolation == "machine":
            return self._memory
        if self._stored is None or self._stored[0] is not store:
            self._stored = store, StoredIOHandler(values)
        return self._stored[1]

    def task_handler(self, node: Node, task: str) -> BaseIOHandler:
        """The handler that stores what a task of a graph asset returns.

        Raises:
            AssetNotFoundError: There is no such task.
            ExecutionError: Nothing stores what the task returns.
        """
        given = handler_of_task(node.asset.step, task)
        return self._resources.handler(given, f"the task {task!r}") or self._default_handler()

    def build(
        self,
        nodes: list[Node],
        plan: Plan,
        configs: Mapping[str, Any],
        spaces: Spaces,
        retry: RetryPolicy | None,
        timeout: float | None,
        skipped: Skipped,
        left: Sequence[Selection] | None = None,
    ) -> Program:
        """The steps of the runs of a plan.

        Args:
            nodes: The assets of the request, in its order.
            plan: The runs.
            configs: Validated configurations, by asset.
            spaces: The partitions of the inputs.
            retry: The retry policy of the request, which goes before the assets' own.
            timeout: The timeout of the request, which goes before the assets' own.
            skipped: Looks up what earlier backfills skipped.
            left: By layer, the partitions whose runs are left; by default all.
        """
        index_of = {node.name: index for index, node in enumerate(nodes)}
        # The graph may have changed since the request was made, so its order may be another one.
        ordered = self._graph.in_order(index_of)
        needs = self._graph.needs_among(index_of)
        part_of: dict[str, Selection] = {}
        for at, (whole, _, indices) in enumerate(plan.layers):
            selection = whole if left is None else left[at]
            for index in range(len(nodes)) if indices is None else indices:
                done = plan.materialized(index)
                part_of[nodes[index].name] = selection.difference(done) if done else selection
        layers = []
        for _, _, indices in plan.layers:
            outputs_of: dict[StepDef, list[Node]] = {}
            for node in ordered:
                if indices is None or index_of[node.name] in indices:
                    outputs_of.setdefault(node.asset.step, []).append(node)
            steps = []
            own = {node.name for group in outputs_of.values() for node in group}
            for step, outputs in outputs_of.items():
                built = self._step(step, outputs, index_of, needs, configs, spaces, retry, timeout)
                deps = {dep for node in outputs for dep in node.deps if dep not in step.outputs}
                built.follow(
                    self._upstream(
                        outputs[0], self._graph[dep], index_of, part_of, own, spaces, skipped
                    )
                    for dep in sorted(deps)
                )
                steps.append(built)
            layers.append(steps)
        program = Program(layers, plan=plan, resources=self._resources)
        if self._isolation != "none":
            program.pickle()
        return program

    def _step(
        self,
        step: StepDef,
        nodes: list[Node],
        index_of: Mapping[str, int],
        needs: Mapping[str, list[str]],
        configs: Mapping[str, Any],
        spaces: Spaces,
        retry: RetryPolicy | None,
        timeout: float | None,
    ) -> Step:
        """The step that makes these of its outputs."""
        first = nodes[0]
        names = [node.name for node in nodes]
        selected = [name for name in step.outputs if name in names]
        call = self._call(step, selected)
        taken = {name: self._resources[name] for name in first.resources}
        inputs = [self._input(first, self._graph[name], spaces) for name in first.inputs]
        outputs = [self._output(node, index_of[node.name]) for node in nodes]
        return Step(
            name=step.name,
            outputs=outputs,
            by_name=step.kind == "multi",
            fn=functools.partial(call, **taken) if taken else call,
            is_async=step.is_async,
            context_param=step.signature.context_param,
            inputs=inputs,
            needs=sorted({index_of[need] for name in names for need in needs[name]}),
            required=sorted(
                {
                    index_of[need]
                    for node in nodes
                    for need in needs[node.name]
                    if not node.may_miss(need)
                }
            ),
            definition=first.definition,
            config=configs.get(step.name),
            metadata=step.metadata,
            output_selection=selected if step.kind == "multi" else [],
            other_outputs=[name for name in step.outputs if name not in names],
            retry=retry or self._retry_of[step],
            labels=step.labels,
            hooks=step.hooks,
            resources=self._used_by(call, taken.values(), inputs, outputs),
            timeout=timeout or step.timeout,
            compute=step.compute_of_all,
        )

    def _call(self, step: StepDef, selected: list[str]) -> Callable[..., Any]:
        """What a run calls to make these outputs of a step."""
        key = step, tuple(selected)
        call = self._calls.get(key)
        if call is None:
            call = step.call_for(selected, self._retries, self._resources.handler)
            self._calls[key] = call
        return call

    def _used_by(
        self,
        call: Callable[..., Any],
        taken: Iterable[object],
        inputs: Iterable[StepInput],
        outputs: Iterable[StepOutput],
    ) -> list[str]:
        """The names of the resources that a step uses, as arguments or as handlers."""
        handlers = [each.handler for each in inputs] + [each.handler for each in outputs]
        traced = getattr(call, "__self__", call)
        tasks = (
            [each.io_handler for each in traced.calls] if isinstance(traced, TracedFunction) else []
        )
        return self._resources.names_of([*taken, *handlers, *tasks])

    def _output(self, node: Node, index: int) -> StepOutput:
        step = node.asset.step
        handler = self.handler(node)
        return StepOutput(
            index,
            node.name,
            handler,
            node.asset.metadata,
            type_hint=step.value_hint,
            has_value=node.asset.has_value,
            facts=handler._known_facts(),  # noqa: SLF001  (not for users)
        )

    def _upstream(
        self,
        node: Node,
        upstream: Node,
        index_of: Mapping[str, int],
        part_of: Mapping[str, Selection],
        own: Container[str],
        spaces: Spaces,
        skipped: Skipped,
    ) -> Upstream:
        """What a step has to know of the skipped partitions of an asset that it depends on."""
        mapping = node.mappings.get(upstream.name)
        space = spaces(upstream)
        earlier = skipped(upstream.name, space)
        part = part_of.get(upstream.name)
        if earlier is not None and part is not None:
            earlier = earlier.difference(part.only_in(space)[0])
        return Upstream(
            name=upstream.name,
            index=index_of.get(upstream.name),
            shares_runs=upstream.name in own,
            space=space,
            mapping=mapping,
            # An asset that does without what is missing also does without what was skipped.
            gives_several=node.may_miss(upstream.name)
            or (
                upstream.definition is not None
                and spaces.resolve(node.definition).needs_several(space, mapping)
            ),
            skipped=earlier if earlier is not None and earlier.num_partitions else None,
        )

    def _input(self, node: Node, upstream: Node, spaces: Spaces) -> StepInput:
        given = node.asset.upstream_defs.get(upstream.name)
        replacement = None if given is None else given.metadata
        signature = node.asset.step.signature
        space = None if upstream.definition is None else spaces(upstream)
        mapping = node.mappings.get(upstream.name)
        return StepInput(
            parameter=upstream.name,
            handler=self.input_handler(node, upstream),
            metadata=upstream.asset.metadata if replacement is None else dict(replacement),
            space=space,
            mapping=mapping,
            has_default=upstream.name in signature.optional_inputs,
            definition=upstream.definition,
            type_hint=signature.hints.get(upstream.name),
            has_value=upstream.asset.has_value,
            gives_several=space is not None and spaces(node).needs_several(space, mapping),
            allow_missing=node.may_miss(upstream.name),
        )
