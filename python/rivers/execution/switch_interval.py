"""The interpreter's switch interval, for as long as hundreds of threads execute functions."""

from __future__ import annotations

import sys
import threading

from rivers._fork import reset_in_children

_SECONDS_PER_THREAD = 20e-6


class SwitchInterval:
    """The interval of this process.

    A thread that waits for the interpreter wakes up once in each interval (5 ms) to ask for it. Where
    thousands wait, since their functions return together, they would leave no time for anything else: so
    the interval grows with the number of threads, and they wake up no more often than 250 do.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._num_threads = 0
        self._usual: float | None = None
        """The interval that applies without us; `None` while it does."""
        self._set: float | None = None
        """What we have set. If there is another one, the program has changed it meanwhile: that stays."""
        reset_in_children(self)

    def count(self, change: int) -> None:
        """Adapts the interval to the number of threads.

        Args:
            change: How many more threads execute functions; negative if they are fewer.
        """
        with self._lock:
            self._num_threads += change
            present = sys.getswitchinterval()
            usual = self._usual if self._usual is not None and present == self._set else present
            wanted = self._num_threads * _SECONDS_PER_THREAD
            if wanted > usual:
                sys.setswitchinterval(wanted)
                self._usual, self._set = usual, sys.getswitchinterval()
            elif self._usual is not None:
                sys.setswitchinterval(usual)
                self._usual = self._set = None

    def reset_in_child(self) -> None:
        """A forked process has none of the threads."""
        self._lock = threading.Lock()
        self.count(-self._num_threads)


switch_interval = SwitchInterval()
