"""Where everything is recorded, and reading it back."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rivers._rivers import PartitionKey, Store
from rivers._validation import check_count
from rivers.exceptions import ConfigurationError
from rivers.storage.network_mounts import network_file_system
from rivers.storage.run_record import LaunchedBy, RunRecord

if TYPE_CHECKING:
    from collections.abc import Iterable

_log = logging.getLogger("rivers")

PRIORITY_TAG = "rivers/priority"
"""The tag that overrides a backfill's priority."""

STARTED_STATUSES = ("running", "completed", "failed")


class Storage:
    """A record of all backfills and runs, and of the keys of dynamic partitions.

    Example:
        >>> import rivers as rs
        >>> storage = rs.Storage.memory()
        >>> storage.add_dynamic_partitions("customers", ["ada", "bob"])
        >>> storage.get_dynamic_partitions("customers")
        ['ada', 'bob']
    """

    DEFAULT_PATH = Path(".rivers") / "rivers.db"
    """Where it is, if nobody says otherwise."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @staticmethod
    def embedded(path: str | os.PathLike[str]) -> Storage:
        """One SQLite file, made if it is missing; several processes of one machine may share it.

        On a network file system, whose locks SQLite cannot rely on, a warning is logged.

        Args:
            path: The file.

        Raises:
            StorageError: It cannot be opened, or is no storage of rivers.
        """
        # Absolute, since the lock that shows that this process lives is looked up by path later.
        absolute = os.path.abspath(path)  # noqa: PTH100  (it also tidies up `..`)
        storage = Storage(Store.embedded(absolute))
        if kind := network_file_system(Path(absolute)):
            _log.warning(
                "the storage %s lies on a network file system (%s), whose locks cannot be relied on: use it "
                "from one process at a time, or keep it on a disk of this machine", absolute, kind,
            )  # fmt: skip
        return storage

    @staticmethod
    def memory() -> Storage:
        """A storage that lives as long as this object."""
        return Storage(Store.memory())

    @staticmethod
    def default() -> Storage:
        """What `RIVERS_STORAGE` names (a path, or `memory`); else `.rivers/rivers.db` here."""
        named = os.environ.get("RIVERS_STORAGE")
        if named == "memory":
            return Storage.memory()
        return Storage.embedded(named or Storage.DEFAULT_PATH)

    @property
    def path(self) -> str:
        """The file, or `"memory"`."""
        return self._store.path

    def get_run(self, run_id: str) -> RunRecord | None:
        """A run by its id; `None` if there is none.

        Args:
            run_id: As in `run_ids` of a backfill.
        """
        record = self._store.run(run_id)
        return None if record is None else self._run(record)

    def get_runs(self, limit: int | None = None, status: str | None = None) -> list[RunRecord]:
        """The latest runs that have started, newest backfill first.

        Args:
            limit: Most runs; all by default.
            status: Only those with this status: `"running"`, `"completed"` or `"failed"`.

        Raises:
            ConfigurationError: There is no such status, or the limit is no count.
        """
        if status is not None and status not in STARTED_STATUSES:
            allowed = ", ".join(STARTED_STATUSES)
            msg = f"get_runs() lists runs that have started: status is one of {allowed}, not {status!r}"
            raise ConfigurationError(msg)
        if limit is not None:
            check_count("limit", limit, least=0)
        return [self._run(record) for record in self._store.runs(limit, status)]

    def _run(self, record: dict[str, Any]) -> RunRecord:
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
            launched_by=LaunchedBy("manual")
            if manual
            else LaunchedBy("backfill", backfill["backfill_id"]),
        )
        key, number = backfill["key"], record["run"]
        assets = backfill["assets"]

        def node_names() -> list[str]:
            places = self._store.plan(key).assets_of(number)
            return assets if places is None else [assets[place] for place in places]

        run._later(  # noqa: SLF001
            partition_keys=lambda: self._store.plan(key).run(number).keys(),
            node_names=(lambda: assets) if len(assets) == 1 else node_names,
        )
        return run

    def get_materialized_partitions(self, asset: str) -> list[PartitionKey]:
        """The partitions for which the asset was ever materialized, each once.

        Args:
            asset: Its name.

        Returns:
            Keys in definition order; where the definition has changed, those of the newest first.
        """
        parts = self._store.ever_materialized(asset)
        return [key for part in parts for key in part.keys()]  # noqa: SIM118  (no dict)

    def add_dynamic_partitions(self, name: str, keys: Iterable[str | PartitionKey]) -> None:
        """Registers keys of a dynamic dimension, in order; those that are there stay where they are.

        Args:
            name: As in `PartitionsDefinition.dynamic(name)`.
            keys: The keys.

        Raises:
            PartitionDefinitionError: A key is empty or holds a reserved character.
        """
        if isinstance(keys, str):
            msg = f"keys must be a list of str, got the str {keys!r}"
            raise TypeError(msg)
        self._store.add_dynamic(name, [text for key in keys for text in _texts(key)])

    def delete_dynamic_partition(self, name: str, key: str | PartitionKey) -> bool:
        """Takes a key out of a dynamic dimension. `False`: it was not there."""
        gone = [self._store.delete_dynamic(name, text) for text in _texts(key)]
        return all(gone)

    def get_dynamic_partitions(self, name: str) -> list[str]:
        """The keys of a dynamic dimension, in order of registration."""
        return self._store.dynamic(name)

    def has_dynamic_partition(self, name: str, key: str | PartitionKey) -> bool:
        """Whether a key is registered."""
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
