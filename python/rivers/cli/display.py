"""Words and colours: how a backfill stands, and what went wrong."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.text import Text

from rivers._text import printable, printable_json
from rivers.cli.safe_console import SafeConsole

if TYPE_CHECKING:
    from rich.table import Table

    from rivers.exceptions import RiversError
    from rivers.status.backfill_view import BackfillView

output = SafeConsole()
"""The results of commands."""
errors = SafeConsole(stderr=True)
"""Progress, warnings and refusals."""

STYLES = {
    "completed": "green",
    "failed": "bold red",
    "canceled": "yellow",
    "running": "cyan",
    "in_progress": "cyan",
    "pending": "bright_black",
    "skipped": "bright_black",
    "missing": "bright_black",
    "stale": "yellow",
    "materialized": "green",
    "paused": "yellow",
    "interrupted": "bold yellow",
}

_MAX_ERROR_CHARACTERS = 300
"""Maximum length of an error that is shown beside other things."""
_NUMBERS_WIDTH = 60
"""Columns that the numbers beside the bar need."""

_REMEDIES = {
    "rerun": "{rerun} runs what failed or was canceled again",
    "resume": "continue it with {resume}",
    "cancel": "wait for it, or cancel it with {cancel}",
    "cancel_or_resume": (
        "wait for it, cancel it with {cancel}, or continue it with {resume} if its process died"
    ),
    "overlap": "wait for it, end it with {cancel}, or pass --overlap allow",
    "list": "{list} shows those there are",
    "migrate": "run {migrate}",
}
"""The remedies of `RiversError`, worded as commands."""


def say_error(error: RiversError) -> None:
    """Prints an error and its remedy as one paragraph on the error stream."""
    text = error.message
    if error.remedy is not None:
        text += f"; {remedy_text(error.remedy)}"
    errors.print(f"[bold red]error:[/] {escape(text)}")


def remedy_text(remedy: tuple[str, ...]) -> str:
    """Words the remedy of an error as commands."""
    verb, *operands = remedy
    named = " ".join(operands)
    return _REMEDIES[verb].format(
        rerun=f"'rivers rerun {named}'",
        resume=f"'rivers resume {named}'",
        cancel=f"'rivers cancel {named}'",
        list="'rivers list'",
        migrate=f"'rivers db migrate --storage {named}'",
    )


class Warnings(logging.Handler):
    """Prints what the library and the assets log, from warnings on, as lines beside the display.

    Attributes:
        is_quiet: Whether only the assets' warnings are printed, since the library's are shown otherwise.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.is_quiet = False

    def emit(self, record: logging.LogRecord) -> None:
        """Prints a record."""
        try:
            self._print(record)
        except Exception:  # noqa: BLE001  (as in all handlers: a log line never fails what logs it)
            self.handleError(record)

    def _print(self, record: logging.LogRecord) -> None:
        asset = record.name.removeprefix("rivers.assets.").removeprefix("rivers.tasks.")
        if asset != record.name:
            label, text = f"{record.levelname.lower()} of {asset}", record.getMessage()
        elif not self.is_quiet or record.name != "rivers":
            # The display says what the package itself logs, but not what its parts log under own names.
            label, text = record.levelname.lower(), _text_of(record)
        else:
            return
        errors.print(f"[yellow]{escape(label)}:[/] {escape(text)}")


def _text_of(record: logging.LogRecord) -> str:
    """The message of a record; one with a remedy says that a backfill was interrupted."""
    remedy: tuple[str, ...] | None = getattr(record, "remedy", None)
    if remedy is None:
        return record.getMessage()
    return (
        f"the backfill {remedy[-1]} was interrupted: its process is gone; {remedy_text(remedy)}, "
        f"or end it with 'rivers cancel {remedy[-1]}'"
    )


warnings = Warnings()


def count(number: int, noun: str, plural: str | None = None) -> str:
    """Formats a number with its noun: `1 run`, `1,000 runs`; a plural is given if it needs more than an s."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def duration(seconds: float) -> str:
    """Formats seconds: `0.4 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`."""
    if seconds < 10:  # noqa: PLR2004
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for name, size, smaller, part in (("d", 86_400, "h", 3600), ("h", 3600, "min", 60)):
        if whole >= size:
            return f"{whole // size} {name} {whole % size // part} {smaller}"
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{whole} s"  # noqa: PLR2004


def shortened(error: str) -> str:
    """Cuts an error to `_MAX_ERROR_CHARACTERS`."""
    text = printable(" ".join(error.split()))
    return text if len(text) <= _MAX_ERROR_CHARACTERS else f"{text[:_MAX_ERROR_CHARACTERS]}…"


def state_of(view: BackfillView) -> Text:
    """Formats the state of a backfill: its status, or that it is interrupted or paused."""
    return Text(view.state, STYLES[view.state])


def rate_of(rate: float) -> str:
    """Formats partitions per second: `1,200/s`, `2.5/s`, `3.0/min`, `1.5/h`."""
    if rate >= 10:  # noqa: PLR2004
        return f"{rate:,.0f}/s"
    for unit, seconds in (("s", 1), ("min", 60)):
        if rate * seconds >= 1:
            return f"{rate * seconds:.1f}/{unit}"
    return f"{rate * 3600:.1f}/h"


def bar(view: BackfillView, in_flight: int | None = None) -> Table:
    """Draws the progress of a backfill: a bar and its numbers."""
    from rich.progress_bar import ProgressBar  # noqa: PLC0415  (few commands draw one)
    from rich.table import Table  # noqa: PLC0415

    row = Table.grid(padding=(0, 2))
    width = max(min(24, errors.width - _NUMBERS_WIDTH), 4)
    done = view.completed + view.failed
    row.add_row(
        ProgressBar(total=max(view.num_partitions, 1), completed=done, width=width),
        progress(view, in_flight),
    )
    return row


def progress(view: BackfillView, in_flight: int | None = None) -> Text:
    """Formats the progress of a backfill as a line."""
    done = view.completed + view.failed
    line = Text(f"{done:,}/{view.num_partitions:,}", no_wrap=True, overflow="ellipsis")
    if view.failed:
        line.append(f"  {view.failed:,} failed", STYLES["failed"])
    if in_flight is not None:
        line.append(f"  {in_flight:,} in flight", STYLES["running"])
    if view.paused:
        line.append("  paused", STYLES["paused"])
    if view.rate:
        line.append(f"  {rate_of(view.rate)}")
    if view.eta:
        line.append(f"  {duration(view.eta)} left")
    return line


def plan_line(view: BackfillView) -> str:
    """Formats what is going to run as a line."""
    return (
        f"backfill {view.backfill_id}: "
        f"{count(view.num_partitions, 'partition')} in {count(view.num_runs, 'run')} "
        f"of {escape(', '.join(view.assets))}, at most {view.max_concurrency} at a time"
    )


def summary(view: BackfillView) -> Text:
    """Formats the state, the counts and the duration of a backfill as a line."""
    line = state_of(view)
    counts = {"completed": view.completed, "failed": view.failed, "canceled": view.canceled}
    parts = [
        f"{number:,} {state}" for state, number in counts.items() if number or state == "completed"
    ]
    line.append(f": {', '.join(parts)} of {count(view.num_partitions, 'partition')}", "default")
    if view.duration is not None:
        line.append(f", after {duration(view.duration)}", "default")
    return line


def write_error_json(error: Exception, message: str) -> None:
    """Writes an error as JSON in a line of the error stream: standard output has results alone."""
    remedy: tuple[str, ...] | None = getattr(error, "remedy", None)
    told = {
        "type": type(error).__name__,
        "message": message,
        "remedy": None if remedy is None else remedy_text(remedy),
    }
    errors.write(printable_json(json.dumps({"error": told})) + "\n")


def write_json(text: str) -> None:
    """Writes JSON for programs; it is never wrapped or cut."""
    output.write(printable_json(text) + "\n")
