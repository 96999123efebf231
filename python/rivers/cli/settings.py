"""The storage that a command uses: the flag, then what `rivers.storage.lookup` finds."""

from pathlib import Path
from typing import TYPE_CHECKING

from rivers.exceptions import StorageError

if TYPE_CHECKING:
    from rivers.client import BackfillClient
    from rivers.storage.storage import Storage


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
    from rivers.storage.location import MEMORY, StorageLocation  # noqa: PLC0415
    from rivers.storage.lookup import find_storage  # noqa: PLC0415

    file = (StorageLocation.parse(path) if path else find_storage()).path
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
