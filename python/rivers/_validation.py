"""Checks of values that users pass, one for each kind of value."""

from __future__ import annotations

import re

from rivers.exceptions import ConfigurationError

LARGEST_PRIORITY = (1 << 63) - 1
"""No priority is further from 0."""


def check_count(name: str, value: object, *, least: int = 1) -> int:
    """The value, if it is a whole number of at least `least` that fits 32 bits.

    Raises:
        ConfigurationError: It is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 1 << 32:
        msg = f"{name} must be an int of at least {least}, got {value!r}"
        raise ConfigurationError(msg)
    return value


def check_priority(value: object) -> int:
    """The value, if it is an int that fits 64 bits.

    Raises:
        ConfigurationError: It is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > LARGEST_PRIORITY:
        msg = f"priority must be an int of at most 64 bits, such as -10, got {value!r}"
        raise ConfigurationError(msg)
    return value


MIN_LEASE_SECONDS = 0.5
"""A lease is renewed five times in its life, and not more often than ten times a second."""


def check_lease(value: object) -> float:
    """The value, if a lease of as many seconds can be renewed in time.

    Raises:
        ConfigurationError: It cannot.
    """
    seconds = check_seconds("lease_seconds", value)
    if seconds < MIN_LEASE_SECONDS:
        msg = f"lease_seconds must be at least {MIN_LEASE_SECONDS}, got {value!r}"
        raise ConfigurationError(msg)
    return seconds


def check_seconds(name: str, value: object) -> float:
    """The value, if it is a positive number of seconds.

    Raises:
        ConfigurationError: It is not.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e9:  # noqa: PLR2004
        msg = f"{name} must be a positive number of seconds, got {value!r}"
        raise ConfigurationError(msg)
    return float(value)


def check_timeout(name: str, value: object) -> float | None:
    """The value, if it is a positive number of seconds or `None`.

    Raises:
        ConfigurationError: It is not.
    """
    return None if value is None else check_seconds(name, value)


def check_delay(name: str, value: object) -> float:
    """The value, if it is a number of seconds, 0 included.

    Raises:
        ConfigurationError: It is not.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:  # noqa: PLR2004
        msg = f"{name} must be a number of seconds, 0 or more, got {value!r}"
        raise ConfigurationError(msg)
    return float(value)


_NUMBER = r"\d+(?:\.\d+)?"
_DURATION = re.compile(
    "(?=.)" + "".join(f"(?:{_NUMBER}{unit})?" for unit in ("d", "h", "m(?!s)", "s", "ms"))
)


def check_duration(name: str, value: object) -> str:
    """The value, if it is a duration of days, hours, minutes, seconds and milliseconds, in this order.

    Raises:
        ConfigurationError: It is not.
    """
    if not isinstance(value, str) or not _DURATION.fullmatch(value):
        msg = f"{name} must be a duration such as '250ms', '30s', '5m' or '1h30m', got {value!r}"
        raise ConfigurationError(msg)
    return value


_MAX_PARTITIONS = 1 << 63


def check_max_failures(value: float) -> float:
    """The value, if it is a count of at least 1, or a fraction between 0 and 1.

    Raises:
        ConfigurationError: It is neither.
    """
    match value:
        case bool():
            pass
        case int() if 1 <= value < _MAX_PARTITIONS:
            return value
        case float() if 0 < value < 1:
            return value
    msg = (
        "max_failures must be a count, an int of at least 1, or a fraction of those that have ended, a "
        f"float between 0 and 1, got {value!r}"
    )
    raise ConfigurationError(msg)
