"""Refusals that need the plan or the partitions of all assets."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from rivers.assets.asset_graph import SAME_KEYS
from rivers.exceptions import ExecutionError, PartitionValidationError
from rivers.io.base import BaseIOHandler

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rivers._rivers import Plan, Selection, Space
    from rivers.assets.asset_graph import Graph, Node
    from rivers.execution.executor import Isolation
    from rivers.io.base import Reach
    from rivers.planning.request import Keeping

_log = logging.getLogger("rivers")

_SUFFICIENT: dict[Isolation, tuple[Reach, ...]] = {
    "none": ("process", "machine", "anywhere"),
    "process": ("machine", "anywhere"),
    "machine": ("anywhere",),
}
"""The reach of handlers whose values get from one worker to another, by what separates the workers."""

_KEPT: dict[Reach, str] = {
    "process": "in the memory of one process",
    "machine": "on one machine",
    "anywhere": "where every machine reaches it",
}
_NEEDED: dict[Isolation, str] = {
    "none": "of any kind",
    "process": "that processes share, such as PickleIOHandler or ParquetIOHandler",
    "machine": "that all machines reach, such as PickleIOHandler over an object store, or over a folder "
    "that they share: PickleIOHandler(folder, shared=True)",
}


def reaches(handler: BaseIOHandler, isolation: Isolation) -> bool:
    """Whether the values of a handler get from one worker to another, by what separates the workers."""
    return handler.reach in _SUFFICIENT[isolation]


def check_canary(plan: Plan, canary: int | None) -> None:
    """Refuses a canary for a plan in which no run could wait for it.

    Raises:
        ExecutionError: Says what to do instead.
    """
    if canary is None:
        return
    if plan.is_one_run and plan.num_partitions > 1:
        msg = "canary needs several runs, but single_run() executes all partitions in one; use chunked(n)"
        raise ExecutionError(msg)
    if plan.layers[0][2] is not None:
        msg = (
            "canary is for runs that need nothing of each other; here a mapping between the selected assets "
            "has some wait for others: backfill a few partitions first, and then the rest"
        )
        raise ExecutionError(msg)


def check_one_run(
    graph: Graph, nodes: Sequence[Node], chosen: Selection, space_of: Callable[[Node], Space]
) -> None:
    """Refuses a manual run that needs partitions which the same run is to make.

    Args:
        graph: All assets.
        nodes: The assets of the run.
        chosen: The partitions of the run.
        space_of: The partitions of an asset.

    Raises:
        ExecutionError: Names both assets and what to do instead.
    """
    selected = {node.name for node in nodes if node.definition is not None}
    for node in nodes:
        for name, mapping in node.mappings.items():
            if node.name not in selected or name not in selected or mapping == SAME_KEYS:
                continue
            space = space_of(graph[name])
            own = chosen.translate(space_of(node), node.name)
            needed = own.upstream(space, mapping)
            if needed.intersection(chosen.translate(space, name)).num_partitions:
                whose = "its own partitions" if name == node.name else f"partitions of {name!r}"
                msg = (
                    f"the asset {node.name!r} needs, through {mapping}, {whose} which the same run is "
                    "to make; use backfill(), which executes runs in the order that they need"
                )
                raise ExecutionError(msg)


def check_same_keys(
    graph: Graph, nodes: Sequence[Node], plan: Plan, space_of: Callable[[Node], Space]
) -> None:
    """Refuses partitions for which an upstream does not have the same keys, though the mapping needs them.

    The upstream began later, for example, or has ended.

    Args:
        graph: All assets.
        nodes: The assets that are executed, in order.
        plan: The runs.
        space_of: The partitions of an asset.

    Raises:
        PartitionValidationError: Names the partition, the asset and the upstream.
    """
    for selection, _, indices in plan.layers:
        for node in nodes if indices is None else [nodes[index] for index in indices]:
            for name in [*node.inputs, *node.mappings]:
                upstream, mapping = graph[name], node.mapping_to(name)
                if mapping is None or None in (node.definition, upstream.definition):
                    continue
                if upstream.definition == node.definition:
                    continue
                try:
                    selection.translate(space_of(node), node.name).upstream(
                        space_of(upstream), mapping
                    )
                except PartitionValidationError as error:
                    msg = f"the asset {node.name!r} needs the same partitions of {name!r}: {error}"
                    raise PartitionValidationError(msg) from None


def check_outputs_reach(
    nodes: Sequence[Node], handler_of: Callable[[Node], BaseIOHandler], isolation: Isolation
) -> None:
    """Refuses handlers that keep values on the machine of a worker, where nothing else finds them.

    A handler that does not say how far it reaches may do anything; only inputs from other runs are
    refused for it.

    Args:
        nodes: The assets that are executed.
        handler_of: The handler that stores the value of an asset.
        isolation: What separates the executor's workers from each other.

    Raises:
        ExecutionError: Names the asset and a handler that would do.
    """
    if isolation != "machine":
        return
    for node in nodes:
        handler = handler_of(node)
        if handler.reach == "machine" and _declares_reach(handler) and node.asset.has_value:
            msg = (
                f"the asset {node.name!r} is executed on other machines, but {type(handler).__name__} keeps "
                f"its values {_KEPT['machine']}; give it an io_handler {_NEEDED['machine']}"
            )
            raise ExecutionError(msg)


def warn_of_lost_values(
    nodes: Sequence[Node], keeping: Sequence[Keeping], *, ends_with_call: bool
) -> None:
    """Says, before anything runs, which values no process will be able to load afterwards.

    Args:
        nodes: The assets that are executed.
        keeping: How the values of each are kept.
        ends_with_call: Whether this process ends with the backfill, as a shell command does.
    """
    gone = {"run": "the end of their run", "process": "the end of this command"}
    for where, until in gone.items():
        if where == "process" and not ends_with_call:
            continue
        names = [node.name for node, own in zip(nodes, keeping, strict=True) if own.where == where]
        if names:
            _log.warning(
                "values of %s are kept in memory and cannot be loaded after %s: their partitions will be "
                "missing; give them an io_handler such as PickleIOHandler to keep them",
                ", ".join(map(repr, names)), until,
            )  # fmt: skip


def _declares_reach(handler: BaseIOHandler) -> bool:
    """Whether a handler or its class sets `reach`, besides the default."""
    declared = (vars(base) for base in type(handler).__mro__ if base is not BaseIOHandler)
    return "reach" in vars(handler) or any("reach" in names for names in declared)


def check_memory_inputs(
    graph: Graph,
    nodes: Sequence[Node],
    layers: Sequence[Sequence[int]],
    handler_of: Callable[[Node, Node], BaseIOHandler],
    isolation: Isolation,
) -> None:
    """Refuses inputs from another run whose handler does not reach from worker to worker.

    Args:
        graph: All assets.
        nodes: The assets that are executed, in order.
        layers: By layer, the positions of the assets that share runs.
        handler_of: The handler that loads the value of the second asset for the first.
        isolation: What separates the executor's workers from each other.

    Raises:
        ExecutionError: Names the asset, the input and a handler that would do.
    """
    layer_of = {nodes[index].name: number for number, layer in enumerate(layers) for index in layer}
    for node in nodes:
        for upstream in map(graph.__getitem__, node.inputs):
            same_partitions = upstream.definition == node.definition and (
                node.mappings.get(upstream.name) in (None, SAME_KEYS)
            )
            handler = handler_of(node, upstream)
            same_run = layer_of.get(upstream.name) == layer_of[node.name]
            if (same_run and same_partitions) or reaches(handler, isolation):
                continue
            msg = (
                f"the asset {node.name!r} takes the value of {upstream.name!r} from another run, but "
                f"{type(handler).__name__} keeps it {_KEPT[handler.reach]}; give {upstream.name!r} an "
                f"io_handler {_NEEDED[isolation]}"
            )
            raise ExecutionError(msg)
