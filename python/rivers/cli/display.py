"""What a person sees: a backfill while it runs, and how one ended."""

from __future__ import annotations

import logging
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from rivers.progress import is_wanted

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from rivers._rivers import Store

output = Console(highlight=False)
"""What was asked for."""
errors = Console(stderr=True, highlight=False)
"""Progress, warnings and refusals."""

STYLES = {
    "completed": "green",
    "failed": "bold red",
    "canceled": "yellow",
    "running": "cyan",
    "in_progress": "cyan",
    "pending": "bright_black",
}

_REFRESH = 0.1
"""Seconds between two looks at a terminal."""
_LINE_EVERY = 10.0
"""Seconds between two lines where there is no terminal."""
_LONGEST_ERROR = 300
"""Characters of an error that are shown while it runs."""
_WINDOW = 10.0
"""Seconds over which the rate is measured."""


def say_error(message: str) -> None:
    """One clean paragraph on the error stream."""
    errors.print(f"[bold red]error:[/] {escape(message)}", soft_wrap=True)


def count(number: int, noun: str) -> str:
    """A number with its noun: `1 run`, `1,000 runs`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """Seconds as a person says them: `0.4 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`."""
    if seconds < 10:  # noqa: PLR2004
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for name, size, smaller, part in (("d", 86_400, "h", 3600), ("h", 3600, "min", 60)):
        if whole >= size:
            return f"{whole // size} {name} {whole % size // part} {smaller}"
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{whole} s"  # noqa: PLR2004


def last_error(store: Store, backfill_id: str) -> str | None:
    """The failure of a backfill that was recorded last, if the latest of all is one of its own."""
    for run in store.runs(1, "failed"):
        if run["backfill"]["backfill_id"] == backfill_id:
            return str(run["error"])[:_LONGEST_ERROR]
    return None


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
        self.backfill_id, self._total, self._look = backfill_id, total, look
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
        logging.getLogger("rivers").setLevel(logging.ERROR)
        record = self._store().backfill(self.backfill_id) or {}
        self._began = time.monotonic()
        first = record["completed"] + record["failed"]
        self._seen = (first, record["failed"], 0)
        self._samples = deque([(self._began, first)])
        self._error: str | None = None
        self._error_at = record["failed"]
        self._last_line = self._began
        output.print(plan_line(record), soft_wrap=True)
        self._announce(self.backfill_id)
        if is_wanted():
            self._live = Live(self._picture(), console=errors, auto_refresh=False, transient=True)
            self._live.start()

    def patience(self) -> float:
        """Seconds until the next look."""
        return _REFRESH if self._live else 1.0

    def update(self) -> None:
        """Looks and shows."""
        seen = self._look()
        if seen is None:
            return
        completed, failed, in_flight = seen
        now = time.monotonic()
        self._seen = (completed + failed, failed, in_flight)
        self._samples.append((now, completed + failed))
        while len(self._samples) > 2 and now - self._samples[1][0] > _WINDOW:  # noqa: PLR2004
            self._samples.popleft()
        if failed > self._error_at:
            self._error_at = failed
            self._error = last_error(self._store(), self.backfill_id) or self._error
        if self._live:
            self._live.update(self._picture(), refresh=True)
        elif now - self._last_line >= _LINE_EVERY:
            self._last_line = now
            errors.print(self._line(), soft_wrap=True)

    def _rate(self) -> float:
        (since, before), (now, after) = self._samples[0], self._samples[-1]
        return (after - before) / (now - since) if now > since else 0.0

    def _line(self) -> Text:
        done, failed, in_flight = self._seen
        rate = self._rate()
        line = Text(f"{done:,}/{self._total:,}")
        line.append(f"  {failed:,} failed", "bold red" if failed else "bright_black")
        line.append(f"  {in_flight:,} in flight", "cyan")
        line.append(f"  {rate:,.0f}/s" if rate >= 10 or not rate else f"  {rate:.1f}/s")  # noqa: PLR2004
        if rate and done < self._total:
            line.append(f"  {duration((self._total - done) / rate)} left")
        return line

    def _picture(self) -> Group:
        row = Table.grid(padding=(0, 2))
        bar = ProgressBar(total=max(self._total, 1), completed=self._seen[0], width=24)
        row.add_row(bar, self._line())
        lines: list[Any] = [row]
        if self._error:
            lines.append(Text(f"last error: {self._error}", "red"))
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


def plan_line(record: dict[str, Any]) -> str:
    """What is going to run, in a line."""
    what = ", ".join(record["assets"])
    return (
        f"backfill {record['backfill_id']}: "
        f"{count(record['num_partitions'], 'partition')} in {count(record['num_runs'], 'run')} "
        f"of {escape(what)}, at most {record['max_concurrency']} at a time"
    )


def summary(record: dict[str, Any]) -> Text:
    """How a backfill stands, in a line: its state, its counts, how long it took."""
    line = Text(record["status"], STYLES[record["status"]])
    parts = [
        f"{record[state]:,} {state}"
        for state in ("completed", "failed", "canceled")
        if record[state] or state == "completed"
    ]
    line.append(
        f": {', '.join(parts)} of {count(record['num_partitions'], 'partition')}", "default"
    )
    if record["ended_at"] is not None:
        took = (record["ended_at"] - record["created_at"]).total_seconds()
        line.append(f", after {duration(took)}", "default")
    return line


def write_json(text: str) -> None:
    """JSON for programs, whole, whatever the width of the terminal."""
    sys.stdout.write(text + "\n")
