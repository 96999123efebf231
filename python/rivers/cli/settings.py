"""Where the value of an option comes from: the flag, then `RIVERS_*`, then `[tool.rivers]` in pyproject.toml.

Click reads flags and variables; the settings of pyproject.toml are passed to it as the commands' defaults.
"""

import difflib
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rivers.exceptions import ConfigurationError, StorageError

if TYPE_CHECKING:
    from rivers.client import BackfillClient
    from rivers.storage.storage import Storage

_KINDS = {"module": str, "storage": str, "max_concurrency": int, "on_failure": str}
KEYS = tuple(_KINDS)
"""The settings that `[tool.rivers]` may contain; variables are named after them: `RIVERS_STORAGE`."""


def project_settings() -> dict[str, Any]:
    """Returns the settings of the nearest pyproject.toml; paths in it are relative to its folder.

    Raises:
        ConfigurationError: `[tool.rivers]` cannot be read, or contains an unknown setting.
    """
    from rivers.storage.location import StorageLocation  # noqa: PLC0415

    folder = Path.cwd()
    for place in (folder, *folder.parents):
        path = place / "pyproject.toml"
        if not path.is_file():
            continue
        try:
            settings = tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {})
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"{path} cannot be read: {error}") from None
        settings = settings.get("rivers", {}) if isinstance(settings, dict) else {}
        if not isinstance(settings, dict):
            msg = f"[tool.rivers] of {path} must be a table of settings, got {settings!r}"
            raise ConfigurationError(msg)
        settings = dict(settings)
        for name in settings:
            if name not in KEYS:
                near = difflib.get_close_matches(name, KEYS, 1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                msg = f"[tool.rivers] of {path} has {name!r}; it may hold {', '.join(KEYS)}{hint}"
                raise ConfigurationError(msg)
            _check_kind(path, name, settings[name])
        if settings.get("module", "").partition(":")[0].endswith(".py"):
            settings["module"] = str(place / settings["module"])
        if "storage" in settings:
            settings["storage"] = StorageLocation.parse(settings["storage"], place).display
        return settings
    return {}


def _check_kind(path: Path, name: str, value: object) -> None:
    kind = _KINDS[name]
    if isinstance(value, bool) or not isinstance(value, kind):
        wanted = {"str": "a text", "int": "a whole number"}[kind.__name__]
        msg = f"{name} in [tool.rivers] of {path} must be {wanted}, got {value!r}"
        raise ConfigurationError(msg)


def open_storage(path: str | None) -> "Storage | None":
    """Opens the storage that was named; `None` if none was."""
    from rivers.storage.storage import Storage  # noqa: PLC0415  (--help opens no storage)

    if path is None:
        return None
    return Storage.open(path)


def storage_file(path: str | None) -> Path:
    """Returns the path of an existing storage; reading one must not create it.

    Raises:
        StorageError: There is no such file.
    """
    from rivers.storage.location import DEFAULT_PATH, MEMORY, StorageLocation  # noqa: PLC0415

    file = StorageLocation.parse(path or DEFAULT_PATH).path
    if file is None or not file.exists():
        msg = f"there is no storage {str(file or MEMORY)!r}; name it with --storage PATH or RIVERS_STORAGE"
        raise StorageError(msg)
    return file


def open_client(path: str | None) -> "BackfillClient":
    """Opens an existing storage for the commands that need no assets.

    Raises:
        StorageError: There is no such file, or it cannot be opened.
    """
    from rivers.client import BackfillClient  # noqa: PLC0415

    return BackfillClient(storage_file(path))
