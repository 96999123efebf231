"""The logger of one call: the standard library's, which also keeps the last lines for its traceback."""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Any

from rivers._text import storable

if TYPE_CHECKING:
    from collections.abc import Callable

_MAX_LINES = 20
"""Number of log lines of a failed call that are kept."""
_MAX_LINE_LENGTH = 500
"""Maximum number of characters of each."""


class CallLog:
    """The last log lines of a call, whatever their level.

    A graph asset's tasks log under names of their own, and share the lines of the asset's call.

    Args:
        extra: Returns the attributes that each record gets: what describes the call.
    """

    __slots__ = ("_extra", "_records")

    def __init__(self, extra: Callable[[], dict[str, Any]] = dict) -> None:
        self._records: deque[logging.LogRecord] = deque(maxlen=_MAX_LINES)
        self._extra = extra

    def logger(self, name: str) -> logging.Logger:
        """Returns a logger that keeps its records here, and passes them on to the logger of its name."""
        return _Logger(logging.getLogger(name), self._records, self._extra)

    def text(self) -> str:
        """Returns the last lines, to be shown below a traceback; empty if there are none."""
        if not self._records:
            return ""
        lines = [f"  {record.levelname}: {_text(record)}\n" for record in self._records]
        return f"\nThe last lines of its log:\n{''.join(lines)}"


class _Logger(logging.Logger):
    """A logger that keeps the last records, and passes on those that the logger of its name would log."""

    def __init__(
        self,
        logger: logging.Logger,
        records: deque[logging.LogRecord],
        extra: Callable[[], dict[str, Any]],
    ) -> None:
        super().__init__(logger.name)
        self.parent = logger
        self._records = records
        self._extra = extra

    def makeRecord(self, *args: Any, **kwargs: Any) -> logging.LogRecord:  # noqa: N802  (as below)
        """Adds what describes the call."""
        record = super().makeRecord(*args, **kwargs)
        record.__dict__.update({**self._extra(), **record.__dict__})
        return record

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802  (the standard library's name)
        """Every level is kept."""
        del level
        return True

    def handle(self, record: logging.LogRecord) -> None:
        """Keeps a record, and passes it on if it is logged."""
        self._records.append(record)
        if self.parent is not None and self.parent.isEnabledFor(record.levelno):
            self.parent.handle(record)


def _text(record: logging.LogRecord) -> str:
    try:
        return storable(record.getMessage())[:_MAX_LINE_LENGTH]
    except Exception:  # noqa: BLE001  (arguments of a user can fail to show themselves)
        return storable(str(record.msg))[:_MAX_LINE_LENGTH]
