"""The tracebacks of exceptions as texts, fast where many exceptions are raised at one place."""

from __future__ import annotations

import traceback
from contextlib import suppress
from typing import TYPE_CHECKING

from rivers._text import storable

if TYPE_CHECKING:
    from types import CodeType, TracebackType

    Place = tuple[tuple[CodeType, int], ...]
    """The frames of a traceback: their code, and how far each has come in it."""

_MAX_FRAMES = 50
"""Number of frames up to which the text of a traceback is remembered."""
_MAX_PLACES = 256
"""Maximum number of places whose texts are remembered."""
_EXPLAINED = (SyntaxError, NameError, AttributeError, ImportError, BaseExceptionGroup)
"""Exceptions of which a traceback shows more than their type and message."""

_texts: dict[Place, str] = {}


def traceback_of(error: BaseException) -> str:
    """Returns what `traceback.format_exception` does, as one text that can be stored.

    Frames are formatted once for each place at which exceptions are raised.

    Args:
        error: The exception.
    """
    # An exception may fail to show itself, and to say where it was raised.
    for show in (_text_of, _whole_text_of, _frames_of):
        with suppress(BaseException):
            text = show(error)
            if text is not None:
                return storable(text)
    return ""


def _whole_text_of(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def _frames_of(error: BaseException) -> str:
    return "".join(traceback.format_tb(error.__traceback__))


def _text_of(error: BaseException) -> str | None:
    """The text of a plain exception; `None` if it is none, or its traceback is long."""
    kind = type(error)
    if (
        error.__cause__ is not None
        or error.__context__ is not None
        or issubclass(kind, _EXPLAINED)
        or getattr(error, "__notes__", None)
    ):
        return None
    place = _place_of(error.__traceback__)
    if place is None:
        return None
    frames = _texts.get(place)
    if frames is None:
        if len(_texts) >= _MAX_PLACES:
            _texts.clear()
        frames = "Traceback (most recent call last):\n"
        frames += "".join(traceback.format_tb(error.__traceback__))
        _texts[place] = frames
    name = kind.__qualname__
    if kind.__module__ not in ("__main__", "builtins"):
        name = f"{kind.__module__}.{name}"
    message = str(error)
    return f"{frames}{name}: {message}\n" if message else f"{frames}{name}\n"


def _place_of(frame: TracebackType | None) -> Place | None:
    """Where an exception was raised; `None` if it has no traceback, or a long one."""
    place = []
    while frame is not None:
        place.append((frame.tb_frame.f_code, frame.tb_lasti))
        frame = frame.tb_next
        if len(place) > _MAX_FRAMES:
            return None
    return tuple(place) or None
