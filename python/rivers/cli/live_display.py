"""What a person sees of a backfill that this process runs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Self

from rich.console import Group
from rich.live import Live
from rich.text import Text

from rivers.cli.display import bar, errors, output, plan_line, progress, shortened, warnings
from rivers.status.progress import is_wanted

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from rivers._rivers import Store

_REFRESH = 0.1
"""Seconds between two looks at a terminal."""
_LINE_EVERY = 10.0
"""Seconds between two lines where there is no terminal."""


class RunDisplay:
    """Shows a backfill of this process: a live picture on a terminal, else a line now and then.

    It stands in for the library's `ProgressLine`, and remembers which backfill it showed.

    Attributes:
        backfill_id: The backfill; `""` until it has been submitted.
    """

    def __init__(self, store: Callable[[], Store], announce: Callable[[str], None]) -> None:
        self.backfill_id = ""
        self._store = store
        self._announce = announce
        self._live: Live | None = None

    def begin(
        self, backfill_id: str, total: int, look: Callable[[], tuple[int, int, int] | None]
    ) -> Self:
        """Called by the repository when the backfill has been recorded."""
        del total  # The record has it, too.
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
        # From here on this display tells what the log would.
        warnings.is_quiet = True
        self._record: dict[str, Any] = {**(self._store().backfill(self.backfill_id) or {})}
        self._rate: float | None = None
        self._in_flight = 0
        self._error: str | None = None
        self._error_at = self._record["failed"]
        self._last_line = time.monotonic()
        output.print(plan_line(self._record), soft_wrap=True)
        self._announce(self.backfill_id)
        if is_wanted():
            self._live = Live(self._picture(), console=errors, auto_refresh=False, transient=True)
            self._live.start()

    def patience(self) -> float:
        """Seconds until the next look."""
        return _REFRESH if self._live else 1.0

    def update(self) -> None:
        """Looks and shows."""
        now = time.monotonic()
        line_is_due = now - self._last_line >= _LINE_EVERY
        seen = self._look()
        if seen is None or not (self._live or line_is_due):
            return
        completed, failed, self._in_flight = seen
        store = self._store()
        self._record = {**(store.backfill(self.backfill_id) or self._record)}
        # What is told is what is recorded; these are, and newer.
        self._record |= {"completed": completed, "failed": failed}
        self._rate = store.rate(self.backfill_id)
        if failed > self._error_at:
            self._error_at = failed
            self._error = store.last_error(self.backfill_id) or self._error
        if self._live:
            self._live.update(self._picture(), refresh=True)
        else:
            self._last_line = now
            errors.print(progress(self._record, self._rate, self._in_flight), soft_wrap=True)

    def _picture(self) -> Group:
        lines: list[Any] = [bar(self._record, self._rate, self._in_flight)]
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
