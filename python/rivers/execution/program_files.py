"""The programs of live backfills as files, which each worker process reads once."""

from __future__ import annotations

import os
import pickle
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from rivers._rivers import Batch
    from rivers.execution.runner import Program


class ProgramFiles:
    """Writes programs to a folder, and removes them when their backfills have ended.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._programs: dict[int, tuple[Program, Path]] = {}
        self._num_written = 0

    def keys(self) -> set[int]:
        """The numbers of the backfills whose programs are kept."""
        with self._lock:
            return set(self._programs)

    def file(self, program: Program, batch: Batch) -> Path:
        """Returns the file of a program. It is written again if something has removed it.

        Raises:
            OSError: The file cannot be written.
        """
        with self._lock:
            known = self._programs.get(batch.key)
            if known is not None and known[0] is program and known[1].exists():
                return known[1]
            self._folder.mkdir(mode=0o700, exist_ok=True)
            self._num_written += 1
            path = self._folder / f"program-{batch.key}-{self._num_written}"
            started = path.with_suffix(".part")
            started.write_bytes(pickle.dumps((program.pickled, batch.spec)))
            os.replace(started, path)  # noqa: PTH105  (a worker must not see half of it)
            self._programs[batch.key] = program, path
            return path

    def drop(self, backfill_key: int) -> list[Path]:
        """Removes the program of a backfill, and returns its file so that workers can forget it."""
        with self._lock:
            known = self._programs.pop(backfill_key, None)
        if known is None:
            return []
        known[1].unlink(missing_ok=True)
        return [known[1]]
