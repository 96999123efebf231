"""The same work in this package and in others, in turn: `make bench-peers`.

The others come from PyPI, each into an environment of its own beside this file. A work that takes
them too long is done at a smaller size, which is named; figures are then per run.
"""

import argparse
import json
import os
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[2]))  # It is started as a file.
from tests.postgres_server import VARIABLE, server

HERE = Path(__file__).parent
TIMEOUT = 300
"""Seconds for one piece of work."""
LEAST = 64 * 4096
"""The kernel counts resident pages by the 64: it cannot tell less than that."""


@dataclass(frozen=True)
class Tool:
    """A package, and the script that does the work with it."""

    package: str
    script: str
    requirement: str | None = None

    def python(self):
        """The interpreter with the package, which is installed if it is missing."""
        if self.requirement is None:
            return Path(sys.executable)
        folder = HERE / f".venv-{self.package}"
        python = folder / "bin" / "python"
        installed = folder / ".installed"
        if not installed.exists() or installed.read_text() != self.requirement:
            print(f"installing {self.requirement} ...", file=sys.stderr)
            venv.create(folder, clear=True, with_pip=True)
            pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([*pip, self.requirement], check=True, env=_environment())
            installed.write_text(self.requirement)
        return python

    def version(self):
        """Name and version, as installed."""
        code = f"import importlib.metadata as m; print(m.version({self.package!r}))"
        done = subprocess.run(
            [self.python(), "-c", code], stdout=subprocess.PIPE, check=True, env=_environment()
        )
        return f"{self.package} {done.stdout.decode().strip()}"

    def measure(self, work, size):
        """Does a work in a new process; `None` if it did not end in time or failed."""
        command = [self.python(), HERE / self.script, work, str(size)]
        try:
            done = subprocess.run(
                command, stdout=subprocess.PIPE, check=True, timeout=TIMEOUT, env=_environment()
            )
        except (subprocess.TimeoutExpired, subprocess.CalledProcessError) as error:
            print(f"{self.package}, {work} of {size}: {error}", file=sys.stderr)
            return None
        return json.loads(done.stdout.splitlines()[-1])


def _environment():
    """Ours, without what would lead another interpreter to our packages."""
    ours = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}
    return {name: value for name, value in os.environ.items() if name not in ours}


OURS = Tool("rivers", "ours.py")
RIVERS = Tool("rivers", "rivers_062.py", "rivers==0.6.2")
DAGSTER = Tool("dagster", "dagster_peer.py", "dagster")


@dataclass(frozen=True)
class Work:
    """What is done, and at which size by each.

    Attributes:
        title: What it is.
        name: Its name in the scripts.
        sizes: By tool.
        is_rate: Whether the figure is runs a second, so that sizes may differ.
    """

    title: str
    name: str
    sizes: dict[Tool, int]
    is_rate: bool = False

    def figure(self, found):
        """The time, or that of one run."""
        return found["seconds"] / (found["count"] if self.is_rate else 1)


WORKS = [
    Work("dry run of 100 x 100 x 100", "plan", {OURS: 100, RIVERS: 100}),
    Work("list of 1,000 x 1,000 keys", "keys", {OURS: 1000, RIVERS: 1000, DAGSTER: 1000}),
    Work("no-op runs, in memory", "memory", {OURS: 100_000, RIVERS: 300, DAGSTER: 50}, True),
    Work("no-op runs, on disk", "disk", {OURS: 100_000, RIVERS: 300, DAGSTER: 50}, True),
    Work("no-op runs, in a PostgreSQL server", "server", {OURS: 100_000}, True),
]


def rows(work, rounds):
    """Measures a work with each tool in turn, as often as is wanted."""
    found = {tool: [] for tool in work.sizes}
    for _ in range(rounds):
        for tool, size in work.sizes.items():
            one = tool.measure(work.name, size)
            if one is not None:
                found[tool].append(one)
    best = {
        tool: (median(map(work.figure, some)), median(one["bytes"] for one in some))
        for tool, some in found.items()
        if some
    }
    if OURS not in best:
        sys.exit(f"{work.title}: this package did not end, so there is nothing to compare with")
    for tool in work.sizes:
        name = "this package" if tool is OURS else tool.version()
        if tool not in best:
            yield work.title, name, "did not end", "", "", ""
            continue
        (time, memory), (our_time, our_memory) = best[tool], best[OURS]
        count = found[tool][0]["count"]
        shown = f"{count:,} runs: {1 / time:,.0f} a second" if work.is_rate else _duration(time)
        times = "" if tool is OURS else f"{time / our_time:,.0f}"
        more = "" if tool is OURS or work.is_rate else _times(memory, our_memory)
        yield work.title, name, shown, _megabytes(memory), times, more


def _megabytes(size):
    return f"{size / 1e6:,.1f} MB" if size > LEAST else "< 0.3 MB"


def _times(size, ours):
    return f"{size / ours:,.0f}" if ours > LEAST else f"> {size / LEAST:,.0f}"


def _duration(seconds):
    for unit, factor in (("s", 1), ("ms", 1e3)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e6:.3g} us"


def line(texts):
    print(f"| {' | '.join(texts)} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("--rounds", type=int, default=3, help="how often; the median is shown")
    arguments = parser.parse_args()
    head = ("work", "with", "measured", "peak memory", "times our time", "times our memory")
    line(head)
    line(["---"] * len(head))
    with server() as url:
        os.environ[VARIABLE] = url
        for work in WORKS:
            for row in rows(work, arguments.rounds):
                line(row)


if __name__ == "__main__":
    main()
