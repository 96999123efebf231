"""Builds what the runs of a request execute from the asset graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rivers.execution.runner import Program
from rivers.execution.steps import Step, StepInput, StepOutput
from rivers.io import InMemoryIOHandler
from rivers.policies.retry import check_retry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rivers._rivers import Plan
    from rivers.assets.asset_graph import Graph, Node
    from rivers.execution.executor import Isolation
    from rivers.io import BaseIOHandler
    from rivers.policies.retry import RetryPolicy
    from rivers.repository.spaces import Spaces


class ProgramBuilder:
    """Turns assets into the steps that a worker executes.

    Args:
        graph: All assets.
        default_retry: How assets without a retry policy are retried; `None` for not at all.
        isolation: What separates the workers from this process.
    """

    def __init__(
        self, graph: Graph, default_retry: RetryPolicy | None, isolation: Isolation
    ) -> None:
        self._graph = graph
        self._default_retry = default_retry
        self._isolation = isolation
        self._default_handler = InMemoryIOHandler()

    def handler(self, node: Node) -> BaseIOHandler:
        """The handler that stores the values of an asset."""
        return node.asset.io_handler or self._default_handler

    def input_handler(self, node: Node, upstream: Node) -> BaseIOHandler:
        """The handler that loads an input: that of its `AssetDef`, otherwise the upstream's."""
        given = node.asset.upstream_defs.get(upstream.name)
        return (given and given.io_handler) or self.handler(upstream)

    def build(
        self,
        nodes: list[Node],
        plan: Plan,
        configs: Mapping[str, Any],
        spaces: Spaces,
        retry: RetryPolicy | None,
        timeout: float | None,
    ) -> Program:
        """The steps of the runs of a plan.

        Args:
            nodes: The assets of the request, in its order.
            plan: The runs.
            configs: Validated configurations, by asset.
            spaces: The partitions of the inputs.
            retry: The retry policy of the request, which goes before the assets' own.
            timeout: The timeout of the request, which goes before the assets' own.
        """
        index_of = {node.name: index for index, node in enumerate(nodes)}
        # The graph may have changed since the request was made, so its order may be another one.
        ordered = self._graph.in_order(index_of)
        needs = self._graph.needs_among(index_of)
        steps = [
            Step(
                name=step.name,
                outputs=[
                    StepOutput(
                        index_of[name],
                        name,
                        self.handler(self._graph[name]),
                        self._graph[name].asset.metadata,
                    )
                    for name in step.outputs
                ],
                by_name=step.kind == "multi",
                fn=step.call_for(step.outputs, {}),
                is_async=step.is_async,
                context_param=step.signature.context_param,
                inputs=[self._input(node, self._graph[name], spaces) for name in node.inputs],
                needs=[index_of[name] for name in needs[node.name]],
                definition=node.definition,
                config=configs.get(step.name),
                metadata=step.metadata,
                retry=retry
                or check_retry(f"retry of the asset {step.name!r}", step.retry)
                or self._default_retry,
                timeout=timeout or step.timeout,
            )
            for step, node in {node.asset.step: node for node in reversed(ordered)}.items()
        ]
        position = {index_of[node.name]: at for at, node in enumerate(ordered)}
        steps.sort(key=lambda step: min(position[index] for index in step.indices))
        layers = [
            [step for step in steps if indices is None or step.index in indices]
            for _, _, indices in plan.layers
        ]
        program = Program(layers)
        if self._isolation != "none":
            program.pickle()
        return program

    def _input(self, node: Node, upstream: Node, spaces: Spaces) -> StepInput:
        given = node.asset.upstream_defs.get(upstream.name)
        return StepInput(
            parameter=upstream.name,
            handler=self.input_handler(node, upstream),
            metadata={**upstream.asset.metadata, **(given.metadata if given else {})},
            space=None if upstream.definition is None else spaces(upstream),
            mapping=node.mappings.get(upstream.name),
            has_default=upstream.name in node.asset.step.signature.optional_inputs,
        )
