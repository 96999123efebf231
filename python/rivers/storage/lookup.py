"""Finds the storage that is used where none is named: by Python, the command line and the web UI alike."""

from __future__ import annotations

import difflib
import logging
import os
import tomllib
from pathlib import Path
from typing import Any, Final

from rivers.exceptions import ConfigurationError, StorageError
from rivers.storage.location import DEFAULT_PATH, StorageLocation

_log = logging.getLogger("rivers")

VARIABLE: Final = "RIVERS_STORAGE"
"""The environment variable that names a storage: the path of a file, a URL, or `memory`."""

_KINDS = {"module": str, "storage": str, "max_concurrency": int, "on_failure": str}
SETTINGS = tuple(_KINDS)
"""The settings that `[tool.rivers]` in pyproject.toml may contain."""


def find_storage(folder: Path | None = None) -> StorageLocation:
    """Finds the storage that is used if none is named.

    It is the first of these: what `RIVERS_STORAGE` names; `storage` in `[tool.rivers]` of the nearest
    pyproject.toml upwards; the nearest folder `.rivers` upwards that belongs to this user and lies on the
    same file system, as git finds `.git`; `.rivers/rivers.db` in `folder`, which is then created.

    Args:
        folder: Where the search begins; the working directory by default.

    Raises:
        ConfigurationError: pyproject.toml cannot be read, or a location is not valid.
        StorageError: `.rivers` in `folder` belongs to another user.
    """
    start = Path.cwd() if folder is None else folder.absolute()
    if named := os.environ.get(VARIABLE):
        return StorageLocation.parse(named)
    if named := project_settings(start).get("storage"):
        return StorageLocation.parse(named)
    name = DEFAULT_PATH.parent
    for place in _same_file_system(start):
        if not (place / name).is_dir():
            continue
        if _is_own(place / name):
            if place == start:
                break
            return StorageLocation("file", place / DEFAULT_PATH)
        if place == start:
            msg = (
                f"{place / name} belongs to another user; if you trust it, name it with {VARIABLE}="
                f"{place / DEFAULT_PATH}"
            )
            raise StorageError(msg)
        _log.warning("%s is not used, since it belongs to another user", place / name)
    # Short in messages, where it is the working directory's.
    return StorageLocation("file", DEFAULT_PATH if folder is None else start / DEFAULT_PATH)


def project_settings(folder: Path | None = None) -> dict[str, Any]:
    """Reads `[tool.rivers]` of the nearest pyproject.toml; paths in it are relative to its folder.

    Args:
        folder: Where the search begins; the working directory by default.

    Returns:
        The settings, with absolute paths; `{}` if there is no such file or table.

    Raises:
        ConfigurationError: The file cannot be read, or contains an unknown setting.
    """
    start = Path.cwd() if folder is None else folder
    for place in (start, *start.parents):
        path = place / "pyproject.toml"
        if path.is_file():
            return _read(path)
    return {}


def _read(path: Path) -> dict[str, Any]:
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {})
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from None
    settings = settings.get("rivers", {}) if isinstance(settings, dict) else {}
    if not isinstance(settings, dict):
        msg = f"[tool.rivers] of {path} must be a table of settings, got {settings!r}"
        raise ConfigurationError(msg)
    for name, value in settings.items():
        if name not in SETTINGS:
            near = difflib.get_close_matches(name, SETTINGS, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            msg = f"[tool.rivers] of {path} has {name!r}; it may hold {', '.join(SETTINGS)}{hint}"
            raise ConfigurationError(msg)
        _check_kind(path, name, value)
    settings = dict(settings)
    if settings.get("module", "").partition(":")[0].endswith(".py"):
        settings["module"] = str(path.parent / settings["module"])
    if "storage" in settings:
        location = StorageLocation.parse(settings["storage"], path.parent)
        settings["storage"] = location.url or location.display
    return settings


def _check_kind(path: Path, name: str, value: object) -> None:
    kind = _KINDS[name]
    if isinstance(value, bool) or not isinstance(value, kind):
        wanted = {"str": "a text", "int": "a whole number"}[kind.__name__]
        msg = f"{name} in [tool.rivers] of {path} must be {wanted}, got {value!r}"
        raise ConfigurationError(msg)


def _same_file_system(folder: Path) -> list[Path]:
    """The folder and those above it, up to the border of its file system."""
    places = [folder]
    try:
        device = folder.stat().st_dev
        for place in folder.parents:
            if place.stat().st_dev != device:
                break
            places.append(place)
    except OSError:
        pass  # A folder that cannot be read ends the search.
    return places


def _is_own(folder: Path) -> bool:
    """Whether a folder, and the link if it is one, belongs to the user of this process."""
    if not hasattr(os, "geteuid"):
        return True  # Windows has no owner that could be compared cheaply.
    user = os.geteuid()
    return folder.stat().st_uid == user and folder.lstat().st_uid == user
