"""The dictionary: for each asset and key what is materialized, by what, from which inputs and since when."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tests.properties.model.graphs import keys_of, window_of

if TYPE_CHECKING:
    import datetime as dt

ABSENT = "<absent>"
"""In a set of values: there may be none."""


@dataclass(frozen=True)
class Cell:
    """The state of an asset's key.

    Attributes:
        state: missing, made or skipped.
        order: When it was determined.
        started: The repository's time then; `None` if a user reported it.
        version: The version of the asset's code.
        process: Number of the process whose memory had the value; `None` if any process can load it.
        has_failed: Whether the last attempt failed.
        backfill: What made it.
    """

    state: str = "missing"
    order: float = 0
    started: dt.datetime | None = None
    version: str | None = None
    process: int | None = None
    has_failed: bool = False
    backfill: str | None = None


@dataclass
class Backfill:
    """A backfill of the dictionary.

    Attributes:
        executed: By asset, the keys for which it executes the asset.
        covered: By asset, the keys of its plan, also those that need not be executed.
        origins: Ids of it and of those that it runs again.
        made: The assets and keys that it materialized or skipped.
        order: When it began.
        versions: Of the code, when it began.
    """

    executed: dict[str, list]
    covered: dict[str, list]
    origins: list[str]
    order: float
    versions: dict
    is_grouped: bool
    made: set = field(default_factory=set)
    ended: bool = False


class Dictionary:
    """What is known of each asset and key, and what each verb does to it."""

    def __init__(self, graph, now):
        self.graph, self.now = graph, now
        self.versions = {}
        self.cells: dict[tuple, Cell] = {}
        self.stored: dict[tuple, set] = {}
        """The values that handlers may have, by asset and key."""
        self.memory: dict[tuple, set] = {}
        self.deleted: set[tuple] = set()
        """The assets and keys whose files somebody deleted after runs had made them."""
        self.process = 0
        self.backfills: dict[str, Backfill] = {}

    # -- questions ---------------------------------------------------------------------------------

    def keys(self, name):
        return keys_of(self.graph[name].grid, self.now)

    def cell(self, name, key):
        return self.cells.get((name, key), Cell())

    def values(self, name, key):
        """What loading may return, apart from skips."""
        place = self.memory if self.graph[name].handler == "memory" else self.stored
        return place.get((name, key), {ABSENT})

    def is_available(self, name, key):
        cell = self.cell(name, key)
        return cell.state == "skipped" or (
            cell.state == "made"
            and cell.process in (None, self.process)
            and (name, key) not in self.deleted
        )

    def is_loadable(self, name, key):
        """Whether a run can load the value of what is materialized; `None`: perhaps."""
        handler = self.graph[name].handler
        if self.cell(name, key).state == "skipped" or handler in ("pickle", "none"):
            return True
        values = self.values(name, key)
        return None if ABSENT in values and len(values) > 1 else ABSENT not in values

    def is_gone(self, name, key):
        """Whether it was materialized, and its value went with the memory of a process."""
        cell = self.cell(name, key)
        return cell.state == "made" and not self.is_available(name, key)

    def reason(self, name, key):
        """Why a key is out of date; `None` if it is not."""
        cell = self.cell(name, key)
        if cell.state == "missing":
            return None
        if self.is_early(name, key):
            return "early"
        version = self.versions.get(name)
        if version is not None and cell.version != version:
            return "code_version"
        for need in self.graph[name].needs:
            for other in self.graph.needed(name, need, key, self.now):
                up = self.cell(need.upstream, other)
                # A backfill makes what a key needs before the key.
                is_same = cell.backfill is not None and up.backfill == cell.backfill
                if up.state != "missing" and up.order > cell.order and not is_same:
                    return "upstream"
        return None

    def is_early(self, name, key):
        cell = self.cell(name, key)
        window = window_of(self.graph[name].grid, key)
        return window is not None and cell.started is not None and cell.started < window[1]

    def shown(self, name, key):
        """The status and the reason of the table."""
        cell = self.cell(name, key)
        if cell.has_failed:
            return "failed", None
        if not self.is_available(name, key):
            return "missing", None
        return {"made": "materialized"}.get(cell.state, cell.state), self.reason(name, key)

    # -- what a backfill executes ------------------------------------------------------------------

    def plan(self, chosen, only, upstream, downstream):
        """The keys that a backfill covers and that it executes, by asset.

        Args:
            chosen: The keys of the selected assets.
            only: "missing", "stale" or "all".
            upstream: Whether what they need is added.
            downstream: Whether what needs them is added.
        """
        left = self._left_out(chosen, only, upstream, downstream)
        parts = {
            name: [key for key in keys if any((other, key) not in left for other in chosen)]
            for name, keys in chosen.items()
        }
        expanded = {name: set(keys) for name, keys in parts.items()}
        if upstream:
            for spec in reversed(self.graph.assets):
                found = set()
                for taker, need in self.graph.takers_of(spec.name):
                    for key in expanded.get(taker.name, ()) if taker is not spec else ():
                        found.update(self.graph.needed(taker.name, need, key, self.now))
                self._add(expanded, spec, found, left, self._before)
        if downstream:
            for name, keys in self._affected(parts, left).items():
                expanded[name] = expanded.get(name, set()) | keys
        covered = {
            name: sorted(keys, key=self.keys(name).index) for name, keys in expanded.items() if keys
        }
        executed = {
            name: [k for k in keys if (name, k) not in left or not self.is_loadable(name, k)]
            for name, keys in covered.items()
        }
        return covered, executed

    def _affected(self, parts, left):
        """Keys, and those that need them, apart from what is left out."""
        affected = {name: set(keys) for name, keys in parts.items()}
        for spec in self.graph.assets:
            found = {
                key
                for need in spec.needs
                if need.upstream in affected and need.upstream != spec.name
                for key in self.keys(spec.name)
                if affected[need.upstream] & set(self.graph.needed(spec.name, need, key, self.now))
            }
            self._add(affected, spec, found, left, self._after)
        return affected

    def _add(self, parts, spec, found, left, walk):
        own = parts.get(spec.name, set())
        reached = own | found
        if any(need.mapping == "previous" for need in spec.needs):
            reached = walk(spec, reached)
        new = {key for key in reached - own if (spec.name, key) not in left}
        if own | new:
            parts[spec.name] = own | new

    def _before(self, spec, keys):
        every = self.keys(spec.name)
        return set(every[: max(map(every.index, keys)) + 1]) if keys else keys

    def _after(self, spec, keys):
        every = self.keys(spec.name)
        return set(every[min(map(every.index, keys)) :]) if keys else keys

    def _left_out(self, chosen, only, upstream, downstream):  # noqa: C901
        """The assets and keys that need not be executed."""
        every = [(spec.name, key) for spec in self.graph.assets for key in self.keys(spec.name)]
        if only == "all":
            return set()
        done = {at for at in every if self.is_available(*at) and not self.is_early(*at)}
        if only == "missing":
            return done
        executed = set()
        considered = {name: set(keys) for name, keys in chosen.items()}
        if upstream:
            for spec in reversed(self.graph.assets):
                found = set()
                for taker, need in self.graph.takers_of(spec.name):
                    for key in considered.get(taker.name, ()) if taker is not spec else ():
                        found.update(self.graph.needed(taker.name, need, key, self.now))
                self._add(considered, spec, found, set(), self._before)
        if downstream:
            for name, keys in self._affected(chosen, set()).items():
                considered[name] = considered.get(name, set()) | keys
        for spec in self.graph.assets:
            for key in self.keys(spec.name):
                if key not in considered.get(spec.name, ()):
                    continue
                needed = [
                    (need.upstream, other)
                    for need in spec.needs
                    for other in self.graph.needed(spec.name, need, key, self.now)
                ]
                is_stale = self.reason(spec.name, key) is not None
                # What a selected key needs is made if it is missing, but is no reason to make the key again.
                is_stale |= spec.name in chosen and (spec.name, key) not in done
                if is_stale or any(at in executed for at in needed):
                    executed.add((spec.name, key))
        return {at for at in done if self.reason(*at) is None and at not in executed}

    def missing_inputs(self, executed, covered, made=()):
        """Whether inputs neither exist nor will be materialized; `None`: perhaps.

        Args:
            executed: The keys for which assets are executed.
            covered: The keys of the plan.
            made: Assets and keys that are made again before.
        """
        answer = False
        for name, keys in executed.items():
            for need in self.graph[name].needs:
                up = self.graph[need.upstream]
                if (
                    not need.is_input
                    or need.allow_missing
                    or up.handler not in ("default", "memory")
                ):
                    continue
                for key in keys:
                    for other in self.graph.needed(name, need, key, self.now):
                        at = (up.name, other)
                        is_skipped = self.cell(*at).state == "skipped"
                        if other in covered.get(up.name, ()) or at in made or is_skipped:
                            continue
                        if self.values(*at) == {ABSENT}:
                            return True
                        if ABSENT in self.values(*at):
                            answer = None
        return answer

    def lost_inputs(self, executed):
        """The keys, by asset, that are made again before what needs them can be executed."""
        lost = {}
        for spec in reversed(self.graph.assets):
            for part in (executed.get(spec.name), lost.get(spec.name)):
                for need in spec.needs if part else ():
                    up = self.graph[need.upstream]
                    if not need.is_input:
                        continue
                    own = executed.get(up.name, ())
                    for key in part:
                        for other in self.graph.needed(spec.name, need, key, self.now):
                            if self.is_gone(up.name, other) and other not in own:
                                lost.setdefault(up.name, []).append(other)
        return {name: list(dict.fromkeys(keys)) for name, keys in lost.items()}

    # -- what happens ------------------------------------------------------------------------------

    def make(self, name, key, value, order, backfill, versions):
        """A run made the value of a key."""
        handler = self.graph[name].handler
        self.deleted.discard((name, key))
        self.cells[name, key] = Cell(
            "made", order, self.now, versions.get(name), self.process if handler == "memory" else None,
            backfill=backfill,
        )  # fmt: skip
        place = self.memory if handler == "memory" else self.stored
        place[name, key] = {value}

    def skip(self, name, key, order, backfill, versions):
        """A run skipped a key."""
        self.cells[name, key] = Cell(
            "skipped", order, self.now, versions.get(name), backfill=backfill
        )
        self.doubt(name, key, ABSENT)

    def doubt(self, name, key, value):
        """A value may have been replaced, without being recorded."""
        place = self.memory if self.graph[name].handler == "memory" else self.stored
        place[name, key] = self.values(name, key) | {value}

    def fail(self, name, key):
        """An attempt failed; what was made before is still there."""
        self.cells[name, key] = replace(self.cell(name, key), has_failed=True)

    def report(self, name, keys, order):
        """A user says that keys are materialized."""
        for key in keys:
            self.deleted.discard((name, key))
            self.cells[name, key] = Cell("made", order, None, self.versions.get(name))

    def forget(self, name, keys):
        """A user says that keys are missing."""
        for key in keys:
            self.cells[name, key] = Cell()

    def delete(self, name, key):
        """Somebody deletes the file of a value."""
        self.stored[name, key] = {ABSENT}
        cell = self.cell(name, key)
        if cell.state == "made" and cell.started is not None:
            self.deleted.add((name, key))

    def new_process(self):
        """The process is gone, with what was in its memory."""
        self.process += 1
        self.memory = {}
