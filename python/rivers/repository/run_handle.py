"""The handle of a run that was submitted and goes on in the background."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias, cast

from rivers.repository.nested import nested_wait, refuse_blocking_the_loop
from rivers.status.results import RunResult

if TYPE_CHECKING:
    from rivers.execution.runner import Program
    from rivers.repository.runtime import Runtime

HandleStatus: TypeAlias = Literal["pending", "running", "completed", "failed", "canceled"]


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
            ExecutionError: The call is made in a function, and would wait for that function.
            TimeoutError: The run has not ended within `timeout` seconds; it continues.
        """
        engine = self._runtime.engine
        is_async, has_queue = self._program.is_async, self._runtime.run_queue is not None
        refuse_blocking_the_loop(engine, is_async=is_async, has_queue=has_queue)
        with nested_wait(engine, self._key):
            has_ended = engine.wait(self._key, timeout)
        if not has_ended:
            msg = f"the run {self.run_id} has not ended within {timeout} seconds"
            raise TimeoutError(msg)
        return self._result()

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
        failed = connection.store.failed_assets(self._request_id)
        names = [step.name for step in self._program.steps]
        return RunResult(
            run_id=self.run_id,
            success=run is not None and run.status == "completed",
            materialized_assets=[name for name in names if ran and name not in failed],
            failed_assets=[name for name in names if name in failed],
            error=run.error if run is not None else None,
        )

    def __repr__(self) -> str:
        return f"<RunHandle {self.run_id}: {self.status}>"
