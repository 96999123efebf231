"""Finds what a user names: the repository of a module, a backfill of a storage."""

from __future__ import annotations

import difflib
import importlib
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rivers.exceptions import BackfillNotFoundError, ConfigurationError

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
    from rivers.repository.internals import remember_module  # noqa: PLC0415

    repository = import_repository(given, executor).resolve(storage)
    remember_module(repository, _absolute(given), str(Path.cwd()))
    return repository


def load_for_backfill(
    backfill_id: str,
    module: str | None,
    default: str | None,
    storage: str | None,
    executor: Executor | None = None,
) -> tuple[CodeRepository, str, str]:
    """Loads the repository that continues a backfill.

    Args:
        backfill_id: What was typed for the backfill.
        module: The module that was named; `None` for the one that the backfill was launched from.
        default: The module of the settings, for a backfill that was not launched from one.
        storage: The storage that was named.
        executor: Where runs are executed; `None` for the repository's own executor.

    Returns:
        The repository, connected; the id of the backfill; the module.

    Raises:
        ConfigurationError: No module is known, or it cannot be loaded.
        BackfillNotFoundError: No backfill is meant, or several are.
    """
    from rivers.cli.settings import open_client, open_storage  # noqa: PLC0415
    from rivers.client import BackfillClient  # noqa: PLC0415

    if module is not None:
        repository = load_repository(module, open_storage(storage), executor)
        found = find_backfill(BackfillClient(repository.storage), backfill_id)
        return repository, found.backfill_id, module
    client = open_client(storage)
    view = find_backfill(client, backfill_id)
    known = remembered_module(client, view.backfill_id) or default
    if known is None:
        msg = (
            f"the backfill {view.backfill_id!r} was not launched by this command, so that its module is "
            f"not known; name it: rivers {_verb()} {view.backfill_id} MODULE"
        )
        raise ConfigurationError(msg)
    path = Path(known.partition(":")[0])
    if path.suffix == ".py" and not path.is_file():
        msg = (
            f"the file {str(path)!r}, from which the backfill {view.backfill_id} was launched, is gone; say "
            f"where it is now: rivers {_verb()} {view.backfill_id} MODULE"
        )
        raise ConfigurationError(msg)
    return load_repository(known, client.storage, executor), view.backfill_id, known


def _verb() -> str:
    """The command that is being executed, `rerun` or `resume`."""
    return sys.argv[1] if sys.argv[1:] else "rerun"


def remembered_module(client: BackfillClient, backfill_id: str) -> str | None:
    """The module that a backfill was launched from, by this command; `None` if it was not."""
    launch = client.get_launch(backfill_id)
    module, folder = launch.get("module"), launch.get("folder")
    if module is not None and folder is not None and folder not in sys.path:
        sys.path.insert(0, folder)  # As it was when the module was first imported.
    return module


def looks_like_module(text: str) -> bool:
    """Whether a text that stands where an id may stand is a module: an id has no dot and no colon."""
    return "." in text or ":" in text


def import_repository(given: str, executor: Executor | None = None) -> CodeRepository:
    """Imports the repository of a module, without a storage; the arguments are those of `load_repository`.

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
    return there[wanted or next(iter(there))]


def _absolute(given: str) -> str:
    """The module with the absolute path of its file, so that it is found from every folder."""
    name, colon, wanted = given.partition(":")
    return f"{Path(name).resolve() if name.endswith('.py') else name}{colon}{wanted}"


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
        msg = f"{given} cannot be imported: {type(error).__name__}: {error}{where}"
        raise ConfigurationError(msg) from error


def find_backfill(client: BackfillClient, given: str) -> BackfillView:
    """Finds the backfill that a user means.

    Args:
        client: The client of its storage.
        given: An id, the unique start of one, `latest`, or `@2` for the latest but one.

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
    if given.startswith("@") and given[1:].isdecimal():
        number = int(given[1:])
        if 1 <= number <= len(views):
            return views[number - 1]
        msg = f"{given} is none of the {len(views)} backfills in {path}; @1 is the latest"
        raise BackfillNotFoundError(msg, remedy=("list",))
    found = [view for view in views if given and view.backfill_id.startswith(given)]
    if len(found) == 1:
        return found[0]
    if found:
        several = ", ".join(view.backfill_id for view in found[:_SHOWN_IDS])
        more = " and more" if len(found) > _SHOWN_IDS else ""
        msg = f"{len(found)} backfills begin with {given!r}: {several}{more}; give more of the id"
        raise BackfillNotFoundError(msg)
    raise BackfillNotFoundError(f"there is no backfill {given!r} in {path}", remedy=("list",))
