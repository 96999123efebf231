"""What a person sees: how a backfill stands, and what went wrong, in words and colours."""

from __future__ import annotations

import logging
import re
import sys
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    "paused": "yellow",
    "interrupted": "bold yellow",
}

_LONGEST_ERROR = 300
"""Characters of an error that are shown beside other things."""
_NUMBERS = 60
"""Columns that the numbers beside the bar need."""

_CALL = re.compile(
    r"""(?:CodeRepository\.)?\b(?:(rerun|resume|cancel|pause|unpause|update)_backfill|backfills)"""
    r"""\((?:(['"])([\w-]+)\2)?\)"""
)
"""A call of the library in one of its messages."""


def say_error(message: str) -> None:
    """One clean paragraph on the error stream."""
    errors.print(f"[bold red]error:[/] {escape(as_commands(message))}", soft_wrap=True)


class Warnings(logging.Handler):
    """What the library and the assets log, from warnings on, as lines beside what is shown.

    Attributes:
        is_quiet: Whether only the assets are heard, since the library's own is shown otherwise.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.is_quiet = False

    def emit(self, record: logging.LogRecord) -> None:
        """Shows a record."""
        asset = record.name.removeprefix("rivers.asset.")
        if asset != record.name:
            label, text = f"{record.levelname.lower()} of {asset}", record.getMessage()
        elif not self.is_quiet:
            label, text = record.levelname.lower(), as_commands(record.getMessage())
        else:
            return
        errors.print(f"[yellow]{escape(label)}:[/] {escape(text)}", soft_wrap=True)


warnings = Warnings()


def as_commands(message: str) -> str:
    """A message of the library with the commands in place of the calls that it names."""
    return _CALL.sub(_command, message)


def _command(call: re.Match[str]) -> str:
    verb, backfill_id = {None: "list", "update": "set"}.get(call[1], call[1]), call[3]
    words = ["rivers", verb] + ([backfill_id] if backfill_id else [])
    if backfill_id and verb in ("rerun", "resume"):
        words.append("MODULE")
    return f"'{' '.join(words)}'"


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


def shortened(error: str) -> str:
    """So much of an error as leaves room for the rest."""
    text = " ".join(error.split())
    return text if len(text) <= _LONGEST_ERROR else f"{text[:_LONGEST_ERROR]}…"


def standing(record: Mapping[str, Any]) -> Text:
    """How a backfill stands, as a person says it: also that nobody runs it, or that it is paused."""
    state = record["status"]
    if record.get("interrupted"):
        state = "interrupted"
    elif record["paused"]:
        state = "paused"
    return Text(state, STYLES[state])


def pace(rate: float) -> str:
    """Partitions a second as a person says them: `1,200/s`, `2.5/s`, `3.0/min`, `1.5/h`."""
    if rate >= 10:  # noqa: PLR2004
        return f"{rate:,.0f}/s"
    for unit, seconds in (("s", 1), ("min", 60)):
        if rate * seconds >= 1:
            return f"{rate * seconds:.1f}/{unit}"
    return f"{rate * 3600:.1f}/h"


def bar(record: Mapping[str, Any], rate: float | None, in_flight: int | None = None) -> Table:
    """How far a backfill is: a bar and its numbers."""
    done, total = record["completed"] + record["failed"], record["num_partitions"]
    row = Table.grid(padding=(0, 2))
    width = max(min(24, errors.width - _NUMBERS), 4)
    row.add_row(
        ProgressBar(total=max(total, 1), completed=done, width=width),
        progress(record, rate, in_flight),
    )
    return row


def progress(record: Mapping[str, Any], rate: float | None, in_flight: int | None = None) -> Text:
    """How far a backfill is, in a line."""
    done, total = record["completed"] + record["failed"], record["num_partitions"]
    line = Text(f"{done:,}/{total:,}", no_wrap=True, overflow="ellipsis")
    if record["failed"]:
        line.append(f"  {record['failed']:,} failed", STYLES["failed"])
    if in_flight is not None:
        line.append(f"  {in_flight:,} in flight", STYLES["running"])
    if record["paused"]:
        line.append("  paused", STYLES["paused"])
    if rate:
        line.append(f"  {pace(rate)}")
        if done < total:
            line.append(f"  {duration((total - done) / rate)} left")
    return line


def plan_line(record: Mapping[str, Any]) -> str:
    """What is going to run, in a line."""
    what = ", ".join(record["assets"])
    return (
        f"backfill {record['backfill_id']}: "
        f"{count(record['num_partitions'], 'partition')} in {count(record['num_runs'], 'run')} "
        f"of {escape(what)}, at most {record['max_concurrency']} at a time"
    )


def summary(record: Mapping[str, Any]) -> Text:
    """How a backfill stands, in a line: its state, its counts, how long it took."""
    line = standing(record)
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
