"""Which backfill the current code is called by, so that calls that would wait for themselves are noticed."""

from __future__ import annotations

import asyncio
import os
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rivers._rivers import Engine


@dataclass(frozen=True, slots=True)
class CurrentCall:
    """A function of a run is being executed in this process.

    Attributes:
        engine: The engine that executes it.
        key: The number of its backfill in the storage.
        loop: The event loop of the engine, if the run is executed on it.
        process: The process that executes it: a forked child is not part of the call.
    """

    engine: Engine
    key: int
    loop: asyncio.AbstractEventLoop | None
    process: int

    @property
    def blocks_loop(self) -> bool:
        """Whether a blocking call would block the event loop on which runs are executed."""
        try:
            return asyncio.get_running_loop() is self.loop
        except RuntimeError:
            return False


_current: ContextVar[CurrentCall | None] = ContextVar("rivers_current_call", default=None)


def enter_call(engine: Engine, key: int, loop: asyncio.AbstractEventLoop | None = None) -> None:
    """Declares that from now on this thread or task executes runs of a backfill."""
    _current.set(CurrentCall(engine, key, loop, os.getpid()))


def current_call(engine: Engine) -> CurrentCall | None:
    """Returns the call of a run of this engine that the current code is part of, if any."""
    call = _current.get()
    if call is None or call.engine is not engine or call.process != os.getpid():
        return None
    return call
