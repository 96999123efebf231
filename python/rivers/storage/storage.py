"""`Storage`: where everything is recorded."""

from __future__ import annotations

import datetime as dt
import logging
import os
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rivers._rivers import PartitionKey, Store
from rivers._validation import check_count
from rivers.exceptions import ConfigurationError, StorageError
from rivers.storage.events import StoredEvent, event_of
from rivers.storage.location import DEFAULT_PATH, MEMORY, StorageLocation
from rivers.storage.lookup import find_storage
from rivers.storage.network_mounts import network_file_system
from rivers.storage.run_record import LaunchedBy, RunRecord, block_reason

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rivers._storage import RunData

_log = logging.getLogger("rivers")

PRIORITY_TAG = "rivers/priority"
"""The tag that overrides a backfill's priority."""

STARTED_STATUSES = ("running", "completed", "failed")


class StorageCopy(NamedTuple):
    """What `Storage.copy_to` copied.

    Attributes:
        backfills: Number of backfills and manual runs.
        known: Number of those that the target had already, with the same records.
        runs: Number of runs that were copied.
    """

    backfills: int
    known: int
    runs: int


class StoredPool(NamedTuple):
    """A pool whose slots are set in a storage.

    Attributes:
        slots: Number of its slots.
        lent: How many of them processes have for their runs.
        waiting: How many slots they wait for.
    """

    slots: int
    lent: int
    waiting: int


MAX_SLOTS = 1_000_000
"""The largest pool."""


def _lock_folder() -> Path:
    """The folder on this machine where owners of backfills show that they are alive."""
    user = os.geteuid() if hasattr(os, "geteuid") else 0
    folder = Path(tempfile.gettempdir()) / f"rivers-{user}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if hasattr(os, "geteuid") and folder.lstat().st_uid != user:
        msg = f"{folder} belongs to another user"
        raise StorageError(msg)
    return folder


class Storage:
    """A record of all backfills and runs, and of the keys of dynamic partitions.

    Example:
        >>> import rivers as rs
        >>> storage = rs.Storage.memory()
        >>> storage.add_dynamic_partitions("customers", ["ada", "bob"])
        >>> storage.get_dynamic_partitions("customers")
        ['ada', 'bob']
    """

    DEFAULT_PATH = DEFAULT_PATH
    """The file that is used if no storage is named or found, relative to the working directory."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @staticmethod
    def open(
        location: str | os.PathLike[str] | StorageLocation, *, read_only: bool = False
    ) -> Storage:
        """Opens the storage at a location.

        Args:
            location: The path of a file, `"memory"`, or a URL `postgresql://...`; see `postgres`.
            read_only: Whether the storage is only read: it must exist, is not migrated, and nothing is
                written to it.

        Raises:
            ConfigurationError: The location is empty, or a URL of an unknown kind.
            StorageError: The storage cannot be opened; with `read_only`, also if it is missing or must be
                migrated first.

        Example:
            >>> import rivers as rs
            >>> rs.Storage.open("memory")
            <Storage memory>
        """
        if not isinstance(location, StorageLocation):
            location = StorageLocation.parse(location)
        if location.url is not None:
            return Storage.postgres(location.url, read_only=read_only)
        if location.path is None:
            return Storage.memory()
        if read_only:
            return Storage(Store.open_read_only(location.path.absolute()))
        return Storage.embedded(location.path)

    @staticmethod
    def embedded(path: str | os.PathLike[str]) -> Storage:
        """Opens one SQLite file, which several processes of one machine may share.

        The file is created if it is missing. If it is on a network file system, whose locks SQLite cannot
        rely on, a warning is logged.

        Args:
            path: The file.

        Raises:
            ConfigurationError: The path is empty, or a URL.
            StorageError: The file cannot be opened, or is no storage of rivers.
        """
        StorageLocation.file(path)
        # Absolute, because the lock that shows that this process is alive is looked up by path later.
        absolute = os.path.abspath(path)  # noqa: PTH100  (it also tidies up `..`)
        storage = Storage(Store.embedded(absolute))
        if kind := network_file_system(Path(absolute)):
            _log.warning(
                "the storage %s is on a network file system (%s), whose locks cannot be relied on: use it "
                "from one process at a time, or keep it on a disk of this machine", absolute, kind,
            )  # fmt: skip
        return storage

    @staticmethod
    def memory() -> Storage:
        """Opens a storage that lives as long as this object."""
        return Storage(Store.memory())

    @staticmethod
    def postgres(url: str, *, read_only: bool = False) -> Storage:
        """Opens a schema of a PostgreSQL server, which processes on any number of machines may share.

        The schema is created and migrated, by one process at a time. Of the URL, `schema` names it (by
        default `rivers`); `sslmode`, `sslrootcert`, `sslcert`, `sslkey`, several hosts and
        `target_session_attrs` mean what they mean to libpq. The password is never shown.

        Args:
            url: `postgresql://USER:PASSWORD@HOST:PORT/DATABASE?schema=NAME`.
            read_only: Whether nothing is written or migrated: a role that may only read suffices.

        Raises:
            ConfigurationError: The URL cannot be read.
            StorageError: The server cannot be reached, or refuses the role; or the schema must be migrated
                first, or was written by a newer rivers.
        """
        if StorageLocation.parse(url).url is None:
            msg = "the URL of a server begins with postgresql://"
            raise ConfigurationError(msg)
        return Storage(Store.postgres(url, _lock_folder(), read_only))

    @staticmethod
    def default() -> Storage:
        """Opens the storage that is meant where none is named.

        It is the first of these: what the variable `RIVERS_STORAGE` names; `storage` in `[tool.rivers]` of
        the nearest pyproject.toml upwards; the nearest folder `.rivers` upwards that belongs to this user;
        `.rivers/rivers.db` in the working directory. The command line finds it in the same way.

        Raises:
            ConfigurationError: What names the storage cannot be read, or is not valid.
            StorageError: The storage cannot be opened, or `.rivers` belongs to another user.
        """
        return Storage.open(find_storage())

    @property
    def path(self) -> str:
        """The file, or `"memory"`."""
        return self._store.path

    @property
    def values_folder(self) -> Path | None:
        """The folder beside a file that has the values of assets without a handler; `None` for all others."""
        values = self._store.values
        return None if values is None else values.folder

    @staticmethod
    def schema_versions(location: str | os.PathLike[str] | StorageLocation) -> tuple[int, int]:
        """Returns the version of a storage's schema, and the newest version that this package knows.

        Args:
            location: The file, or a server's URL; it is not migrated.

        Raises:
            StorageError: It cannot be read, or is no storage of rivers.
        """
        if not isinstance(location, StorageLocation):
            location = StorageLocation.parse(location)
        if location.url is not None:
            return Store.postgres_schema(location.url)
        return Store.schema((location.path or DEFAULT_PATH).absolute())

    def check(self) -> list[str]:
        """Checks the file and compares its counts with its records; others may use it meanwhile.

        Returns:
            What is wrong, one sentence each; empty if nothing is.

        Raises:
            StorageError: It cannot be read.
        """
        return self._store.check()

    def pools(self) -> dict[str, StoredPool]:
        """Returns the pools whose slots are set in this storage, by name.

        Example:
            >>> import rivers as rs
            >>> storage = rs.Storage.memory()
            >>> storage.set_pool("warehouse", 4)
            >>> storage.pools()
            {'warehouse': StoredPool(slots=4, lent=0, waiting=0)}
        """
        return {name: StoredPool(*rest) for name, *rest in self._store.pools()}

    def set_pool(self, name: str, slots: int | None) -> None:
        """Sets how many slots a pool has, for the runs of all processes that share this storage.

        Each process uses a share, which ends with its lease if the process dies. It applies at once: also to
        backfills in progress, whose runs in flight keep what they hold. `CodeRepository(pool_limits=)` limits
        a process further.

        Args:
            name: The pool, as in `Asset(pool=)`.
            slots: Number of slots; 0 holds all of its runs back, and `None` removes the limit.

        Raises:
            ConfigurationError: `name` is empty, or `slots` is not a count.
            StorageError: The storage cannot be written.
        """
        if not isinstance(name, str) or not name:
            msg = f"a pool's name is a text, not {name!r}"
            raise ConfigurationError(msg)
        if slots is not None and check_count("slots", slots, least=0) > MAX_SLOTS:
            msg = f"a pool has at most {MAX_SLOTS:,} slots, not {slots:,}"
            raise ConfigurationError(msg)
        self._store.set_pool(name, slots)

    def prune(self, older_than: dt.timedelta, *, dry_run: bool = False) -> int:
        """Removes the records of backfills and manual runs that ended some time ago.

        With them go the values that they stored last beside a file (those of assets without a handler); what
        other handlers stored stays where it is. Partitions that nothing else materialized are missing again
        for `only_missing`: report them first (`report_materialized`) if they are not to be executed again.
        What has not ended is kept, however old. Other processes may run backfills meanwhile: they wait for
        short transactions only.

        Args:
            older_than: How long ago a backfill ended at least.
            dry_run: Whether nothing is removed, and only counted.

        Returns:
            How many backfills and manual runs were removed, or would be.

        Raises:
            ConfigurationError: `older_than` is negative, or no timedelta.
            StorageError: The storage cannot be written. What is left over is removed by the next call.

        Example:
            >>> import datetime as dt
            >>> import rivers as rs
            >>> rs.Storage.memory().prune(dt.timedelta(days=30))
            0
        """
        if not isinstance(older_than, dt.timedelta) or older_than < dt.timedelta(0):
            msg = f"older_than is a timedelta of zero or more, not {older_than!r}"
            raise ConfigurationError(msg)
        return self._store.prune(older_than // dt.timedelta(microseconds=1), remove=not dry_run)

    def copy_to(self, target: Storage) -> StorageCopy:
        """Copies all records into another storage, of any kind, and compares them there.

        Backfills, runs, failures, metadata, reports and dynamic keys are copied; values are not. A copy that
        was cut off is continued by the next call.

        Args:
            target: The other storage; what it has already must be the same.

        Raises:
            ConfigurationError: A process runs a backfill of this storage, or both are one storage.
            StorageError: A storage cannot be read or written, or has another record of a backfill.

        Example:
            >>> import rivers as rs
            >>> rs.Storage.memory().copy_to(rs.Storage.memory())
            StorageCopy(backfills=0, known=0, runs=0)
        """
        if target is self or (self.path != MEMORY and target.path == self.path):
            msg = f"{self.path} cannot be copied into itself"
            raise ConfigurationError(msg)
        return StorageCopy(*self._store.copy_to(target._store))

    def num_backfills(self) -> int:
        """Returns the number of recorded backfills and manual runs."""
        return len(self._store.backfills())

    def get_run(self, run_id: str) -> RunRecord | None:
        """Returns a run by its id; `None` if there is none.

        Args:
            run_id: As in `run_ids` of a backfill.
        """
        record = self._store.run(run_id)
        return None if record is None else self._run(record)

    def get_runs(self, limit: int | None = None, status: str | None = None) -> list[RunRecord]:
        """Returns the latest runs that have started, those of the newest backfill first.

        Args:
            limit: Maximum number of runs; all by default.
            status: Only runs with this status: `"running"`, `"completed"` or `"failed"`.

        Raises:
            ConfigurationError: `status` is none of these, or `limit` is not a count.
        """
        if status is not None and status not in STARTED_STATUSES:
            allowed = ", ".join(STARTED_STATUSES)
            msg = f"get_runs() lists runs that have started: status is one of {allowed}, not {status!r}"
            raise ConfigurationError(msg)
        if limit is not None:
            check_count("limit", limit, least=0)
        return [self._run(record) for record in self._store.runs(limit, status)]

    def _run(self, record: RunData) -> RunRecord:
        backfill = record["backfill"]
        tags = list(backfill["tags"])
        if all(name != PRIORITY_TAG for name, _ in tags):
            tags.append((PRIORITY_TAG, str(backfill["priority"])))
        manual = backfill["manual"]
        run = RunRecord(
            run_id=record["run_id"],
            status=record["status"],
            tags=tags,
            priority=backfill["priority"],
            started_at=record["started_at"],
            ended_at=record["ended_at"],
            error=record["error"],
            launched_by=LaunchedBy.manual()
            if manual
            else LaunchedBy.backfill(backfill["backfill_id"]),
            block_reason=block_reason(record),
        )
        key, number = backfill["key"], record["run"]
        assets = backfill["assets"]

        def node_names() -> list[str]:
            indices = self._store.plan(key).assets_of(number)
            return assets if indices is None else [assets[index] for index in indices]

        run._later(  # noqa: SLF001
            partition_keys=lambda: self._store.plan(key).run(number).keys(),
            partition_key=lambda: self._store.plan(key).run(number).covering_key(),
            node_names=(lambda: assets) if len(assets) == 1 else node_names,
        )
        return run

    def get_events_for_run(self, run_id: str) -> list[StoredEvent]:
        """Returns the events of a run, oldest first; `[]` if there is no such run.

        Args:
            run_id: As in `run_ids` of a backfill.
        """
        return [event_of(data) for data in self._store.events_of_run(run_id)]

    def get_events_for_asset(self, asset_key: str, limit: int = 100) -> list[StoredEvent]:
        """Returns the latest events of an asset, newest first; `[]` if nothing is recorded of it.

        Args:
            asset_key: The name of the asset.
            limit: Maximum number of events.

        Raises:
            ConfigurationError: `limit` is not a count.

        Example:
            >>> import rivers as rs
            >>> days = rs.PartitionsDefinition.daily("2024-01-01", end="2024-01-04")
            >>> @rs.Asset(partitions_def=days)
            ... def sales() -> int:
            ...     return 1
            >>> storage = rs.Storage.memory()
            >>> repo = rs.CodeRepository([sales]).resolve(storage)
            >>> week = rs.PartitionKeyRange.single("2024-01-01", "2024-01-03")
            >>> _ = repo.backfill(partition_range=week, strategy=rs.BackfillStrategy.single_run())
            >>> made = [
            ...     event.partition_key
            ...     for event in storage.get_events_for_asset("sales")
            ...     if event.event_type == "Materialization"
            ... ]
            >>> len(made)
            3
        """
        check_count("limit", limit, least=0)
        return [event_of(data) for data in self._store.events_of_asset(asset_key, limit)]

    def get_latest_materialization(
        self, asset_key: str, partition: str | None = None
    ) -> StoredEvent | None:
        """Returns the newest materialization of an asset; `None` if there is none.

        Args:
            asset_key: The name of the asset.
            partition: The text of a partition, such as `us` or `date=2024-01-01|region=us`; any by
                default.
        """
        data = self._store.latest_materialization(asset_key, partition)
        return None if data is None else event_of(data)

    def get_run_progress(self, run_id: str) -> tuple[int, int]:
        """Returns how many steps of a run have ended, and how many there are.

        A multi-asset is one step, and partitions are not counted. Steps are recorded when their run ends:
        until then none has ended.

        Args:
            run_id: As in `run_ids` of a backfill.

        Returns:
            Both numbers; `(0, 0)` if there is no such run.
        """
        return self._store.run_progress(run_id) or (0, 0)

    def get_materialized_partitions(self, asset: str) -> list[PartitionKey]:
        """Returns the partitions for which an asset was ever materialized, each once.

        Args:
            asset: The name of the asset.

        Returns:
            Keys in the order of the definition; if that has changed, those of the newest one first.
        """
        parts = self._store.ever_materialized(asset)
        return [key for part in parts for key in part.keys()]  # noqa: SIM118  (no dict)

    def add_dynamic_partitions(self, name: str, keys: Iterable[str | PartitionKey]) -> None:
        """Registers keys of a dynamic dimension in order; registered keys keep their position.

        Args:
            name: The name in `PartitionsDefinition.dynamic(name)`.
            keys: The keys.

        Raises:
            PartitionDefinitionError: A key is empty or holds a reserved character.
        """
        if isinstance(keys, str):
            msg = f"keys must be a list of str, got the str {keys!r}"
            raise TypeError(msg)
        self._store.add_dynamic(name, [text for key in keys for text in _texts(key)])

    def delete_dynamic_partition(self, name: str, key: str | PartitionKey) -> bool:
        """Removes a key of a dynamic dimension; returns whether it was registered."""
        deleted = [self._store.delete_dynamic(name, text) for text in _texts(key)]
        return all(deleted)

    def get_dynamic_partitions(self, name: str) -> list[str]:
        """Returns the keys of a dynamic dimension, in order of registration.

        Warns:
            UserWarning: No key is registered under that name, which may be misspelled.
        """
        keys = self._store.dynamic(name)
        if not keys:
            msg = (
                f"No dynamic partitions found for {name!r}; add_dynamic_partitions() registers keys"
            )
            warnings.warn(msg, UserWarning, stacklevel=2)
        return keys

    def has_dynamic_partition(self, name: str, key: str | PartitionKey) -> bool:
        """Returns whether a key is registered."""
        return set(_texts(key)) <= set(self._store.dynamic(name))

    def __repr__(self) -> str:
        return f"<Storage {self.path}>"


def _texts(key: str | PartitionKey) -> list[str]:
    if isinstance(key, PartitionKey.Single):
        return key.key
    if isinstance(key, str):
        return [key]
    msg = f"a dynamic partition's key must be a str, got {key!r}"
    raise TypeError(msg)


def store_of(storage: Storage) -> Store:
    """The storage as the core knows it, for the parts of the package that pass it to the core."""
    return storage._store  # noqa: SLF001  (the one place outside the class that reads it)
