"""Errors as responses: what was wrong, in words and as data; never a traceback or a path of the server."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse

from rivers.exceptions import (
    AssetNotFoundError,
    BackfillNotFoundError,
    ExecutionError,
    RiversError,
    StorageError,
)

if TYPE_CHECKING:
    from starlette.responses import Response

logger = logging.getLogger("rivers.ui")


class RequestError(Exception):
    """A request that is refused.

    Args:
        status: The status of the response.
        message: What is wrong with the request, for its sender.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


_STATUS: tuple[tuple[type[RiversError], int], ...] = (
    (BackfillNotFoundError, 404),
    (AssetNotFoundError, 404),
    (StorageError, 503),
    (ExecutionError, 409),
    (RiversError, 400),
)
"""The status of each kind of error; the first that fits counts."""


def response_of(error: BaseException) -> Response:
    """Returns the response to a request that failed with an error.

    Args:
        error: The error; one that is no error of this package or of the request is logged, and the
            response says no more than that.
    """
    if isinstance(error, RequestError):
        return error_response(error.status, "RequestError", error.message)
    if isinstance(error, RiversError):
        status = next(status for kind, status in _STATUS if isinstance(error, kind))
        return error_response(status, type(error).__name__, error.message, error.remedy)
    logger.error("a request failed", exc_info=error)
    return error_response(500, "InternalError", "the server failed; its log says why")


def error_response(
    status: int, kind: str, message: str, remedy: tuple[str, ...] | None = None
) -> Response:
    """Returns an error as JSON.

    Args:
        status: The status of the response.
        kind: The type of the error.
        message: What is wrong.
        remedy: What can be done about it: a verb, and the id that it needs.
    """
    error: dict[str, Any] = {"type": kind, "message": message}
    if remedy is not None:
        error["remedy"] = list(remedy)
    return JSONResponse({"error": error}, status_code=status)
