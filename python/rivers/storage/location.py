"""Where a storage is, parsed once from what a user writes."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from rivers.exceptions import ConfigurationError

DEFAULT_PATH = Path(".rivers") / "rivers.db"
"""The file that is used if no storage is named or found, relative to the working directory."""

MEMORY: Final = "memory"
"""The name of a storage that lives as long as its object."""

_POSTGRES = re.compile(r"postgres(ql)?://")
"""The start of the URL of a PostgreSQL server."""

_CREDENTIALS = re.compile(r"(?<=//)([^:@]*)(:.*)?@")
"""Who connects to such a server, in what stands before the query; a password may contain anything."""

_HOSTS = re.compile(r"\w+://[^:@/]*(:\d+)?(,[^:@/]*(:\d+)?)*(/[^:@]*)?")
"""What stands before the query where nobody is named."""

_PASSWORD = re.compile(r"(?<![^&])password=[^&]*&?")
"""The other place where a password may stand."""

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
"""The start of a URL. A scheme has two letters or more: one letter is a drive, as in `C:\\data`."""


@dataclass(frozen=True)
class StorageLocation:
    """A file, the memory of this process, or a schema of a PostgreSQL server.

    Attributes:
        kind: `"file"`, `"memory"` or `"postgres"`.
        path: The file as it was given, perhaps relative; `None` for all others.
        url: The server's URL, which may hold a password; `None` for all others.
    """

    kind: Literal["file", "memory", "postgres"]
    path: Path | None = None
    url: str | None = field(default=None, repr=False)

    @staticmethod
    def parse(
        text: str | os.PathLike[str], relative_to: str | os.PathLike[str] | None = None
    ) -> StorageLocation:
        """Reads a location.

        Args:
            text: The path of a file, `memory`, or a URL `postgresql://...`.
            relative_to: The folder that a relative path starts from; the working directory by default.

        Raises:
            ConfigurationError: The text is empty, or a URL of another kind.

        Example:
            >>> from rivers.storage.location import StorageLocation
            >>> StorageLocation.parse("runs.db", relative_to="data").display
            'data/runs.db'
            >>> StorageLocation.parse("memory").kind
            'memory'
        """
        if text == MEMORY:
            return StorageLocation("memory")
        if isinstance(text, str) and _POSTGRES.match(text):
            return StorageLocation("postgres", url=text)
        return StorageLocation.file(text, relative_to)

    @staticmethod
    def file(
        path: str | os.PathLike[str], relative_to: str | os.PathLike[str] | None = None
    ) -> StorageLocation:
        """The location of a file, even of one that is called `memory`.

        Args:
            path: The path of the file.
            relative_to: The folder that a relative path starts from; the working directory by default.

        Raises:
            ConfigurationError: The path is empty, or a URL.
        """
        text = os.fspath(path)
        if not text:
            msg = f"the storage is an empty text; it is the path of a file, or {MEMORY!r}"
            raise ConfigurationError(msg)
        if url := _URL.match(text):
            # Only the scheme is shown: the rest of a URL may hold a password.
            hint = f"; did you mean {MEMORY!r}?" if url[1] == MEMORY else ""
            msg = (
                f"the storage is a URL ({url[0]}...), and there is no storage of the kind {url[1]!r}; "
                f"it is the path of a file, {MEMORY!r}, or a URL postgresql://...{hint}"
            )
            raise ConfigurationError(msg)
        return StorageLocation("file", Path(relative_to or "") / text)

    @property
    def display(self) -> str:
        """The location in messages: the path, `memory`, or the URL without its password."""
        if self.url is not None:
            return _without_password(self.url)
        return MEMORY if self.path is None else str(self.path)

    @property
    def log_folder(self) -> Path:
        """The folder for the logs of detached backfills: `logs` beside the file or the default file."""
        return (self.path or DEFAULT_PATH).absolute().parent / "logs"

    def make_log_folder(self) -> Path:
        """Creates the folder for logs; folders that are missing become readable by this user only."""
        folder = self.log_folder
        for missing in reversed(
            [place for place in (folder, *folder.parents) if not place.exists()]
        ):
            missing.mkdir(mode=0o700, exist_ok=True)
        return folder


def _without_password(url: str) -> str:
    base, mark, query = url.partition("?")
    if "@" not in base and not _HOSTS.fullmatch(base):
        return f"{url.partition('://')[0]}://..."  # A password that contains a question mark.
    return _CREDENTIALS.sub(r"\1@", base) + mark + _PASSWORD.sub("", query)
