"""Finds what a user names: the repository of a module, a backfill of a storage."""

from __future__ import annotations

import difflib
import importlib
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rivers.exceptions import BackfillNotFoundError, ConfigurationError, RiversError

if TYPE_CHECKING:
    from rivers.client import BackfillClient
    from rivers.execution.executor import Executor
    from rivers.repository.repository import CodeRepository
    from rivers.status.backfill_view import BackfillView
    from rivers.storage.storage import Storage

_SHOWN_IDS = 3
"""Number of ids that a message lists."""


def load_repository(
    given: str, storage: Storage | None, executor: Executor | None = None
) -> CodeRepository:
    """Loads the repository of a module, and connects it to the storage that was named, if one was.

    Args:
        given: `MODULE` or `MODULE:NAME`; a module's name, or the path of a .py file.
        storage: Where backfills are recorded; `None` for the repository's own storage.
        executor: Where runs are executed; `None` for the repository's own executor.

    Raises:
        ConfigurationError: The module cannot be imported, or it is not clear which repository is meant.
    """
    from rivers.repository.repository import CodeRepository  # noqa: PLC0415  (few commands need it)

    name, _, wanted = given.partition(":")
    module = _import(name, executor)
    there = {key: value for key, value in vars(module).items() if isinstance(value, CodeRepository)}
    if wanted and wanted not in there:
        near = difflib.get_close_matches(wanted, there, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        listed = ", ".join(there) or "none"
        msg = f"{name} has no CodeRepository called {wanted!r}; it has: {listed}{hint}"
        raise ConfigurationError(msg)
    if not there:
        raise ConfigurationError(f"{name} has no CodeRepository among its variables")
    if not wanted and len({id(repo) for repo in there.values()}) > 1:
        choices = " or ".join(f"{name}:{key}" for key in there)
        raise ConfigurationError(f"{name} has {len(there)} repositories; say which: {choices}")
    return there[wanted or next(iter(there))].resolve(storage)


def _import(name: str, executor: Executor | None) -> Any:
    if not name.endswith(".py"):
        sys.path.insert(0, str(Path.cwd()))  # As `python -m` does.
        return _imported(name, name, executor)
    path = Path(name).resolve()
    if not path.is_file():
        raise ConfigurationError(f"there is no file {name!r}")
    # A file of a package is imported by its full name, so that its relative imports work, and every
    # file by a name that worker processes can import as well.
    parts, folder = [path.stem], path.parent
    while (folder / "__init__.py").exists():
        parts, folder = [folder.name, *parts], folder.parent
    sys.path.insert(0, str(folder))
    module = _imported(".".join(parts), name, executor)
    if Path(module.__file__ or "").resolve() != path:
        msg = f"the file {name!r} has the name of another module, {module.__name__}; rename it"
        raise ConfigurationError(msg)
    return module


def _imported(name: str, given: str, executor: Executor | None) -> Any:
    from rivers.repository.importing import importing  # noqa: PLC0415  (few commands need it)

    try:
        with importing(given, executor):
            return importlib.import_module(name)
    except Exception as error:
        # Show the line of the user's own code, not those of this package or of what comes with Python.
        hidden = ("<", str(Path(__file__).parents[1]), str(Path(importlib.__file__).parents[1]))
        frames = traceback.extract_tb(error.__traceback__)
        inside = [frame for frame in frames if not frame.filename.startswith(hidden)]
        where = f" ({inside[-1].filename}, line {inside[-1].lineno})" if inside else ""
        kind = "" if isinstance(error, RiversError) else f"{type(error).__name__}: "
        msg = f"{given} cannot be imported: {kind}{error}{where}"
        raise ConfigurationError(msg) from error


def find_backfill(client: BackfillClient, given: str) -> BackfillView:
    """Finds the backfill that a user means.

    Args:
        client: The client of its storage.
        given: An id, the unique start of one, or `latest`.

    Raises:
        BackfillNotFoundError: No backfill is meant, or several are.
    """
    exact = client.get_view(given)
    if exact is not None:
        return exact
    views = client.list_views()
    path = client.storage.path
    if not views:
        raise BackfillNotFoundError(f"there is no backfill in {path}")
    if given == "latest":
        return views[0]
    found = [view for view in views if given and view.backfill_id.startswith(given)]
    if len(found) == 1:
        return found[0]
    if found:
        several = ", ".join(view.backfill_id for view in found[:_SHOWN_IDS])
        more = " and more" if len(found) > _SHOWN_IDS else ""
        msg = f"{len(found)} backfills begin with {given!r}: {several}{more}; give more of the id"
        raise BackfillNotFoundError(msg)
    raise BackfillNotFoundError(f"there is no backfill {given!r} in {path}", remedy=("list",))
