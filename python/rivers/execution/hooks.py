"""Calls the hooks of a step, after it has succeeded or failed."""

from __future__ import annotations

import asyncio
import inspect
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from rivers.execution.outputs import Materialization, Output
from rivers.partitions.partition_context import context_of
from rivers.policies.hook import FailureHook, HookContext, SuccessHook

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from rivers._rivers import Run, Selection
    from rivers.execution.steps import Step
    from rivers.partitions.partition_context import PartitionContext
    from rivers.policies.hook import Hook

_log = logging.getLogger("rivers")


def call_after_return(
    step: Step, run: Run, selection: Selection | None, value: Any, marked_because: str | None
) -> None:
    """Calls the hooks of a step whose function returned, and whose value is stored.

    Args:
        step: The step.
        run: The run.
        selection: The partitions that the step was executed for; `None`: all of the run.
        value: What the function returned; for a multi-asset, a dict by output.
        marked_because: The first reason for which the function marked a partition as failed.
    """
    entered = left = selection or run.partitions
    if not run.has_no_failures:
        left = run.survivors(step.index) or entered
        left = entered.intersection(left)
    marked = entered.num_partitions - left.num_partitions
    if left.num_partitions:
        for output in step.outputs:
            part = value.get(output.name) if step.by_name else value
            _call_all(step, SuccessHook, HookContext(
                output.name, run.id, "success", _plain(part), None, output.metadata or None,
                step.config, _partition(step, left),
            ))  # fmt: skip
    if marked:
        reason = marked_because or f"{marked} partitions were marked as failed"
        call_after_failure(step, run, reason, entered.difference(left))


def call_after_failure(step: Step, run: Run, error: str, failed: Selection | None = None) -> None:
    """Calls the failure hooks of a step.

    Args:
        step: The step.
        run: The run.
        error: Why it failed.
        failed: The partitions for which it did; `None`: all of the run.
    """
    _call_all(step, FailureHook, HookContext(
        step.name, run.id, "failure", None, error, step.metadata or None, step.config,
        _partition(step, run.partitions if failed is None else failed),
    ))  # fmt: skip


def _call_all(step: Step, kind: type[Hook], context: HookContext) -> None:
    for hook in step.hooks:
        if not isinstance(hook, kind):
            continue
        try:
            returned = hook(context)
            if inspect.isawaitable(returned):
                _wait_for(returned)
        except BaseException:  # noqa: BLE001  (a hook changes nothing, whatever it raises)
            _log.exception(
                "the hook %r of the asset %r raised an exception in the run %s",
                hook.name, context.asset_name, context.run_id,
            )  # fmt: skip


def _wait_for(returned: Awaitable[Any]) -> None:
    """Waits for an async hook, on an event loop of its own: this thread may be running another."""

    async def awaited() -> None:
        await returned

    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, awaited()).result()


def _partition(step: Step, selection: Selection) -> PartitionContext | None:
    return context_of(selection, step.definition) if step.partitioned else None


def _plain(value: Any) -> Any:
    """The value without what an `Output` says about it; a `Materialization` has none."""
    if isinstance(value, Output):
        return value.value
    return None if isinstance(value, Materialization) else value
