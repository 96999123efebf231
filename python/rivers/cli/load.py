"""What a user names: the repository of a module, a backfill of a storage."""

from __future__ import annotations

import difflib
import importlib
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rivers.exceptions import BackfillNotFoundError, ConfigurationError
from rivers.repository.repository import CodeRepository

if TYPE_CHECKING:
    from rivers._storage import BackfillRecord
    from rivers.storage.storage import Storage


def load_repository(given: str, storage: Storage | None) -> CodeRepository:
    """The repository of a module, on the storage that was named, else on its own.

    Args:
        given: `MODULE` or `MODULE:NAME`; a module's name, or the path of a .py file.
        storage: Where backfills are recorded.

    Raises:
        ConfigurationError: The module cannot be imported, or which repository is not clear.
    """
    name, _, wanted = given.partition(":")
    module = _import(name)
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


def _import(name: str) -> Any:
    if not name.endswith(".py"):
        sys.path.insert(0, str(Path.cwd()))  # As `python -m` does.
        return _imported(name, name)
    path = Path(name).resolve()
    if not path.is_file():
        raise ConfigurationError(f"there is no file {name!r}")
    # A file of a package is imported by its full name, so that its relative imports work; and any
    # file by a name that worker processes can import too.
    parts, folder = [path.stem], path.parent
    while (folder / "__init__.py").exists():
        parts, folder = [folder.name, *parts], folder.parent
    sys.path.insert(0, str(folder))
    module = _imported(".".join(parts), name)
    if Path(module.__file__ or "").resolve() != path:
        msg = f"the file {name!r} has the name of another module, {module.__name__}; rename it"
        raise ConfigurationError(msg)
    return module


def _imported(name: str, given: str) -> Any:
    try:
        return importlib.import_module(name)
    except Exception as error:
        # The line of the user's own code, without the machinery of imports.
        frames = traceback.extract_tb(error.__traceback__)
        inside = [frame for frame in frames if not frame.filename.startswith("<")][2:]
        where = f" ({inside[-1].filename}, line {inside[-1].lineno})" if inside else ""
        msg = f"{given} cannot be imported: {type(error).__name__}: {error}{where}"
        raise ConfigurationError(msg) from error


def find_backfill(storage: Storage, given: str) -> BackfillRecord:
    """The record of the backfill that was meant.

    Args:
        storage: Where it is recorded.
        given: An id, the start of exactly one, or `latest`.

    Raises:
        BackfillNotFoundError: None or several are meant.
    """
    store = storage._store  # noqa: SLF001  (the storage's other half)
    record = store.backfill(given)
    if record is not None and not record["manual"]:
        return record
    records = [record for record in store.backfills() if not record["manual"]]
    if not records:
        raise BackfillNotFoundError(f"there is no backfill in {storage.path}")
    if given == "latest":
        return records[0]
    found = [record for record in records if given and record["backfill_id"].startswith(given)]
    if len(found) == 1:
        return found[0]
    if found:
        several = ", ".join(record["backfill_id"] for record in found[:3])
        more = " and more" if len(found) > 3 else ""  # noqa: PLR2004
        msg = f"{len(found)} backfills begin with {given!r}: {several}{more}; give more of the id"
        raise BackfillNotFoundError(msg)
    msg = f"there is no backfill {given!r} in {storage.path}; 'rivers list' shows those there are"
    raise BackfillNotFoundError(msg)
