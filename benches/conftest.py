"""Runs the rows of a bench under pytest-benchmark, and shows them beside their plain alternatives."""

import contextlib
import sys
from pathlib import Path
from statistics import median

import pytest

sys.path.insert(0, str(Path(__file__).parent))

_lines = []


@pytest.fixture
def measured(benchmark):
    """Measures a row: the work by pytest-benchmark, the plain alternative beside it."""

    def run(row):
        from support import measure

        figures = []

        def noted(work):
            own = work()
            if own is not None:
                figures.append(own)

        with contextlib.ExitStack() as stack:

            def prepared():
                stack.close()
                return (stack.enter_context(row.prepare()),), {}

            if row.iterations > 1:  # pytest-benchmark prepares single calls only.
                (work,), _ = prepared()
                benchmark.pedantic(work, rounds=row.rounds, iterations=row.iterations)
            else:
                benchmark.pedantic(noted, setup=prepared, rounds=row.rounds)
        figure = row.figure(median(figures) if figures else benchmark.stats.stats.median)
        shown = {"measured": row.text(figure)}
        if row.reach:
            shown["to reach"] = row.reach
        if row.plain is not None:
            plain = row.figure(measure(row.plain, row.rounds))
            shown |= {"plain": row.text(plain), "ratio": row.ratio(figure, plain)}
        benchmark.extra_info.update(shown)
        _lines.append(f"{row.work}: {', '.join(f'{k} {v}' for k, v in shown.items())}")

    return run


def pytest_terminal_summary(terminalreporter):
    if _lines:
        terminalreporter.section("measured, and the plain alternative in the same call")
        for line in _lines:
            terminalreporter.write_line(line)
