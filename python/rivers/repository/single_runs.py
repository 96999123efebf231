"""Runs assets once, without a backfill, and loads their values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rivers._rivers import Plan
from rivers.exceptions import ExecutionError
from rivers.io import InputContext
from rivers.partitions.partition_context import context_of
from rivers.planning.checks import check_one_run
from rivers.planning.selection import asset_names, select_for_run
from rivers.planning.selectors import expand_selectors
from rivers.policies.strategy import BackfillStrategy
from rivers.repository import waiting
from rivers.repository.importing import refuse_while_importing
from rivers.repository.run_handle import RunHandle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rivers._rivers import Selection
    from rivers.assets.asset_graph import Graph, Node
    from rivers.partitions.key_forms import KeyLike
    from rivers.partitions.partition_context import PartitionContext
    from rivers.planning.request import RunRequest
    from rivers.repository.launch import Launcher
    from rivers.status.results import RunResult


def materialize(
    launcher: Launcher,
    selection: Sequence[str] | None,
    partition_key: KeyLike | None,
    request: RunRequest,
    *,
    raise_on_error: bool,
) -> RunResult:
    """See `CodeRepository.materialize`."""
    refuse_while_importing("materialize")
    key, request_id, program = _submit(launcher, selection, partition_key, request, block=True)
    advice = f"the run is {request_id}.0; call materialize() again for what is missing"
    left_advice = "call materialize() again; a run by hand is not resumed"
    waiting.wait(launcher.runtime, key, request_id, 1, advice, left_advice)
    result = RunHandle(launcher.runtime, key, request_id, program).wait()
    if raise_on_error and not result.success:
        raise ExecutionError(result.error or "the run was canceled") from program.first_error
    return result


def submit(
    launcher: Launcher,
    selection: Sequence[str] | None,
    partition_key: KeyLike | None,
    request: RunRequest,
) -> RunHandle:
    """See `CodeRepository.submit`."""
    refuse_while_importing("submit")
    return RunHandle(
        launcher.runtime, *_submit(launcher, selection, partition_key, request, block=False)
    )


def expanded(launcher: Launcher, selection: Sequence[str] | None) -> list[str] | None:
    """Returns the names of assets and of all that they depend on; `None` stands for all assets."""
    if selection is None:
        return None
    graph = launcher.graph
    names = [node.name for node in _selected(graph, selection)]
    upstream = [graph[name] for name in graph.all_upstream_of(names)]
    needed = [node.name for node in upstream if not node.asset.is_external]
    return [node.name for node in graph.in_order([*names, *needed])]


def load_node(launcher: Launcher, name: str, partition_key: KeyLike | None, type_hint: Any) -> Any:
    """See `CodeRepository.load_node`."""
    name, _, task = name.partition("/")
    node = launcher.graph[name]
    builder = launcher.builder
    handler = builder.task_handler(node, task) if task else builder.handler(node)
    partition: PartitionContext | None = None
    space = launcher.spaces()(node)
    chosen = space.all()
    if node.definition is not None:
        chosen = select_for_run([(node, space)], partition_key)
    elif partition_key is not None:
        msg = f"the asset {name!r} is not partitioned, but a partition_key was given"
        raise ExecutionError(msg)
    if not task:
        if not node.asset.has_value:
            return None
        chosen = _without_skipped(launcher, node, chosen)
    if node.definition is not None:
        partition = context_of(chosen, node.definition)
    context = InputContext(
        asset_name=f"{name}/{task}" if task else name,
        downstream_asset=None,
        asset_metadata=None if task else node.asset.metadata,
        partition=partition,
        type_hint=type_hint,
    )
    return handler.load_input(context)


def _without_skipped(launcher: Launcher, node: Node, chosen: Selection) -> Selection:
    """The partitions of which there can be a value: what was stored before a skip exists no longer.

    Raises:
        ExecutionError: All of them were skipped.
    """
    skipped = launcher.runtime.store.skipped(node.name, chosen.space)
    left = chosen if skipped is None else chosen.difference(skipped)
    if not left.num_partitions:
        which = f" for partition {chosen.text(0)!r}" if node.definition is not None else ""
        msg = (
            f"there is no value of asset {node.name!r}{which}: it was skipped when it was last run"
        )
        raise ExecutionError(msg)
    return left


def _selected(graph: Graph, selection: Sequence[str]) -> list[Node]:
    return graph.to_run(expand_selectors(graph, asset_names(selection)))


def _submit(
    launcher: Launcher,
    selection: Sequence[str] | None,
    partition_key: KeyLike | None,
    request: RunRequest,
    *,
    block: bool,
) -> tuple[int, str, Any]:
    graph = launcher.graph
    nodes = graph.runnable() if selection is None else _selected(graph, selection)
    engine = launcher.runtime.engine
    # While compute-bound functions hold the GIL, first place in the queue is not enough: stop
    # dispatching lower priorities now.
    engine.begin_preemption(request.priority)
    try:
        spaces = launcher.spaces()
        partitioned = [(node, spaces(node)) for node in nodes if node.definition is not None]
        chosen = select_for_run(partitioned, partition_key)
        check_one_run(graph, nodes, chosen, spaces)
        plan = Plan(chosen, BackfillStrategy.single_run())
        ordered = graph.in_order(node.name for node in nodes)
        prepared = launcher.prepare(request, ordered, plan, spaces)
        if block:
            launcher.refuse_blocking_the_loop(prepared.program)
        return *launcher.submit(prepared), prepared.program
    except BaseException:
        engine.end_preemption()
        raise
