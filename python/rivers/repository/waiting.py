"""Leaving the interpreter waits for background backfills, as `concurrent.futures` does."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rivers.repository.runtime import Runtime

_waited_for: weakref.WeakSet[Runtime] = weakref.WeakSet()
_registered: set[bool] = set()
_lock = threading.Lock()


def wait_at_exit(repository: Runtime, *, processes: bool) -> None:
    """Sees to it that a repository's backfills end before the interpreter does.

    Args:
        repository: It.
        processes: Whether its runs are executed in processes, the first of which has been started.
    """
    with _lock:
        _waited_for.add(repository)
        if processes not in _registered:
            # `atexit` is too late: by then thread pools, which a user's function may use, refuse work.
            # What is registered last is called first, and the process pools register themselves, with
            # the first process.
            threading._register_atexit(_wait)  # type: ignore[attr-defined]  # noqa: SLF001
            _registered.add(processes)


def _wait() -> None:
    try:
        for repository in list(_waited_for):
            repository.close()
    except KeyboardInterrupt:
        for repository in list(_waited_for):
            repository.abandon()
        raise
