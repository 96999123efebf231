"""Forked children: objects with locks and threads are made anew in them.

A child made by `os.fork` has a copy of each object, but only one thread. A lock that another thread held
at that time is never released there. The storage and the engine notice a fork by themselves
(`store/fork.rs`); this module does it for objects of Python.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Forkable(Protocol):
    """An object with state that a forked child must not share."""

    def reset_in_child(self) -> None:
        """Replaces locks, and forgets threads, processes and connections of the parent."""


_objects: weakref.WeakSet[Forkable] = weakref.WeakSet()
_left_to_parent: list[object] = []
"""Objects of the parent that must not be finalized in the child: that would end what the parent uses."""


def reset_in_children(obj: Forkable) -> None:
    """Has `reset_in_child` called in each forked child while the object exists."""
    _objects.add(obj)


def leave_to_parent(obj: object) -> None:
    """Keeps an object of the parent alive in a child, so that it is not finalized there."""
    _left_to_parent.append(obj)


def _reset_all() -> None:
    for obj in list(_objects):
        obj.reset_in_child()


if hasattr(os, "register_at_fork"):  # Not on Windows.
    os.register_at_fork(after_in_child=_reset_all)
