"""The storage that a command uses: the flag, then what `rivers.storage.lookup` finds."""

from typing import TYPE_CHECKING

from rivers.exceptions import StorageError

if TYPE_CHECKING:
    from rivers.client import BackfillClient
    from rivers.storage.location import StorageLocation
    from rivers.storage.storage import Storage


def open_storage(path: str | None) -> "Storage | None":
    """Opens the storage that was named; `None` if none was."""
    from rivers.storage.storage import Storage  # noqa: PLC0415  (--help opens no storage)

    if path is None:
        return None
    return Storage.open(path)


def existing_storage(text: str | None) -> "StorageLocation":
    """Returns the location of a storage that exists; reading one must not create it.

    Raises:
        StorageError: There is no such file.
    """
    from rivers.storage.location import StorageLocation  # noqa: PLC0415
    from rivers.storage.lookup import find_storage  # noqa: PLC0415

    location = StorageLocation.parse(text) if text else find_storage()
    is_there = location.url is not None or (location.path is not None and location.path.exists())
    if not is_there:
        made = "" if text else ", and none in a folder above: 'rivers backfill' makes it"
        msg = f"there is no storage {location.display!r}{made}; name another with --storage PATH"
        raise StorageError(msg)
    return location


def open_client(path: str | None) -> "BackfillClient":
    """Opens an existing storage for the commands that need no assets.

    Raises:
        StorageError: There is no such file, or it cannot be opened.
    """
    from rivers.client import BackfillClient  # noqa: PLC0415
    from rivers.storage.storage import Storage  # noqa: PLC0415

    return BackfillClient(Storage.open(existing_storage(path)))
