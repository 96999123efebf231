"""Leaving the interpreter waits for background backfills, as `concurrent.futures` does (SEMANTICS 6)."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rivers.repository import CodeRepository

_waited_for: weakref.WeakSet[CodeRepository] = weakref.WeakSet()
_registered = False
_lock = threading.Lock()


def wait_at_exit(repository: CodeRepository) -> None:
    """Sees to it that the repository's backfills end before the interpreter does."""
    global _registered  # noqa: PLW0603
    with _lock:
        _waited_for.add(repository)
        if not _registered:
            # `atexit` is too late: by then thread pools, which a user's function may use, refuse
            # work. `concurrent.futures` itself registers here.
            threading._register_atexit(_wait)  # type: ignore[attr-defined]  # noqa: SLF001
            _registered = True


def _wait() -> None:
    for repository in list(_waited_for):
        repository.close()
