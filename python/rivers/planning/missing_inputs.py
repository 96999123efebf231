"""Inputs of a request that neither exist nor will be materialized."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from rivers.assets.asset_graph import SAME_KEYS
from rivers.exceptions import ExecutionError, PartitionValidationError
from rivers.planning.materialized import executed_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rivers._rivers import Plan, Selection
    from rivers.assets.asset_graph import Graph, Node
    from rivers.io import BaseIOHandler
    from rivers.planning.expansion import Parts, SpaceOf
    from rivers.planning.states import AssetStates

_log = logging.getLogger("rivers")


def check_inputs_exist(
    graph: Graph,
    nodes: Sequence[Node],
    plan: Plan,
    space_of: SpaceOf,
    states: AssetStates,
    handler_of: Callable[[Node, Node], BaseIOHandler],
    again: Parts,
) -> None:
    """Refuses inputs that do not exist where only a run can make them, and warns of others.

    Args:
        graph: All assets.
        nodes: The assets that are executed, in order.
        plan: Their runs.
        space_of: The partitions of an asset.
        states: What is materialized and what was skipped.
        handler_of: The handler that loads the value of the second asset for the first.
        again: Partitions by asset that are materialized again before the runs start.

    Raises:
        ExecutionError: Names the asset, the input, how many partitions are missing, and the first.
    """
    taking = [node for node in nodes if node.inputs]
    if not taking:
        return
    parts = executed_parts(plan, nodes)
    planned = _parts(nodes, plan)
    for node in taking:
        for name in node.inputs:
            upstream = graph[name]
            if not upstream.asset.has_value or node.may_miss(name):
                continue
            if _is_made_by_same_run(node, upstream, planned):
                continue
            needed = _needed(node, upstream, parts[node.name], space_of)
            for own in (planned.get(upstream.name), again.get(upstream.name)):
                if needed is not None and own is not None:
                    needed = needed.difference(own.same_in(needed.space))
            if needed is None or not needed.num_partitions:
                continue
            handler = handler_of(node, upstream)
            missing = _missing(upstream, needed, handler, states)
            if missing.num_partitions:
                _report(node, upstream, missing, handler)


def _is_made_by_same_run(node: Node, upstream: Node, planned: Parts) -> bool:
    """Whether the runs of an asset also make all that it needs of an upstream."""
    return (
        planned.get(upstream.name) is planned[node.name]
        and node.definition == upstream.definition
        and node.mapping_to(upstream.name) is SAME_KEYS
    )


def _parts(nodes: Sequence[Node], plan: Plan) -> Parts:
    """The partitions of each asset in a plan."""
    parts: Parts = {}
    for selection, _, indices in plan.layers:
        for index in range(len(nodes)) if indices is None else indices:
            parts[nodes[index].name] = selection
    return parts


def _needed(node: Node, upstream: Node, own: Selection, space_of: SpaceOf) -> Selection | None:
    """The partitions of an upstream that those of an asset need; `None` if it lacks some of their keys."""
    try:
        return own.upstream(space_of(upstream), node.mappings.get(upstream.name))
    except PartitionValidationError:
        return None  # The run that needs such a key fails and names it.


def _missing(
    upstream: Node, needed: Selection, handler: BaseIOHandler, states: AssetStates
) -> Selection:
    """Those of the partitions for which there is no value."""
    made = states.materialized(upstream.name, needed.space)
    if upstream.asset.is_external:
        # If its partitions are not reported, nothing is known.
        return needed.difference(made) if made.num_partitions else made
    if not _only_from_runs(handler):
        return needed.difference(made)
    state = states.of(upstream)
    known = state.stored().difference(states.lost(upstream)).union(state.skipped())
    missing = needed.difference(known.same_in(needed.space))
    if not missing.num_partitions:
        return missing
    # A value can have been put there by hand, or by a repository with another storage, or be forgotten.
    held = handler._held(upstream.name, missing)  # noqa: SLF001  (not for users)
    return missing.difference(held)


def _only_from_runs(handler: BaseIOHandler) -> bool:
    """Whether a handler loads only what runs have stored."""
    return handler._loads_only_from_runs and _is_own(handler)  # noqa: SLF001


def _is_own(handler: BaseIOHandler) -> bool:
    """Whether it loads as the library's handlers do."""
    return type(handler).load_input.__module__.startswith("rivers.")


def _report(node: Node, upstream: Node, missing: Selection, handler: BaseIOHandler) -> None:
    """Refuses or warns.

    Raises:
        ExecutionError: Only a run can make the missing partitions.
    """
    count = missing.num_partitions
    if upstream.definition is None:
        takes = (
            f"takes the value of {upstream.name!r}, which neither exists nor will be materialized"
        )
    else:
        noun = "1 partition" if count == 1 else f"{count} partitions"
        verbs = "neither exists nor will be" if count == 1 else "neither exist nor will be"
        first = "" if count == 1 else ", first "
        takes = (
            f"takes {noun} of {upstream.name!r} that {verbs} materialized: "
            f"{first.removeprefix(', ')}{missing.text(0)!r}"
        )
    if _only_from_runs(handler) and not upstream.asset.is_external:
        msg = (
            f"the asset {node.name!r} {takes}; select {upstream.name!r} too, pass include_upstream=True, "
            f"or declare AssetDef.input({upstream.name!r}, allow_missing=True)"
        )
        raise ExecutionError(msg)
    _log.warning("the asset %r %s; a run that does not find it fails", node.name, takes)
