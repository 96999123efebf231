"""Leaves assets out of runs for partitions for which they are materialized already."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rivers.planning.checks import reaches

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rivers._rivers import Plan, Selection, Store
    from rivers.assets.asset_graph import Node
    from rivers.execution.executor import Isolation
    from rivers.io.base import BaseIOHandler
    from rivers.planning.expansion import Parts
    from rivers.planning.request import Kept

    Done = Callable[[Node, Selection], Selection]
    """Those of the partitions for which an asset is materialized and its value can be loaded."""


def leave_out_materialized(plan: Plan, nodes: Sequence[Node], done: Done) -> Plan:
    """The plan, whose runs do not execute assets again for partitions that are materialized.

    Args:
        plan: The runs.
        nodes: The assets of the request, in its order.
        done: Looks up what need not be executed.
    """
    found = []
    for selection, _, indices in plan.layers:
        for index in range(len(nodes)) if indices is None else indices:
            own = done(nodes[index], selection)
            if own.num_partitions:
                found.append((index, own))
    return plan.with_materialized(found) if found else plan


def executed_parts(
    plan: Plan,
    nodes: Sequence[Node],
    left: Sequence[Selection] | None = None,
    again: Mapping[int, Selection] | None = None,
) -> Parts:
    """The partitions for which runs execute assets.

    Args:
        plan: The runs.
        nodes: The assets of the request, in its order.
        left: By layer, the partitions whose runs are left; by default all.
        again: By index of an asset, partitions for which it is executed although the plan says that it is
            materialized.
    """
    parts: Parts = {}
    for at, (selection, _, indices) in enumerate(plan.layers):
        own = selection if left is None else left[at]
        for index in range(len(nodes)) if indices is None else indices:
            done = plan.materialized(index)
            if done is not None and again and index in again:
                done = done.difference(again[index])
            parts[nodes[index].name] = own if done is None else own.difference(done)
    return parts


def unavailable(
    plan: Plan, nodes: Sequence[Node], loadable: Callable[[Node, Selection], Selection]
) -> dict[int, Selection]:
    """By index of an asset, the partitions that a plan leaves out and whose values cannot be loaded."""
    lost = {}
    for index, node in enumerate(nodes):
        done = plan.materialized(index)
        gone = None if done is None else done.difference(loadable(node, done))
        if gone is not None and gone.num_partitions:
            lost[index] = gone
    return lost


def kept(node: Node, handler: BaseIOHandler, isolation: Isolation) -> Kept:
    """Where the values that runs make of an asset are kept.

    Args:
        node: The asset.
        handler: What stores its values.
        isolation: What separates the workers that execute the runs from this process.
    """
    if handler.reach != "process" or not node.asset.keeps_value:
        return "stored"
    return "process" if isolation == "none" else "run"


def loadable(
    node: Node, done: Selection, handler: BaseIOHandler, isolation: Isolation, store: Store
) -> Selection:
    """Those of an asset's materialized partitions whose values a run can load.

    Args:
        node: The asset.
        done: The partitions for which it is materialized.
        handler: What stores its values.
        isolation: What separates the workers that execute the run from this process.
        store: Knows which of the partitions were skipped, and so have no value.
    """
    if not node.asset.keeps_value:
        return done
    skipped = store.skipped(node.name, done.space)
    held = done.intersection(skipped) if skipped is not None else done.difference(done)
    if reaches(handler, isolation):
        held = held.union(handler._held(node.name, done.difference(held)))  # noqa: SLF001  (not for users)
    return held
