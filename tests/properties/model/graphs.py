"""Random small graphs of assets, as plain data: what the model computes with, and repositories are built of."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field, replace

START = dt.datetime(2024, 1, 1)
LETTERS = ("a", "b", "c", "d")
STATIC = {"a": ("a", "b"), "b": ("c",), "c": ("c", "d"), "d": ("a",)}
"""A mapping that names several keys for some keys."""
SQUARES = tuple(f"letter={letter}|number={number}" for letter in "ab" for number in "12")
GRIDS = ("letters", "days", "halves", "squares", "none")
HANDLERS = ("default", "memory", "pickle", "none")


def keys_of(grid, now):
    """All keys of a grid at a time; `None` is the only one of an asset without partitions."""
    if grid == "none":
        return [None]
    if grid == "letters":
        return list(LETTERS)
    if grid == "squares":
        return list(SQUARES)
    hours = 24 if grid == "days" else 12
    count = (now - START) // dt.timedelta(hours=hours) + 1
    form = "%Y-%m-%d" if grid == "days" else "%Y-%m-%dT%H"
    return [(START + n * dt.timedelta(hours=hours)).strftime(form) for n in range(count)]


def window_of(grid, key):
    """The start and the end of a key's window; `None` where keys have none."""
    if grid not in ("days", "halves"):
        return None
    hours, form = (24, "%Y-%m-%d") if grid == "days" else (12, "%Y-%m-%dT%H")
    start = dt.datetime.strptime(key, form)
    return start, start + dt.timedelta(hours=hours)


@dataclass(frozen=True)
class Need:
    """That an asset needs partitions of another.

    Attributes:
        upstream: The other asset.
        mapping: same, all, static, offset (the window before, too), window, or previous (of itself).
        is_input: Whether the function takes the values.
        allow_missing: Whether it does without what is missing.
    """

    upstream: str
    mapping: str
    is_input: bool = True
    allow_missing: bool = False


@dataclass(frozen=True)
class Spec:
    """An asset.

    Attributes:
        name: Its name.
        grid: Its partitions.
        handler: What stores its values; "none": it returns nothing.
        needs: What it needs.
        kind: "plain", "generator" (its function yields the values one by one), or "async".
        retries: Whether a second attempt follows a failed one.
        step: Name of the function that makes it together with other assets, if one does.
    """

    name: str
    grid: str
    handler: str
    needs: tuple[Need, ...] = ()
    kind: str = "plain"
    retries: bool = False
    step: str = ""

    def needs_of(self, need, key, grid, now):
        """The keys of an upstream's grid that a key of this asset needs."""
        every = keys_of(grid, now)
        if need.mapping == "all":
            return every
        if need.mapping == "static":
            return [other for other in every if other in STATIC[key]]
        if need.mapping == "same":
            return [key] if key in every else []
        if need.mapping in ("offset", "previous"):
            at = every.index(key)
            first = max(at - 1, 0)
            return every[first : at + (need.mapping == "offset")]
        start, end = window_of(self.grid, key)
        return [
            other
            for other in every
            if window_of(grid, other)[0] < end and window_of(grid, other)[1] > start
        ]

    def is_several(self, need, grid):
        """Whether a parameter gets a dict, however many partitions there are."""
        if grid == "none" or need.mapping == "same":
            return False
        return not (need.mapping == "window" and self.grid == "halves")


@dataclass(frozen=True)
class Graph:
    """All assets, each after those that it needs.

    Attributes:
        assets: The assets.
        in_processes: Whether worker processes execute them.
    """

    assets: tuple[Spec, ...]
    in_processes: bool = False
    by_name: dict[str, Spec] = field(init=False, repr=False, compare=False)

    def __post_init__(self):
        object.__setattr__(self, "by_name", {spec.name: spec for spec in self.assets})

    def __getitem__(self, name):
        return self.by_name[name]

    def made_with(self, name):
        """The assets that an asset's function makes, itself among them."""
        spec = self[name]
        return [
            each for each in self.assets if each is spec or (spec.step and each.step == spec.step)
        ]

    def needed(self, name, need, key, now):
        """The keys of the upstream that a key of an asset needs."""
        return self[name].needs_of(need, key, self[need.upstream].grid, now)

    def takers_of(self, name):
        """The assets that need an asset, with how."""
        return [
            (spec, need) for spec in self.assets for need in spec.needs if need.upstream == name
        ]


def random_graph(random, pairs):
    """Two to four assets that need each other in some way, some of which are made with another.

    Args:
        random: Chooses the assets.
        pairs: Chooses which of them are made with another.
    """
    in_processes = random.random() < 0.06
    kept = ["default", "default", "pickle", "none"]
    assets = []
    for at in range(random.choice([2, 3, 3, 4])):
        grid = random.choice(["letters", "letters", "days", "days", "halves", "squares", "none"])
        needs = []
        for upstream in random.sample(assets, k=min(len(assets), random.choice([0, 1, 1, 2]))):
            mapping = _random_mapping(random, grid, upstream.grid)
            is_input = random.random() < 0.8 and upstream.handler != "none"
            needs.append(Need(upstream.name, mapping, is_input, is_input and random.random() < 0.2))
        if grid == "days" and random.random() < 0.15:
            needs.append(Need(f"x{at}", "previous", is_input=False))
        # What worker processes keep in memory ends with a run, which the dictionary does not know.
        handler = random.choice(kept if in_processes else [*kept, "memory", "memory"])
        kind = random.choice(["plain"] * 6 + ["async"] * 2 + ["generator"] * 2)
        if kind == "generator" and (grid == "none" or handler == "none"):
            kind = "plain"
        assets.append(Spec(f"x{at}", grid, handler, tuple(needs), kind, random.random() < 0.3))
    handlers = ["default", "default", "pickle", *([] if in_processes else ["memory", "memory"])]
    return Graph(tuple(_with_pairs(pairs, assets, handlers)), in_processes)


def _with_pairs(random, assets, handlers):
    """Adds a second output to some assets, which what needs the first may need, too, or instead."""
    seconds = {}
    for spec in assets:
        needs = []
        for need in spec.needs:
            second = seconds.get(need.upstream)
            chosen = random.choice([[need], [second], [need, second]]) if second else [need]
            needs += [need if up is need else replace(need, upstream=up) for up in chosen]
        own = replace(spec, needs=tuple(needs))
        needs_itself = any(need.mapping == "previous" for need in needs)
        if spec.handler == "none" or needs_itself or random.random() < 0.6:
            yield own
            continue
        name = seconds[spec.name] = f"y{spec.name[1:]}"
        own = replace(own, step=f"both{spec.name[1:]}")
        if random.random() < 0.3:
            own = replace(own, kind="generator")
        yield own
        yield replace(own, name=name, handler=random.choice(handlers))


def _random_mapping(random, grid, upstream):
    if "none" in (grid, upstream):
        return "all"
    if grid == upstream:
        return random.choice(["same", "same", "all", _third(grid)])
    if {grid, upstream} & {"letters", "squares"}:
        return "all"
    return "window"


def _third(grid):
    return {"letters": "static", "squares": "same"}.get(grid, "offset")
