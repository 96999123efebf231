"""Draws SVG for the pages while the site is built: a map of partitions, and the README's figures as bars.

A page names a drawing in a comment: `<!-- drawing: runs -->`. The bars are those of the tables in README.md,
which `benches/report.py` and `benches/peers/compare.py` print, so that a table and its chart cannot differ.
"""

import math
import re
from html import escape
from pathlib import Path
from typing import Any

README = Path(__file__).parent.parent / "README.md"
WIDTH = 440
"""Units of a drawing's width: narrow, so that texts can be read on a phone."""
LABEL_HEIGHT, BAR_HEIGHT, GAP = 20, 22, 8

STYLE = (
    "<style>.label{fill:currentColor;font:13px system-ui,sans-serif}"
    ".small{fill:currentColor;font:12px system-ui,sans-serif;opacity:.85}"
    ".ours{fill:#009485}.other{fill:#8a8f98}.failed{fill:#d1432b}.running{fill:#2b7fd1}"
    ".waiting{fill:none;stroke:currentColor;stroke-opacity:.35}</style>"
)
_RUNS = re.compile(
    r"\| .*, (?P<how>[^,|]+) \| (?P<ours>[\d,]+) runs/s; (?P<plain>.*?): (?P<other>[\d,]+)/s"
)
_PEER = re.compile(
    r"\| (?P<work>[^|]+) \| (?P<ours>[^|]+) \| (?P<rivers>[^|]*) \| ?(?P<dagster>[^|]*)\|$"
)
_ENDED, _STARTED = 64, 68
"""Numbers of the first partitions of the map that run, and that wait."""


def _svg(height: int, text: str, parts: list[str]) -> str:
    body = "".join(parts)
    return (
        f'<figure markdown="0"><svg class="chart" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{escape(text)}">{STYLE}{body}</svg><figcaption>{escape(text)}</figcaption></figure>'
    )


def _bars(text: str, groups: list[tuple[str, list[tuple[str, float, str]]]], *, log: bool) -> str:
    """Groups of bars under their labels.

    Args:
        text: What they show.
        groups: The label of each group, and its bars (name, length, figure as text), the first ours.
        log: Whether ten times as much is a step of equal length.
    """
    longest = max(value for _, bars in groups for _, value, _ in bars)
    parts, y = [], 0
    for label, bars in groups:
        y += LABEL_HEIGHT
        parts.append(f'<text class="label" x="0" y="{y - 6}">{escape(label)}</text>')
        for at, (name, value, figure) in enumerate(bars):
            share = math.log10(value * 10) / math.log10(longest * 10) if log else value / longest
            # A third of the width is left for the figures.
            length = max(share * WIDTH * 0.5, 2)
            kind = "other" if at else "ours"
            parts.append(
                f'<rect class="{kind}" x="0" y="{y}" width="{length:.0f}" height="{BAR_HEIGHT - 5}" rx="2"/>'
                f'<text class="small" x="{length + 6:.0f}" y="{y + 13}">{escape(f"{name}: {figure}")}</text>'
            )
            y += BAR_HEIGHT
        y += GAP
    return _svg(y, text, parts)


def runs() -> str:
    """Runs a second of functions that do nothing, beside plain alternatives that do the same."""
    groups = []
    for found in filter(None, map(_RUNS.match, README.read_text(encoding="utf-8").splitlines())):
        ours, other = (float(found[name].replace(",", "")) for name in ("ours", "other"))
        plain = found["plain"].partition(" that ")[0].partition(" in ")[0]
        plain = "plain loop" if "plain loop" in plain else plain
        groups.append(
            (found["how"], [("rivers", ours, f"{ours:,.0f}/s"), (plain, other, f"{other:,.0f}/s")])
        )
    return _bars(
        "Runs a second of a function that does nothing; longer is faster", groups, log=False
    )


def peers() -> str:
    """How many times as long the same work takes in other tools."""
    groups = []
    for found in filter(None, map(_PEER.match, README.read_text(encoding="utf-8").splitlines())):
        bars = [("rivers", 1.0, found["ours"].partition(", ")[0])]
        for name, cell in (
            ("rivers 0.6.2", found["rivers"]),
            ("Dagster", found["dagster"]),
        ):
            times = re.search(r"\(([\d,]+)\)", cell)
            if times is not None:
                figure = f"{cell.partition(', ')[0].partition(' (')[0]}, {times[1]} times"
                bars.append((name, float(times[1].replace(",", "")), figure))
        if len(bars) > 1:
            groups.append((found["work"], bars))
    text = "The same work in other tools, as multiples of our time: each step is ten times as long"
    return _bars(text, groups, log=True)


def grid() -> str:
    """A backfill of the first example while it runs: days from left to right, a row for each region."""
    days, regions, size, margin = 31, ("us", "eu", "asia"), 12, 40
    parts = []
    for row, region in enumerate(regions):
        y = 22 + row * 20
        parts.append(
            f'<text class="small" x="{margin - 8}" y="{y + 13}" text-anchor="end">{region}</text>'
        )
        for day in range(days):
            x = margin + day * (size + 0.8)
            state = _state(day * len(regions) + row)
            parts.append(
                f'<rect class="{state}" x="{x:.1f}" y="{y}" width="{size - 1}" height="17" rx="1"/>'
            )
    parts += [
        f'<text class="small" x="{margin}" y="13">2024-01-01</text>',
        f'<text class="small" x="{margin + days * 12.8 - 2:.0f}" y="13" text-anchor="end">2024-01-31</text>',
    ]
    x = margin
    for state, text in (
        ("ours", "63 completed"),
        ("failed", "1 failed"),
        ("running", "4 running"),
        ("waiting", "25 waiting"),
    ):
        parts.append(f'<rect class="{state}" x="{x}" y="92" width="11" height="11" rx="1"/>')
        parts.append(f'<text class="small" x="{x + 16}" y="102">{text}</text>')
        x += 32 + 7 * len(text)
    return _svg(
        110, "A backfill of 31 days in three regions while it runs: each cell is a partition", parts
    )


def _state(number: int) -> str:
    """The style of a partition of the map."""
    if number == 16 * 3 + 1:
        return "failed"  # 2024-01-17 in eu, as in the example.
    if number < _ENDED:
        return "ours"
    return "running" if number < _STARTED else "waiting"


DRAWINGS = {"runs": runs, "peers": peers, "grid": grid}


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by mkdocs with each page before it is rendered."""
    return re.sub(r"<!-- drawing: (\w+) -->", lambda found: DRAWINGS[found[1]](), markdown)
