"""Log records and warnings of a worker process, handled in the calling process by what is set up there."""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import threading
import traceback
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from multiprocessing.connection import Connection
    from typing import TextIO

_log = logging.getLogger("rivers")

_MAX_ATOMIC_BYTES = 4_000
"""Up to this size a message of a forked child is written to the pipe as a whole (`PIPE_BUF`)."""


class Forwarder(logging.Handler):
    """The only handler of a worker process: sends records and warnings to the calling process.

    Args:
        connection: The worker's end of the pipe.
        extra: Returns what describes the current call, for the attributes of each record.
        leaves_out: Name of a logger that is left as it is, with those below it.
    """

    def __init__(
        self,
        connection: Connection,
        extra: Callable[[], Mapping[str, Any]],
        leaves_out: str | None = None,
    ) -> None:
        super().__init__()
        self._connection = connection
        self._extra = extra
        self._process = os.getpid()
        self._leaves_out = leaves_out

    def install(self) -> None:
        """Takes the place of all handlers: those that a reimported main module has set up, too."""
        loggers = [logging.root, *logging.root.manager.loggerDict.values()]
        for logger in loggers:
            if isinstance(logger, logging.Logger) and not self._is_left_out(logger):
                logger.propagate = True
                for handler in list(logger.handlers):
                    if handler is not self:
                        logger.removeHandler(handler)
        if self not in logging.root.handlers:
            logging.root.addHandler(self)
        warnings.showwarning = self._forward_warning

    def _is_left_out(self, logger: logging.Logger) -> bool:
        return self._leaves_out is not None and logger.name.split(".")[0] == self._leaves_out

    def emit(self, record: logging.LogRecord) -> None:
        """Sends a record."""
        try:
            self._send("record", self._prepared(record))
        except Exception:  # noqa: BLE001  (as in every handler, logging fails no function)
            self.handleError(record)

    def flush_to(self, number: int) -> None:
        """Marks that all records up to here belong to the first `number` batches."""
        self._send("mark", number)

    def _prepared(self, record: logging.LogRecord) -> dict[str, Any]:
        attributes = {**self._extra(), **record.__dict__}
        attributes["msg"], attributes["args"] = record.getMessage(), None
        if record.exc_info and not record.exc_text:
            attributes["exc_text"] = "".join(traceback.format_exception(*record.exc_info)).rstrip(
                "\n"
            )
        attributes["exc_info"] = None
        return attributes

    def _forward_warning(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        del file, line
        self._send("warning", (message, category, filename, lineno))

    def _send(self, kind: str, content: Any) -> None:
        try:
            data = pickle.dumps((kind, content))
        except Exception:  # noqa: BLE001  (attributes can be anything)
            data = pickle.dumps((kind, _plain(content)))
        if os.getpid() != self._process and len(data) > _MAX_ATOMIC_BYTES:
            return
        # If the calling process is gone, this one soon will be.
        with self.lock or threading.RLock(), contextlib.suppress(OSError):
            self._connection.send_bytes(data)


def _plain(content: Any) -> Any:
    """What can be pickled of a record's attributes, or of a warning."""
    if not isinstance(content, dict):
        message, _, filename, lineno = content
        return UserWarning(str(message)), UserWarning, filename, lineno
    plain = {}
    for name, value in content.items():
        try:
            pickle.dumps(value)
            plain[name] = value
        except Exception:  # noqa: BLE001
            plain[name] = repr(value)
    return plain


class Receiver:
    """The calling process's end of the pipe: a thread that handles what a worker process sends.

    Args:
        connection: The readable end. It is closed when the worker and `close` have closed the other.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._marked = 0
        self._ended = False
        self._changed = threading.Condition()
        threading.Thread(target=self._work, name="rivers-worker-log", daemon=True).start()

    def wait_for(self, number: int, timeout: float) -> None:
        """Waits until the records of the first `number` batches were handled, or no more will come."""
        with self._changed:
            self._changed.wait_for(lambda: self._marked >= number or self._ended, timeout)

    def wait_for_end(self, timeout: float) -> None:
        """Waits until everything that a dead worker had sent was handled."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended, timeout)

    def _work(self) -> None:
        try:
            while True:
                self._handle(self._connection.recv_bytes())
        except (EOFError, OSError):
            pass
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()
            self._connection.close()

    def _handle(self, data: bytes) -> None:
        marked = handle(data)
        if marked is not None:
            with self._changed:
                self._marked = marked
                self._changed.notify_all()


def handle(data: bytes) -> int | None:
    """Handles, in the calling process, what a `Forwarder` sent; returns the number of a mark."""
    try:
        kind, content = pickle.loads(data)  # noqa: S301  (a worker of this process sent it)
        if kind == "mark":
            return int(content)
        if kind == "warning":
            message, category, filename, lineno = content
            warnings.showwarning(message, category, filename, lineno)
        else:
            record = logging.makeLogRecord(content)
            logger = logging.getLogger(record.name)
            if logger.isEnabledFor(record.levelno):
                logger.handle(record)
    except Exception:  # noqa: BLE001  (a record that cannot be read or handled fails nothing)
        _log.debug("a log record of a worker process was lost", exc_info=True)
    return None
