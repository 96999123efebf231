"""The runs that were lost with workers: which of them may have been the cause?"""

from __future__ import annotations

import threading

_SHARE = 16
"""A lost range is executed again in as many parts, so that a run that kills its worker is found soon and
one that was only near it is not executed alone."""


class Losses:
    """The ranges of runs that were lost with workers and have not ended since, by backfill."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # First run, the one after the last, and how many are executed together.
        self._ranges: dict[int, list[tuple[int, int, int]]] = {}

    def add(self, key: int, first: int, end: int) -> int:
        """Notes that the runs from `first` to before `end` were lost; returns how often `first` was."""
        with self._lock:
            size = max((end - first) // _SHARE, 1)
            self._ranges.setdefault(key, []).append((first, end, size))
        return self.count(key, first)

    def count(self, key: int, run: int) -> int:
        """How often a run was lost."""
        with self._lock:
            return sum(first <= run < end for first, end, _ in self._ranges.get(key, ()))

    def limit(self, key: int, run: int) -> int | None:
        """Maximum number of runs to send together, from this run on; `None`: any number."""
        with self._lock:
            ranges = self._ranges.get(key)
            if not ranges:
                return None
            suspects = [(size, end) for first, end, size in ranges if first <= run < end]
            if suspects:
                size, end = min(suspects)
                return min(size, end - run)
            return min((first - run for first, _, _ in ranges if first > run), default=None)

    def ended(self, key: int, first: int, end: int) -> None:
        """Notes that the runs from `first` to before `end` have ended."""
        with self._lock:
            ranges = self._ranges.get(key)
            if not ranges:
                return
            left = []
            for lost_first, lost_end, size in ranges:
                before = lost_first, min(lost_end, first), size
                behind = max(lost_first, end), lost_end, size
                left += [part for part in (before, behind) if part[0] < part[1]]
            if left:
                self._ranges[key] = left
            else:
                del self._ranges[key]

    def forget(self, key: int) -> None:
        """Forgets a backfill."""
        with self._lock:
            self._ranges.pop(key, None)
