"""The handle of a run that was submitted and goes on in the background."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

from rivers._text import listed
from rivers.exceptions import ExecutionError
from rivers.execution.context import MARKED
from rivers.repository.nested import nested_wait, refuse_blocking_the_loop
from rivers.status.results import RunResult

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from rivers.execution.runner import Program
    from rivers.repository.runtime import Runtime

HandleStatus: TypeAlias = Literal["pending", "running", "completed", "failed", "canceled"]

_POLL_SECONDS = 0.02
"""Time between two looks at a run of another process."""


class RunHandle:
    """Returned by `CodeRepository.submit()`.

    Attributes:
        run_id: The run's id.
    """

    def __init__(self, runtime: Runtime, key: int, request_id: str, program: Program) -> None:
        self.run_id = f"{request_id}.0"
        self._runtime = runtime
        self._key = key
        self._request_id = request_id
        self._program = program

    @property
    def status(self) -> HandleStatus:
        """`"pending"`, `"running"`, `"completed"`, `"failed"` or `"canceled"`."""
        run = self._runtime.storage.get_run(self.run_id)
        return "pending" if run is None else cast("HandleStatus", run.status)

    def wait(self, timeout: float | None = None) -> RunResult:
        """Waits for the end of the run.

        Args:
            timeout: Maximum number of seconds to wait; `None` for no limit.

        Raises:
            ExecutionError: The call is made in a function, and would wait for that function, or the
                process that ran it is dead.
            TimeoutError: The run has not ended within `timeout` seconds; it continues.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        engine = self._runtime.engine
        is_async, has_queue = self._program.is_async, self._runtime.run_queue is not None
        refuse_blocking_the_loop(engine, is_async=is_async, has_queue=has_queue)
        with nested_wait(engine, self._key):
            has_ended = engine.wait(self._key, timeout)
        # In a forked child the engine does not know the runs of its parent, and the storage does.
        while has_ended and self._is_in_progress():
            has_ended = deadline is None or time.monotonic() < deadline
            time.sleep(_POLL_SECONDS)
        if not has_ended:
            msg = f"the run {self.run_id} has not ended within {timeout} seconds"
            raise TimeoutError(msg)
        return self._result()

    def _is_in_progress(self) -> bool:
        store = self._runtime.store
        interrupted = self._request_id in store.interrupted()
        record = store.backfill_by_key(self._key)
        if record is None or record["status"] != "in_progress":
            return False
        if interrupted and store.is_interrupted(self._request_id):
            msg = f"the run {self.run_id} was interrupted: its process is gone"
            raise ExecutionError(msg)
        return True

    def cancel(self) -> bool:
        """Cancels the run if it has not begun.

        Returns:
            Whether the run is live in this process, so that the cancel reached it.
        """
        return self._runtime.engine.cancel(self._request_id)

    def _result(self) -> RunResult:
        connection = self._runtime.connect()
        run = connection.storage.get_run(self.run_id)
        ran = run is not None and run.status in ("completed", "failed")
        errors = dict(connection.store.failed_assets(self._request_id))
        steps = self._program.steps
        names = {output.index: output.name for step in steps for output in step.outputs}
        needs = {output.name: step.needs for step in steps for output in step.outputs}
        return RunResult(
            run_id=self.run_id,
            success=run is not None and run.status == "completed",
            materialized_assets=[name for name in needs if ran and name not in errors],
            failed_assets=[
                (name, _message(errors[name], [names[need] for need in needs[name]], errors))
                for name in needs
                if name in errors
            ],
            error=run.error if run is not None else None,
        )

    def __repr__(self) -> str:
        return f"<RunHandle {self.run_id}: {self.status}>"


def _message(error: tuple[str, str] | None, needs: Iterable[str], failed: Container[str]) -> str:
    """Returns why an asset failed: its own error, or the assets that it waited for."""
    if error is not None:
        kind, message = error
        return message if kind == MARKED else f"{kind}: {message}"
    waited_for = [name for name in needs if name in failed]
    return f"waited for {listed(waited_for)}, which failed" if waited_for else "not executed"
