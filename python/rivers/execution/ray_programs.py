"""The programs of live backfills, as actors read them."""

from __future__ import annotations

import pickle
import threading
from typing import TYPE_CHECKING, NamedTuple

import ray

if TYPE_CHECKING:
    from ray import ObjectRef

    from rivers._rivers import Batch
    from rivers.execution.runner import Program

_MAX_INLINE_BYTES = 90_000
"""Size up to which a program travels in a message; a larger one is put into Ray's object store once."""


class LoadedProgram(NamedTuple):
    """A program for actors.

    Attributes:
        number: The number by which actors refer to it.
        packed: The program and the job spec, pickled.
        title: Names of its assets, for Ray's dashboard.
    """

    number: int
    packed: bytes | ObjectRef[bytes]
    title: str


class Programs:
    """Packs each program once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_key: dict[int, tuple[Program, LoadedProgram]] = {}
        self._num_packed = 0

    def keys(self) -> set[int]:
        """The numbers of the backfills whose programs are kept."""
        with self._lock:
            return set(self._by_key)

    def loaded(self, program: Program, batch: Batch) -> LoadedProgram:
        """Returns a program for actors."""
        with self._lock:
            known = self._by_key.get(batch.key)
            if known is not None and known[0] is program:
                return known[1]
            self._num_packed += 1
            data = pickle.dumps((program.pickled, batch.spec))
            packed = data if len(data) <= _MAX_INLINE_BYTES else ray.put(data)
            names = ", ".join(step.name for step in program.steps)
            loaded = LoadedProgram(self._num_packed, packed, names[:100])
            self._by_key[batch.key] = program, loaded
            return loaded

    def drop(self, key: int) -> int | None:
        """Drops the program of a backfill that has ended; returns its number."""
        with self._lock:
            known = self._by_key.pop(key, None)
        return None if known is None else known[1].number
