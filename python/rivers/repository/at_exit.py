"""Keeps what runs in the background alive until it has ended, and has the interpreter wait for it."""

from __future__ import annotations

import os
import threading
from typing import Protocol

from rivers._fork import leave_to_parent


class Background(Protocol):
    """Runs backfills in the background."""

    @property
    def is_idle(self) -> bool:
        """Whether nothing is running."""

    def close(self) -> None:
        """Waits for what is running."""

    def abandon(self) -> None:
        """Leaves what is running at once, resumable."""


_kept: set[Background] = set()
"""Strong references: a repository may be dropped while its backfills run."""
_registered: set[bool] = set()
_lock = threading.RLock()


def keep_until_idle(background: Background, *, processes: bool) -> None:
    """Keeps a reference until nothing is running, and has the interpreter wait for that before it exits.

    `concurrent.futures` waits for its threads in the same way.

    Args:
        background: Runs the backfills.
        processes: Whether runs are executed in processes, the first of which has been started.
    """
    release_idle()
    with _lock:
        _kept.add(background)
        if processes not in _registered:
            # `atexit` is too late: by then thread pools, which a user's function may use, refuse work.
            # What is registered last is called first, and the process pools register themselves, with
            # the first process.
            threading._register_atexit(_close_all)  # type: ignore[attr-defined]  # noqa: SLF001
            _registered.add(processes)


def release_idle() -> None:
    """Drops the references to those for which nothing is running."""
    with _lock:
        for background in [each for each in _kept if each.is_idle]:
            _kept.discard(background)


def _leave_to_parent() -> None:
    """Forgets what runs in the process that this one was forked from."""
    global _lock  # noqa: PLW0603  (a thread of the parent may have held it)
    _lock = threading.RLock()
    _kept.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)


def _close_all() -> None:
    try:
        for background in list(_kept):
            background.close()
    except KeyboardInterrupt:
        for background in list(_kept):
            background.abandon()
        raise


def _reset_in_child() -> None:
    """What runs in the background belongs to the process that this one was forked from."""
    global _lock  # noqa: PLW0603  (another thread of the parent may have held it)
    _lock = threading.RLock()
    for background in _kept:
        leave_to_parent(background)
    _kept.clear()


if hasattr(os, "register_at_fork"):  # Not on Windows.
    os.register_at_fork(after_in_child=_reset_in_child)
