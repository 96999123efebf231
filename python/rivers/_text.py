"""Words for messages: close spellings, lists of names, and texts that can be stored."""

from __future__ import annotations

import json
import re
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
"""Characters that a terminal obeys instead of showing them: controls other than newline and tab, those that
change the direction of text or hide in it, and halves of surrogates, which cannot be written."""


def printable(text: str) -> str:
    r"""The text with characters that a terminal would obey (control sequences, text direction) as escapes.

    Example:
        >>> from rivers._text import printable
        >>> print(printable("a\x1b]52;c;aGk=\x07b"))
        a\x1b]52;c;aGk=\x07b
    """
    return _UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], text)


def printable_json(text: str) -> str:
    """JSON with the same characters escaped as JSON does it, so that its meaning stays."""
    return _UNPRINTABLE.sub(lambda found: json.dumps(found[0])[1:-1], text)


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """`; did you mean 'x' or 'y'?`, or nothing where nothing is close."""
    close = get_close_matches(name, list(names))
    return f"; did you mean {' or '.join(map(repr, close))}?" if close else ""


def listed(names: Iterable[str]) -> str:
    """The names, the first few of many."""
    shown = 8
    names = list(names)
    more = f", ... ({len(names)} in all)" if len(names) > shown else ""
    return ", ".join(map(repr, names[:shown])) + more


def quoted(text: str) -> str:
    """The text as a literal in double quotes, which Python evaluates to the text."""
    return json.dumps(text, ensure_ascii=False)


def storable(text: str) -> str:
    """The text, with what UTF-8 cannot hold (halves of surrogates, as in odd file names) escaped."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def is_storable(text: str) -> bool:
    """Whether UTF-8 can hold the text: no halves of surrogates."""
    return storable(text) == text


def message_of(error: BaseException) -> str:
    """An exception's message, also where showing it fails."""
    try:
        return storable(str(error))
    except BaseException:  # noqa: BLE001  (a user's `__str__` can raise anything, `SystemExit` too)
        return f"a {kind_of(error)} whose message cannot be shown"


def kind_of(error: object) -> str:
    """The name of an exception's class, also where its metaclass hides it."""
    name: str = type.__dict__["__name__"].__get__(type(error))
    return storable(name)


def examinable(error: BaseException | None) -> BaseException | None:
    """An exception that can be asked what it is: a class may raise whenever an attribute is read."""
    try:
        isinstance(error, KeyboardInterrupt)
    except BaseException:  # noqa: BLE001  (as above)
        return RuntimeError(f"a {kind_of(error)} that cannot be examined")
    return error
