"""The place of a handler's files: a folder, a URL or a store, with a prefix."""

from __future__ import annotations

import os
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, get_args
from urllib.parse import urlsplit
from urllib.request import url2pathname

from rivers.exceptions import ConfigurationError
from rivers.io.folder import Folder
from rivers.io.objects import Objects, open_store

if TYPE_CHECKING:
    from collections.abc import Mapping

    from obstore.store import ObjectStore

    from rivers.io.files import Files


def files_at(
    base: str | os.PathLike[str] | ObjectStore | None,
    storage_options: Mapping[str, Any] | None,
    *,
    store: ObjectStore | None = None,
    prefix: str = "",
    sync: bool = True,
) -> Files:
    """Return the files at a place.

    Args:
        base: A folder, a URL (`s3://`, `gs://`, `az://`, `memory://`, `file://`), or an `obstore` store.
        storage_options: The configuration of the URL's store.
        store: An `obstore` store, in the place of `base`.
        prefix: A folder below the place, which holds all files.
        sync: Whether a file in a folder is made durable before the call that writes it returns.

    Raises:
        ConfigurationError: If `obstore` is not installed, the store cannot be opened with these
            options, or `prefix` leads out of the place.
        TypeError: If neither or both of `base` and `store` are given, or one has the wrong type.
    """
    if (base is None) == (store is None):
        given = "both" if store is not None else "neither"
        msg = f"give either a folder or URL, or store=; got {given}"
        raise TypeError(msg)
    inner = prefix_path(prefix)
    if store is not None and isinstance(store, str | os.PathLike):
        msg = f"store must be an obstore store, got {store!r}; give a folder or URL without store="
        raise TypeError(msg)
    place = store if base is None else base
    url = place if isinstance(place, str) and "://" in place else None
    if url is not None and urlsplit(url).scheme != "file":
        return Objects(open_store(url, storage_options), url, inner, storage_options)
    if storage_options is not None:
        msg = f"storage_options are for the URL of an object store, such as 's3://...', not for {place!r}"
        raise ConfigurationError(msg)
    if url is not None:
        return Folder(url2pathname(urlsplit(url).path), inner, sync=sync)
    if isinstance(place, str | os.PathLike):
        return Folder(place, inner, sync=sync)
    if type(place).__module__.partition(".")[0] == "obstore":
        from obstore.store import ObjectStore  # noqa: PLC0415  (an extra)

        if isinstance(place, get_args(ObjectStore)):
            return Objects(place, repr(place), inner)
    msg = f"values are kept in a folder, at a URL or in an obstore store, not in {place!r}"
    raise TypeError(msg)


def prefix_path(prefix: str) -> PurePath:
    """Return a prefix as a relative path.

    Raises:
        ConfigurationError: If it is absolute, or leads out of its place.
        TypeError: If it is no text.
    """
    if not isinstance(prefix, str):
        msg = f"prefix must be a str, got {prefix!r}"
        raise TypeError(msg)
    parts = prefix.replace("\\", "/").removesuffix("/").split("/") if prefix else []
    if any(part in ("", ".", "..") or ":" in part or "\0" in part for part in parts):
        msg = (
            f"prefix must be a relative folder without '..', such as 'v1' or 'v1/x', got {prefix!r}"
        )
        raise ConfigurationError(msg)
    return PurePath(*parts)
