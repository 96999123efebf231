"""Time zones by name, from the database of the standard library."""

from __future__ import annotations

import datetime as dt
import importlib.resources
import os
import zoneinfo
from functools import lru_cache

from rivers._text import did_you_mean
from rivers.exceptions import PartitionDefinitionError


def zone_data(zone: object) -> tuple[str, bytes]:
    """Returns the name of a zone, and its file (TZif) in the database.

    Files are searched for where `zoneinfo` searches: in the folders of `zoneinfo.TZPATH`, then in the
    package `tzdata`.

    Args:
        zone: A name such as `"America/New_York"`, or a `zoneinfo.ZoneInfo`.

    Raises:
        PartitionDefinitionError: There is no zone of this name.
        TypeError: `zone` is neither a name nor a `ZoneInfo`.
    """
    name = zone.key if isinstance(zone, zoneinfo.ZoneInfo) else zone
    if not isinstance(name, str):
        msg = f"timezone must be the name of a time zone, such as 'America/New_York', got {zone!r}"
        raise TypeError(msg)
    return name, _load(name)


def aware(utc: dt.datetime, name: str) -> dt.datetime:
    """Returns a naive time in UTC as an aware time of a zone."""
    return utc.replace(tzinfo=dt.UTC).astimezone(zoneinfo.ZoneInfo(name))


@lru_cache(maxsize=64)
def _load(name: str) -> bytes:
    try:
        zoneinfo.ZoneInfo(name)  # It checks the name.
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        known = sorted(zoneinfo.available_timezones())
        # Names differ most often in their capitals.
        folded = [other for other in known if other.casefold() == name.casefold()]
        hint = f"; did you mean {folded[0]!r}?" if folded else did_you_mean(name, known)
        msg = f"there is no time zone {name!r}{hint}"
        if not known:
            msg = f"there is no time zone {name!r}: this system has no database; install tzdata"
        raise PartitionDefinitionError(msg) from None
    for folder in zoneinfo.TZPATH:
        try:
            with open(os.path.join(folder, *name.split("/")), "rb") as file:  # noqa: PTH118, PTH123
                return file.read()
        except OSError:
            continue
    folder, _, file_name = f"tzdata/zoneinfo/{name}".rpartition("/")
    return importlib.resources.files(folder.replace("/", ".")).joinpath(file_name).read_bytes()
