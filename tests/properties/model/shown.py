"""Compares what the tables show, and what loading returns, with the dictionary."""

from __future__ import annotations

from tests.properties.model.dictionary import ABSENT


class DisagreementError(AssertionError):
    """The process and the dictionary disagree."""


def check(holds, *texts):
    """Raises a disagreement unless something holds."""
    if not holds:
        raise DisagreementError(" ".join(map(str, texts)))


def compare_shown(world, seen):
    """Compares what a process shows with the dictionary.

    Raises:
        DisagreementError: They differ.
    """
    known = world.dictionary
    # A run that is not recorded may have stored a value again.
    known.deleted = {at for at in known.deleted if not world.file_of(*at).exists()}
    unfinished = {
        at
        for backfill_id in seen["interrupted"]
        for at, status in world.rows[backfill_id].items()
        if status in ("pending", "running")
        and at[1] in known.backfills[backfill_id].executed.get(at[0], ())
    }
    for name, table in seen["tables"].items():
        check(list(table) == known.keys(name), f"{name} has the keys {list(table)}")
        for key, shown in table.items():
            expected = known.shown(name, key)
            if (name, key) in unfinished:
                expected = ("in_progress", None)
            check(shown == expected, f"the table of {name} shows {key} as {shown}: {expected}")
    for (name, key), (kind, value) in seen["loads"].items():
        _compare_load(world, name, key, kind, value)


def _compare_load(world, name, key, kind, value):
    if world.graph[name].handler == "none":
        check((kind, value) == ("value", None), f"{name} {key} loads as {value}")
        return
    if world.dictionary.cell(name, key).state == "skipped":
        check(kind == "error", f"{name} {key} was skipped, and loads as {value}")
        return
    values = world.dictionary.values(name, key)
    found = ABSENT if kind == "error" else value
    check(found in values, f"{name} {key} loads as {value}: {values}")
