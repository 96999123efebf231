"""What the benches share: rows of the tables of targets, grids, assets, plain loops, peak memory."""

import contextlib
import json
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import rivers as rs

EVERYTHING = rs.PartitionKeyRange.multi({})
COMMIT = 5_000
"""Rows of one transaction of the plain loop."""

Work = Callable[[], float | None]
"""Does the work; returns what was measured where that is not the time it took."""


@dataclass(frozen=True)
class Row:
    """A line of a table of targets.

    Attributes:
        work: What is done.
        reach: What is to be reached, in words.
        prepare: Gives the work, prepared; what is before and after it is not measured.
        plain: The same without rivers, prepared in the same way.
        runs: How many runs the work has; the figure is then runs a second.
        is_memory: Whether the figure is bytes.
        is_row_size: Whether it is bytes a row.
        is_size: Whether it is bytes that are counted to the last one.
        rounds: How often it is measured; the figure is the median.
        iterations: How often in each round, for what takes too short a time to be measured once.
    """

    work: str
    reach: str
    prepare: Callable[[], AbstractContextManager[Work]]
    plain: Callable[[], AbstractContextManager[Work]] | None = None
    runs: int | None = field(default=None, kw_only=True)
    is_memory: bool = field(default=False, kw_only=True)
    is_row_size: bool = field(default=False, kw_only=True)
    is_size: bool = field(default=False, kw_only=True)
    rounds: int = field(default=3, kw_only=True)
    iterations: int = field(default=1, kw_only=True)

    def figure(self, seconds: float) -> float:
        """What is shown of a time."""
        return self.runs / seconds if self.runs else seconds

    def text(self, figure: float) -> str:
        """A figure with its unit."""
        if self.is_memory:
            return megabytes(figure)
        if self.is_size:
            return f"{figure:,.0f} B"
        if self.is_row_size:
            return f"{figure:.1f} B a row"
        if self.runs:
            return f"{figure:,.0f} runs/s"
        return duration(figure)

    def ratio(self, figure: float, plain: float) -> str:
        """How many times as long as the plain alternative it takes; empty if that took no time."""
        if not plain:
            return ""
        times = plain / figure if self.runs else figure / plain
        return f"{times:.2f}"


def duration(seconds: float) -> str:
    """A time with a unit that suits it."""
    for unit, factor in (("s", 1), ("ms", 1e3), ("us", 1e6)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e9:.0f} ns"


def megabytes(size: float) -> str:
    """A size; the kernel counts resident pages by the 64, so it cannot tell less than that."""
    return f"{size / 1e6:,.1f} MB" if size > 64 * 4096 else "< 0.3 MB"


def timed(work: Work, iterations: int = 1) -> float:
    """Does the work: what it says that it measured, or the seconds that it took."""
    own = None
    began = time.perf_counter()
    for _ in range(iterations):
        own = work()
    took = time.perf_counter() - began
    return took / iterations if own is None else own


def measure(
    prepare: Callable[[], AbstractContextManager[Work]], rounds: int, iterations: int = 1
) -> float:
    """The median of some rounds, each prepared anew."""
    taken = []
    for _ in range(rounds):
        with prepare() as work:
            taken.append(timed(work, iterations))
    return median(taken)


@contextlib.contextmanager
def once(work: Work) -> Iterator[Work]:
    """Work that needs no preparation."""
    yield work


# -- what is backfilled ----------------------------------------------------------------------------


def keys_of(name: str, count: int) -> list[str]:
    """Keys of one dimension."""
    return [f"{name}{number:04d}" for number in range(count)]


def grid(*sizes: int) -> rs.PartitionsDefinition:
    """A product of static dimensions `a`, `b`, ..."""
    return rs.PartitionsDefinition.multi(
        {
            name: rs.PartitionsDefinition.static_(keys_of(name, size))
            for name, size in zip("abcdef", sizes, strict=False)
        }
    )


def first(dimension: str, count: int) -> rs.PartitionKeyRange:
    """The first keys of a dimension, with all of the others."""
    return rs.PartitionKeyRange.multi(
        {dimension: (f"{dimension}0000", f"{dimension}{count - 1:04d}")}
    )


def per(*multi_run: str) -> rs.BackfillStrategy:
    """`per_dimension` for a grid of three dimensions."""
    batched = [name for name in "abc" if name not in multi_run]
    return rs.BackfillStrategy.per_dimension(multi_run=list(multi_run), single_run=batched)


def noop_asset(definition: rs.PartitionsDefinition, name: str = "noop") -> rs.Asset:
    """An asset that does nothing; defined here, so that processes get it by value."""

    @rs.Asset(name=name, partitions_def=definition)
    def noop(context):
        return None

    return noop


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A folder that goes away."""
    with tempfile.TemporaryDirectory(prefix="rivers-bench-") as name:
        yield Path(name)


@contextlib.contextmanager
def repository(*assets: rs.Asset, **options: object) -> Iterator[rs.CodeRepository]:
    """A repository on a new embedded storage."""
    with folder() as path, rs.CodeRepository(list(assets), **options) as repo:
        yield repo.resolve(rs.Storage.embedded(path / "rivers.db"))


def checked(result: rs.BackfillResult, completed: int) -> None:
    """A figure counts only if the work was done."""
    if (result.status, result.completed) != ("completed", completed):
        raise AssertionError(result)


# -- the plain alternative -------------------------------------------------------------------------


class PlainRecord:
    """A table of runs in SQLite with what ours has, written as carefully: WAL, synchronous=FULL."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.execute(
            "CREATE TABLE run (number INTEGER PRIMARY KEY, began INTEGER, ended INTEGER, failed INTEGER)"
        )
        self._rows: list[tuple[int, int, int, int]] = []

    def add(self, number: int, began: int, ended: int) -> None:
        """A run has ended."""
        self._rows.append((number, began, ended, 0))
        if len(self._rows) == COMMIT:
            self.commit()

    def commit(self) -> None:
        """Write what has ended."""
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany("INSERT INTO run VALUES (?, ?, ?, ?)", self._rows)
        self._connection.execute("COMMIT")
        self._rows.clear()

    def close(self) -> None:
        """Write the rest."""
        self.commit()
        self._connection.close()


def plain_loop(function: Callable[[int], object], runs: int) -> AbstractContextManager[Work]:
    """A `for` loop that calls the function and records each call, `COMMIT` of them at once."""

    @contextlib.contextmanager
    def prepared() -> Iterator[Work]:
        with folder() as path:
            record = PlainRecord(path / "plain.db")

            def work() -> None:
                now = time.time_ns
                for number in range(runs):
                    began = now()
                    function(number)
                    record.add(number, began, now())
                record.close()

            yield work

    return prepared()


# -- memory ----------------------------------------------------------------------------------------


def _status(field_name: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field_name):
            return int(line.split()[1]) * 1024
    raise LookupError(field_name)


def resident() -> int:
    """Bytes that are resident now; from here on the peak is counted."""
    clear = Path("/proc/self/clear_refs")
    if not clear.exists():  # Not on Linux: the peak so far, which is that of the import.
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    clear.write_text("5", encoding="ascii")
    return _status("VmRSS")


def peak() -> int:
    """The highest that was resident since."""
    if not Path("/proc/self/status").exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return _status("VmHWM")


def in_fresh_process(work: str, *arguments: str, timeout: float = 600) -> dict[str, float]:
    """Runs `memory.py WORK ARGUMENTS`, which prints what it measured."""
    script = Path(__file__).with_name("memory.py")
    command = [sys.executable, str(script), work, *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=timeout)
    return json.loads(done.stdout.splitlines()[-1])
