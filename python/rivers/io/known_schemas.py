"""Which schemas the files of an asset have, so that many of one schema are read without a look at each.

Beside the files stands a hidden folder with an empty file for each schema that any of them ever had.
It is made together with the asset's folder: where it is missing, there may be files of earlier versions.
"""

from __future__ import annotations

import shutil
from hashlib import sha256
from typing import TYPE_CHECKING
from uuid import uuid4

from rivers.io.folder import sync_folders
from rivers.io.paths import folder_name

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import polars as pl

    from rivers.io.folder import Folder

_FOLDER = ".schemas"


def note_schemas(files: Folder, asset: str, schemas: Iterable[pl.Schema]) -> None:
    """Note the schemas of an asset's files before the files are written.

    Args:
        files: Where the files are.
        asset: The asset.
        schemas: The files' schemas.
    """
    asset_folder = files.base / folder_name(asset)
    notes = asset_folder / _FOLDER
    for items in dict.fromkeys(tuple(schema.items()) for schema in schemas):
        note = notes / sha256(repr(items).encode()).hexdigest()[:16]
        if note.exists():
            continue
        changed = files.prepare(asset_folder.parent)
        if not notes.exists() and not _make_with_notes(asset_folder):
            return
        note.touch()
        if files.sync:
            sync_folders([notes, asset_folder, asset_folder.parent, *changed])


def have_one_schema(files: Folder, asset: str) -> bool:
    """Whether all files of an asset have the same schema; false if that is not known."""
    try:
        return len(list((files.base / folder_name(asset) / _FOLDER).iterdir())) == 1
    except OSError:
        return False


def _make_with_notes(asset_folder: Path) -> bool:
    """Make an asset's folder and that of the notes in one step; false if there is one without notes."""
    made = asset_folder.with_name(f".{uuid4().hex}.new")
    (made / _FOLDER).mkdir(parents=True)
    try:
        made.rename(asset_folder)
    except OSError:
        shutil.rmtree(made, ignore_errors=True)
        return (asset_folder / _FOLDER).exists()
    return True
