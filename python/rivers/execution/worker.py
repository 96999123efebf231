"""What a worker outside the recording process does with a batch, wherever it runs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from typing import TYPE_CHECKING

from rivers.execution.event_loop import run_to_end
from rivers.io import InMemoryIOHandler
from rivers.io.stored import StoredIOHandler

if TYPE_CHECKING:
    from collections.abc import Callable

    from rivers._rivers import Calls, Run, WorkerBatch
    from rivers.execution.runner import Program
    from rivers.execution.steps import Step


def execute_batch(
    program: Program,
    batch: WorkerBatch,
    on_step: Callable[[Step, Run], None] | None = None,
    on_call: Callable[[float | None], None] | None = None,
    on_calls: Callable[[Calls], None] | None = None,
) -> bytes:
    """Executes runs until it is time to report.

    Args:
        program: What executes the runs. It belongs to this worker: no other thread uses it.
        batch: The runs.
        on_step: Called with each step and its run before the step is executed.
        on_call: Called around each call that has a timeout; see `Program.on_call`.
        on_calls: Called with the calls that Rust makes; see `Program.on_calls`.

    Returns:
        The report for `Batch.receive`.
    """
    outputs = [output for step in program.steps for output in step.outputs]
    handlers = list({id(output.handler): output.handler for output in outputs}.values())
    in_memory = [handler for handler in handlers if isinstance(handler, InMemoryIOHandler)]

    def end_run() -> None:
        for handler in in_memory:
            handler.forget()

    program.on_step, program.on_call, program.on_calls = on_step, on_call, on_calls
    program.repeated = [
        output.index for output in outputs if isinstance(output.handler, InMemoryIOHandler)
    ]
    process = os.getpid()
    try:
        if program.is_async:
            run_to_end(_event_loop(), program.execute_async(batch, end_run))
        else:
            program.execute(batch, end_run)
    finally:
        if os.getpid() != process:
            _leave_child()
    end_run()  # What the last runs have noted goes with them.
    for handler in handlers:
        if isinstance(handler, StoredIOHandler):
            handler.sync()
    return batch.report()


def _leave_child() -> None:
    """Ends a child that a function forked, once it leaves the function: the runs are those of its parent."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(0)


_loops: list[asyncio.AbstractEventLoop] = []
"""The loop of this process, once it needs one."""


def _event_loop() -> asyncio.AbstractEventLoop:
    if not _loops or _loops[0].is_closed():
        _loops[:] = [asyncio.new_event_loop()]
    return _loops[0]
