"""All rows of the tables of targets, measured in one go: `python benches/report.py [SECTION ...]`."""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import test_memory
import test_page
import test_planning
import test_ray
import test_ray_controls
import test_recovery
import test_tables
import test_throughput
import test_values
from support import measure

SECTIONS = {
    "planning": [*test_planning.ROWS, *test_memory.PLANNING],
    "tables": [*test_tables.ROWS, *test_memory.TABLES],
    "throughput": test_throughput.ROWS,
    "values": test_values.ROWS,
    "recovery": test_recovery.ROWS,
    "memory": test_memory.RUNNING,
    "page": test_page.ROWS,
    "ray": [*test_ray.ROWS, *test_ray_controls.ROWS],
}
HEAD = ("work", "to reach", "measured", "plain alternative", "ratio")


def cells(row):
    figure = row.figure(measure(row.prepare, row.rounds, row.iterations))
    plain = ratio = ""
    if row.plain is not None:
        other = row.figure(measure(row.plain, row.rounds))
        plain, ratio = row.text(other), row.ratio(figure, other)
    return row.work, row.reach, row.text(figure), plain, ratio


def line(texts):
    print(f"| {' | '.join(texts)} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("-k", default="", metavar="TEXT", help="only rows with this text")
    arguments = parser.parse_args()
    if unknown := set(arguments.sections) - set(SECTIONS):
        parser.error(f"no section {min(unknown)!r}; there are {', '.join(SECTIONS)}")
    began = time.perf_counter()
    for name in arguments.sections or SECTIONS:
        print(f"\n## {name.capitalize()}\n")
        line(HEAD)
        line(["---"] * len(HEAD))
        for row in SECTIONS[name]:
            if arguments.k in row.work:
                line(cells(row))
    print(
        f"\nMeasured in {time.perf_counter() - began:.0f} s; a ratio is to the plain alternative."
    )


if __name__ == "__main__":
    main()
