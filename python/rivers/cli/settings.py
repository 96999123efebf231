"""Where a value comes from: the flag, then `RIVERS_*`, then `[tool.rivers]` in pyproject.toml.

The first two are typer's business, the third is given to it as the commands' defaults.
"""

import difflib
import tomllib
from pathlib import Path
from typing import Annotated, Any

import typer

from rivers.exceptions import ConfigurationError, StorageError
from rivers.storage.location import MEMORY, StorageLocation
from rivers.storage.storage import Storage

KEYS = ("module", "storage", "max_concurrency", "on_failure")
"""What `[tool.rivers]` may hold; the variables have the same names: `RIVERS_MAX_CONCURRENCY`."""

StorageOption = Annotated[
    str | None,
    typer.Option(
        "--storage",
        envvar="RIVERS_STORAGE",
        metavar="PATH",
        help="The file where backfills are recorded; .rivers/rivers.db by default.",
    ),
]
ModuleArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODULE[:REPO]",
        envvar="RIVERS_MODULE",
        help="A module or a .py file; after the colon its repository, if it has several.",
    ),
]
IdArgument = Annotated[
    str, typer.Argument(metavar="ID", help="Of a backfill; the start of one, or 'latest'.")
]
StatesOption = Annotated[
    list[str] | None, typer.Option(help="Only these states, separated by commas.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def defaults(command: Any) -> dict[str, Any]:
    """The settings of pyproject.toml, as the defaults of a command and of those below it.

    Args:
        command: The command that typer has made.

    Raises:
        ConfigurationError: `[tool.rivers]` cannot be read, or holds a name that is no setting.
    """
    settings = _of_project(Path.cwd())
    below = getattr(command, "commands", {})
    return settings | {name: defaults(command) for name, command in below.items()}


def _of_project(folder: Path) -> dict[str, Any]:
    """The settings of the nearest pyproject.toml; its paths are relative to its folder."""
    for place in (folder, *folder.parents):
        path = place / "pyproject.toml"
        if not path.is_file():
            continue
        try:
            settings = tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {})
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"{path} cannot be read: {error}") from None
        settings = dict(settings.get("rivers", {}))
        for name in settings:
            if name not in KEYS:
                near = difflib.get_close_matches(name, KEYS, 1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                msg = f"[tool.rivers] of {path} has {name!r}; it may hold {', '.join(KEYS)}{hint}"
                raise ConfigurationError(msg)
        if str(settings.get("module", "")).partition(":")[0].endswith(".py"):
            settings["module"] = str(place / settings["module"])
        if "storage" in settings:
            settings["storage"] = StorageLocation.parse(settings["storage"], place).display
        return settings
    return {}


def open_storage(path: str | None) -> Storage | None:
    """The storage that was named; `None`: none was."""
    if path is None:
        return None
    return Storage.open(path)


def storage_file(path: str | None) -> Path:
    """The file to read, which is not made by looking at it.

    Raises:
        StorageError: There is none.
    """
    file = StorageLocation.parse(path or Storage.DEFAULT_PATH).path
    if file is None or not file.exists():
        msg = f"there is no storage {str(file or MEMORY)!r}; name it with --storage PATH or RIVERS_STORAGE"
        raise StorageError(msg)
    return file


def existing_storage(path: str | None) -> Storage:
    """The storage to read.

    Raises:
        StorageError: There is none, or it cannot be opened.
    """
    return Storage.embedded(storage_file(path))
