"""Log lines of runs: as JSON on the error stream, and kept in a file beside the storage."""

from __future__ import annotations

import json
import logging
import sys
import threading
import traceback
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO

from rivers._text import printable_json
from rivers.execution.log_context import RunFilter

if TYPE_CHECKING:
    from pathlib import Path

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
"""Attributes that every record has; the others were added with `extra`."""


def json_of(record: logging.LogRecord) -> dict[str, Any]:
    """A record as JSON: time, level, logger, message, what was added with `extra`, and an exception."""
    fields: dict[str, Any] = {
        "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
        "level": record.levelname,
        "logger": record.name,
        "message": record.getMessage(),
    }
    added = {name: value for name, value in record.__dict__.items() if name not in _STANDARD}
    fields |= {name: value for name, value in added.items() if value is not None}
    if record.exc_info and record.exc_info[0] is not None:
        fields["exception"] = "".join(traceback.format_exception(*record.exc_info))
    elif record.exc_text:
        fields["exception"] = record.exc_text
    return fields


class JsonHandler(logging.Handler):
    """Writes each record as a line of JSON to the error stream."""

    def __init__(self) -> None:
        super().__init__()
        self.addFilter(RunFilter())

    def emit(self, record: logging.LogRecord) -> None:
        """Writes a record."""
        try:
            text = json.dumps(json_of(record), default=str, ensure_ascii=False)
            sys.stderr.write(printable_json(text) + "\n")
            sys.stderr.flush()
        except Exception:  # noqa: BLE001  (as in every handler, logging fails no function)
            self.handleError(record)


class KeptLogs(logging.Handler):
    """Keeps the records of runs in a file for each backfill, a line of JSON each.

    Args:
        folder: The folder of the files, which is created when the first record comes.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.addFilter(RunFilter())
        self._folder = folder
        self._files: dict[str, TextIO] = {}
        self._writing = threading.Lock()

    def emit(self, record: logging.LogRecord) -> None:
        """Writes a record of a run; others are left out."""
        backfill_id = getattr(record, "backfill", None)
        if not backfill_id:
            return
        try:
            line = json.dumps(json_of(record), default=str)
            with self._writing:
                file = self._files.get(backfill_id)
                if file is None:
                    path = file_of(self._folder, backfill_id)
                    file = self._files[backfill_id] = path.open("a", encoding="utf-8", buffering=1)
                file.write(line + "\n")
        except Exception:  # noqa: BLE001
            self.handleError(record)

    def close(self) -> None:
        """Closes the files."""
        with self._writing:
            for file in self._files.values():
                file.close()
            self._files.clear()
        super().close()


def file_of(folder: Path, backfill_id: str) -> Path:
    """The file with the kept log lines of a backfill."""
    return folder / f"{backfill_id}.jsonl"


def read_kept(path: Path, runs: set[str] | None = None) -> list[dict[str, Any]]:
    """Reads the kept records of a backfill, or of some of its runs; a line that was cut short is left out."""
    if not path.is_file():
        return []
    found: list[dict[str, Any]] = []
    with path.open(encoding="utf-8") as file:
        for line in file:
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if runs is None or record.get("run") in runs:
                found.append(record)
    return found


def install(handler: logging.Handler) -> None:
    """Has a handler receive what functions log from INFO on."""
    root = logging.getLogger()
    root.addHandler(handler)
    if root.getEffectiveLevel() > logging.INFO:
        root.setLevel(logging.INFO)
