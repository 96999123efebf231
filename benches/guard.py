"""Counts the instructions that a run of each shape takes, and compares them with what is committed.

Instructions repeat where seconds do not: Valgrind executes the interpreter and the extension on a processor of
its own. Each shape is executed twice, with few runs and with many; the difference is what the runs take. What a
run takes includes the function, the calls, the outcome and its commit.

Run it with `make guard`; `make guard UPDATE=1` writes the table. A change that takes more than the tolerance
says why in its commit.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

TABLE = Path(__file__).with_name("instructions.json")
TOLERANCE = 0.03
"""Maximum share by which a shape may take more instructions than in the table."""

# The clock by which the engine learns how long a run takes, and so how many a batch has, advances by a microsecond
# each time it is read: the batches of two measurements are the same.
_COUNTER = """
#define _GNU_SOURCE
#include <time.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <valgrind/callgrind.h>

void dump(const char *name) { CALLGRIND_DUMP_STATS_AT(name); }

int clock_gettime(clockid_t clock, struct timespec *time) {
    static long micros;
    if (clock != CLOCK_BOOTTIME) return syscall(SYS_clock_gettime, clock, time);
    long now = __atomic_add_fetch(&micros, 1, __ATOMIC_RELAXED);
    time->tv_sec = 1000 + now / 1000000;
    time->tv_nsec = now % 1000000 * 1000;
    return 0;
}
"""
_FEW = 500


def measure(shapes: list[str]) -> dict[str, int]:
    """Returns the instructions that a run of each shape takes."""
    for tool in ("valgrind", "cc"):
        if shutil.which(tool) is None:
            msg = f"the guard needs {tool!r}; on Debian: apt-get install valgrind gcc"
            raise SystemExit(msg)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source, library = folder / "counter.c", folder / "counter.so"
        source.write_text(_COUNTER)
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
        # Addresses decide how long searches in hash tables are.
        command = ["setarch", "--addr-no-randomize"] if shutil.which("setarch") else []
        command += [
            "valgrind", "--tool=callgrind", f"--callgrind-out-file={folder / 'out'}",
            sys.executable, __file__, "--within", str(library), *shapes,
        ]  # fmt: skip
        environment = {**os.environ, "PYTHONHASHSEED": "0", "RIVERS_STORAGE": str(folder / "s.db")}
        environment["LD_PRELOAD"] = str(library)
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, cwd=folder, check=False
        )
        if done.returncode:
            raise SystemExit(done.stderr)
        totals: dict[str, int] = {}
        for file in folder.glob("out.*"):
            text = file.read_text()
            trigger = re.search(r"^desc: Trigger: Client Request: (.+)$", text, re.MULTILINE)
            if trigger is not None:
                found = re.search(r"^(?:totals|summary): (\d+)", text, re.MULTILINE)
                totals[trigger[1]] = int(found[1]) if found else 0
    runs = json.loads(done.stdout)
    return {
        shape: round((totals[f"{shape} many"] - totals[f"{shape} few"]) / (runs[shape] - _FEW))
        for shape in shapes
    }


def execute(library: str, shapes: list[str]) -> None:
    """Executes the shapes, in the process whose instructions are counted."""
    import gc
    import logging

    from shapes import SHAPES, prepared

    logging.disable()
    gc.disable()
    dump = ctypes.CDLL(library).dump
    runs = {}
    for name in shapes:
        shape = SHAPES[name]
        rounds = {"ignored": _FEW, f"{name} few": _FEW, f"{name} many": shape.runs}
        for label, num_runs in rounds.items():
            with prepared(shape, num_runs) as execute_runs:
                dump(b"preparation")
                execute_runs()
                dump(label.encode())
        runs[name] = shape.runs
    print(json.dumps(runs))


def tools() -> str:
    """Returns what decides, besides our code, how many instructions a run takes.

    Valgrind shows programs a processor of its own, on which the C library chooses its routines; that has AVX2 if
    the real one has.
    """

    def version(*command: str) -> str:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    flags = Path("/proc/cpuinfo").read_text().split()
    return ", ".join(
        [
            f"Python {platform.python_version()} on {platform.machine()}",
            " ".join(platform.libc_ver()),
            version("valgrind", "--version"),
            version("rustc", "--version"),
            "with AVX2" if "avx2" in flags else "without AVX2",
        ]
    )


def compare(measured: dict[str, int], known: dict[str, int]) -> list[str]:
    """Prints the table, and returns the shapes that take too much."""
    print(f"{'shape':<14}{'committed':>12}{'now':>12}{'change':>9}")
    worse = []
    for shape, now in measured.items():
        before = known.get(shape)
        change = 0.0 if before is None else now / before - 1
        shown = "new" if before is None else f"{change:+.1%}"
        print(f"{shape:<14}{before or '-':>12}{now:>12}{shown:>9}")
        if before is None or change > TOLERANCE:
            worse.append(shape)
    return worse


def main() -> None:
    """Measures, and compares or writes the table."""
    from shapes import SHAPES

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shapes", nargs="*", default=list(SHAPES), help="all by default")
    parser.add_argument("--update", action="store_true", help="write the table")
    parser.add_argument("--within", metavar="LIBRARY", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.within:
        execute(given.within, given.shapes)
        return
    measured = measure(given.shapes)
    table = json.loads(TABLE.read_text()) if TABLE.exists() else {}
    known = table.get("instructions", {})
    worse = compare(measured, known)
    made_with = tools()
    if given.update:
        table = {"made_with": made_with, "instructions": {**known, **measured}}
        TABLE.write_text(json.dumps(table, indent=2) + "\n")
    elif table.get("made_with") != made_with:
        print(
            f"nothing is compared: the table was made with {table.get('made_with')}; this is {made_with}"
        )
    elif worse:
        raise SystemExit(
            f"more than {TOLERANCE:.0%} above {TABLE.name}: {', '.join(worse)}; if it is worth it, "
            "run `make guard UPDATE=1` and say why in the commit"
        )


if __name__ == "__main__":
    main()
