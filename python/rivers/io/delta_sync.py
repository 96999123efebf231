"""Commits of Delta Lake tables in local folders, made durable: `deltalake` syncs no file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from rivers.io.folder import sync_files, sync_folders

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOG = "_delta_log"


def local_folder(uri: str) -> Path | None:
    """Return the folder of a table's place; None if it is not on this machine."""
    if uri.startswith("file://"):
        return Path(url2pathname(urlsplit(uri).path))
    return None if "://" in uri else Path(uri)


def sync_commits(table: Path, version: int) -> None:
    """Make the commits from a version on durable: their files, their entries in the log, and the folders.

    Commits of other writers in between are synced too, since a table without them cannot be read.

    Args:
        table: The table's folder.
        version: The first commit to sync; 0 makes a new table durable.
    """
    log = table / _LOG
    files: list[Path] = []
    folders = {log}
    if version <= 0:
        folders |= {table, *table.parents}
    while (entry := log / f"{version:020}.json").exists():
        added = [table / path for path in _added(entry)]
        files += added
        for path in added:
            folders |= {above for above in path.parents if above.is_relative_to(table)}
        files.append(entry)
        checkpoint = log / f"{version:020}.checkpoint.parquet"
        files += [at for at in (checkpoint, log / "_last_checkpoint") if checkpoint.exists()]
        version += 1
    # Another writer may have removed what its commit replaced.
    sync_files([path for path in files if path.exists()])
    sync_folders(sorted(folder for folder in folders if folder.is_dir()))


def _added(entry: Path) -> Iterator[str]:
    """The paths, below the table, of the files that a commit adds."""
    for line in entry.read_text("utf-8").splitlines():
        added = json.loads(line).get("add")
        if added is not None:
            yield unquote(added["path"])
