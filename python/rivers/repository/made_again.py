"""Inputs of a rerun or a resume whose values are gone: they are materialized again before its runs start."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, NamedTuple

from rivers.exceptions import RiversError
from rivers.planning.grouping import choose_strategy
from rivers.planning.request import RunRequest
from rivers.planning.runs import plan_runs
from rivers.repository import waiting

if TYPE_CHECKING:
    from collections.abc import Callable

    from rivers._rivers import Plan
    from rivers.assets.asset_graph import Graph, Node
    from rivers.execution.runner import Program
    from rivers.planning.expansion import Parts
    from rivers.planning.request import BackfillRequest
    from rivers.repository.runtime import Runtime

_log = logging.getLogger("rivers")


class Again(NamedTuple):
    """Inputs that are materialized again.

    Attributes:
        key: Number of the request in the storage.
        request_id: Its id.
        num_partitions: Number of partitions.
    """

    key: int
    request_id: str
    num_partitions: int


def requested(
    graph: Graph, lost: Parts, request: BackfillRequest
) -> tuple[RunRequest, list[Node], Plan]:
    """What materializes inputs again: a request that counts for no backfill, its assets and its runs.

    Args:
        graph: All assets.
        lost: The partitions by asset.
        request: What they are for: they have its tags, configuration, priority and retries.
    """
    nodes = graph.in_order(lost)
    plan = plan_runs(graph, lost, lambda nodes: choose_strategy(None, nodes))
    known = {name for node in nodes for name in (node.name, node.asset.step.name)}
    config = {name: own for name, own in (request.config or {}).items() if name in known}
    again = RunRequest(
        request.tags, config, request.priority, request.retry, request.max_concurrency
    )
    _log.info(
        "values of %d partitions went with the memory of a process and are materialized again: %s",
        plan.num_partitions, ", ".join(lost),
    )  # fmt: skip
    return again, nodes, plan


def wait(runtime: Runtime, again: Again) -> None:
    """Waits until inputs are materialized, or have failed to be."""
    advice = "call it again for what is missing"
    waiting.wait(runtime, again.key, again.request_id, again.num_partitions, advice, advice)


def start_after(
    runtime: Runtime, again: Again, key: int, program: Program, build: Callable[[], Program]
) -> None:
    """Starts a held backfill in the background when its inputs are materialized, or have failed to be.

    Args:
        runtime: Runs both.
        again: The inputs.
        key: The backfill.
        program: What it executes, if it cannot be built again.
        build: Builds what it executes: what was skipped may have changed.
    """
    engine = runtime.connect().engine

    def start() -> None:
        own = program
        try:
            engine.wait(again.key)
            own = build()
            if program.observer is not None:
                own.observe(program.observer)
        except RiversError as error:
            # The runs say what they lack.
            _log.warning("a backfill starts with what was known at its submission: %s", error)
        finally:
            engine.start_held(key, own)

    threading.Thread(target=start, name="rivers-inputs", daemon=True).start()
