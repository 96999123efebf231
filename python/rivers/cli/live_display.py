"""The live display of a backfill that this process runs."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from rich.console import Group
from rich.text import Text

from rivers.cli.display import bar, errors, output, plan_line, progress, shortened, warnings
from rivers.client import BackfillClient
from rivers.status.progress import is_wanted

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from rich.console import Console
    from rich.live import Live

    from rivers.storage.storage import Storage

_REFRESH_SECONDS = 0.1
"""Time between two updates on a terminal."""
_POLL_SECONDS = 1.0
"""Time between two updates where there is no terminal; not every one prints a line."""
_LINE_SECONDS = 10.0
"""Time between two lines where there is no terminal."""


class RunDisplay:
    """Shows a backfill of this process: live on a terminal, otherwise as a line now and then.

    It is the `ProgressDisplay` of the repository while a command runs.

    Args:
        storage: Returns the storage of the repository, once it is open.
        announce: Called with the id once the backfill is recorded.
        out: Where the line about the plan is printed.

    Attributes:
        backfill_id: The id of the backfill; `""` until it has been submitted.
    """

    def __init__(
        self,
        storage: Callable[[], Storage],
        announce: Callable[[str], None],
        out: Console = output,
    ) -> None:
        self._out = out
        self.backfill_id = ""
        self._storage = storage
        self._announce = announce
        self._live: Live | None = None

    def begin(
        self, backfill_id: str, total: int, look: Callable[[], tuple[int, int, int] | None]
    ) -> Self:
        """Starts to show a backfill; the repository calls it when the backfill has been recorded."""
        del total  # The view has it, too.
        self.backfill_id, self._look = backfill_id, look
        return self

    def __enter__(self) -> Self:
        try:
            self._open()
        except KeyboardInterrupt:
            self._say_canceling()
            raise
        return self

    def _open(self) -> None:
        # From here on the display shows what the library logs.
        warnings.is_quiet = True
        self._client = BackfillClient(self._storage())
        view = self._client.get_view(self.backfill_id)
        if view is None:
            raise AssertionError  # It has been recorded, and records are never deleted.
        self._view = view
        self._in_flight = 0
        self._error: str | None = None
        self._failed_before = self._view.failed
        self._last_line_at = time.monotonic()
        self._out.print(plan_line(self._view))
        self._announce(self.backfill_id)
        if is_wanted() and not output.quiet:
            from rich.live import Live  # noqa: PLC0415  (it is for terminals alone)

            self._live = Live(self._picture(), console=errors, auto_refresh=False, transient=True)
            self._live.start()

    def update_interval(self) -> float:
        """Returns the seconds until the next update."""
        return _REFRESH_SECONDS if self._live else _POLL_SECONDS

    def update(self) -> None:
        """Reads the backfill and shows it."""
        now = time.monotonic()
        line_is_due = now - self._last_line_at >= _LINE_SECONDS and not output.quiet
        seen = self._look()
        if seen is None or not (self._live or line_is_due):
            return
        completed, failed, self._in_flight = seen
        # The counts of the engine are newer than those of the record, and are recorded as well.
        view = self._client.get_view(self.backfill_id) or self._view
        self._view = replace(view, completed=completed, failed=failed)
        if failed > self._failed_before:
            self._failed_before = failed
            self._error = self._client.get_error(self.backfill_id) or self._error
        if self._live:
            self._live.update(self._picture(), refresh=True)
        else:
            self._last_line_at = now
            errors.print(progress(self._view, self._in_flight), soft_wrap=True)

    def _picture(self) -> Group:
        lines: list[Any] = [bar(self._view, self._in_flight)]
        if self._error:
            lines.append(Text(f"last error: {shortened(self._error)}", "red"))
        return Group(*lines)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live:
            self._live.stop()
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            self._say_canceling()

    def _say_canceling(self) -> None:
        errors.print(
            "canceling: nothing new starts, what is in flight ends; interrupt again to leave at once"
        )
