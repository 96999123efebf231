"""Stub of the binding: the storage, its records and its tables. Internal to the package."""

import datetime as dt
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Literal, Self, TypeAlias, TypedDict, final, type_check_only

from rivers._execution import Engine
from rivers._partitions import PartitionKey, PartitionMapping
from rivers._planning import ArrowTable, Plan, Selection, Space
from rivers.partitions import PartitionKeyRange

_BackfillState: TypeAlias = Literal["in_progress", "completed", "failed", "canceled"]
"""Status of a backfill as it is stored."""

_RunState: TypeAlias = Literal["pending", "running", "completed", "failed", "canceled"]
"""Status of a run."""

@type_check_only
class BackfillSnapshot(TypedDict):
    """What a live backfill has of its record without a look at the storage."""

    manual: bool
    """Whether it is the run of a `materialize()` and not a backfill."""
    status: _BackfillState
    """Status of the backfill."""
    num_partitions: int
    """Number of partitions, those of all layers."""
    num_runs: int
    """Number of planned runs."""
    completed: int
    """Number of partitions that completed."""
    failed: int
    """Number of partitions that failed."""
    canceled: int
    """Number of partitions that were not executed because the backfill ended before."""
    tags: list[tuple[str, str]]
    """Tags of each run: name and value."""
    paused: bool
    """Whether no run starts until the backfill is unpaused."""

@type_check_only
class LiveSnapshot(BackfillSnapshot):
    """What an engine has of a backfill that it runs."""

    is_written: bool
    """Whether a commit is being written: others may find more in the storage already."""

@type_check_only
class BackfillRecord(BackfillSnapshot):
    """A backfill, or the request of a manual run, as it is stored. Times are UTC."""

    key: int
    """Number of the backfill in the storage."""
    backfill_id: str
    """Id of the backfill: unique, and sorted by time."""
    assets: list[str]
    """Names of the assets, in the order in which a run executes them."""
    strategy: str
    """Strategy that groups the partitions into runs, as text."""
    stop_on_failure: bool
    """Whether no run starts after a partition has failed."""
    max_concurrency: int
    """Maximum number of runs in flight."""
    priority: int
    """Priority in the run queue; runs of a higher one start first."""
    config: str | None
    """Configuration of the assets as JSON text, if any was given."""
    retry: str | None
    """Retry policy as JSON text, if the request has one of its own."""
    created_at: dt.datetime
    """When the backfill was submitted."""
    ended_at: dt.datetime | None
    """When the backfill ended, if it has."""
    max_failures: int | float | None
    """Failed partitions at which the backfill stops: a count, or a share as a `float`."""
    max_starts_per_second: float | None
    """Maximum number of runs that start in a second."""
    refuse_overlap: bool
    """Whether it was refused if it had shared partitions with a backfill in progress."""
    canary: int | None
    """Number of runs that must succeed before the others start."""
    timeout: float | None
    """Maximum duration of a call of a function, in seconds."""
    running: int
    """Number of runs in flight at the last commit."""
    owner: str | None
    """Name of the process that has the right to run it, if it has not ended."""
    workers: str | None
    """What its executor said last of its workers, as JSON, while it is in progress."""

@type_check_only
class RunData(TypedDict):
    """A run as it is stored. Times are UTC."""

    run_id: str
    """Id of the run: that of its backfill, and its number."""
    run: int
    """Number of the run in its backfill, from 0."""
    backfill: BackfillRecord
    """Record of the backfill, with what all of its runs share."""
    status: _RunState
    """Status of the run."""
    started_at: dt.datetime | None
    """When the run started, if it has."""
    ended_at: dt.datetime | None
    """When the run ended, if it has."""
    error: str | None
    """First error of the run, in a line, if it failed."""

@type_check_only
class ErrorGroup(TypedDict):
    """Errors of one type whose messages differ only in what varies. Times are UTC."""

    error_type: str
    """Type of the errors."""
    message: str
    """Message of the errors, with `…` for what varies."""
    count: int
    """Number of partitions that failed; one with several errors counts for its first."""
    first_at: dt.datetime
    """When the first run with such an error ended."""
    last_at: dt.datetime
    """When the last run with such an error ended."""
    partition: str
    """First partition that failed, as text."""
    traceback: str | None
    """Traceback of the first error, if it was an exception."""

@type_check_only
class RunError(TypedDict):
    """An error of one run."""

    asset: str
    """Name of the asset."""
    partition: str | None
    """The partition as text, if a single one of the run failed."""
    attempt: int | None
    """Number of the attempt, from 1, if another one follows."""
    due_at: dt.datetime | None
    """When the attempt that follows is due (UTC)."""
    error_type: str
    """Type of the error."""
    message: str
    """Message of the error."""
    traceback: str | None
    """Traceback, if it was an exception."""

@type_check_only
class Activity(TypedDict):
    """What the runs of a backfill did over time, in intervals of one length. Times are UTC."""

    start: dt.datetime
    """When the backfill was submitted: the start of the first interval."""
    end: dt.datetime
    """When it ended, or now: the end of the last interval."""
    bins: list[tuple[int, int, int, int]]
    """Number of runs that started, ended and failed in each interval, and microseconds that runs took."""
    lanes: list[bytes] | None
    """For each slot two bytes for each interval, from 0 to 255: the share of the time in which a run was
    executed, and in which one was that failed; `None` if there is too much to place."""
    num_lanes: int
    """Number of slots, of which only the first may be in `lanes`."""
    longest: list[tuple[int, dt.datetime, float, int]]
    """The longest runs: number, start, seconds, and number of failed partitions."""
    waiting: list[tuple[int, int, dt.datetime]]
    """Retries that are due, the earliest first: run, attempt that failed, and when the next one is due."""

@type_check_only
class EventData(TypedDict):
    """Something that happened to an asset, derived from the records of a run."""

    id: str
    """Text that no other event has."""
    event_type: Literal["StepStart", "StepRetry", "Materialization", "StepFailure", "StepSuccess"]
    """What happened."""
    asset_key: str
    """Name of the asset."""
    run_id: str
    """Id of the run."""
    partition_key: PartitionKey | None
    """Partition, or one key for all partitions of the run, if it belongs to any."""
    timestamp: int
    """Nanoseconds since 1970 UTC."""
    error: str | None
    """Error of a failure or a retry."""
    metadata: str | None
    """Metadata of a materialization, a JSON object."""
    code_version: str | None
    """Version of the asset's code, if it declared one."""

@final
class ValueStore:
    """The values beside a file storage. Nothing is opened or created before it is needed."""

    def __new__(cls, storage: str | PathLike[str]) -> Self: ...
    @property
    def storage(self) -> Path:
        """The file of the storage."""

    @property
    def folder(self) -> Path:
        """The folder that has the values."""

    def put(self, asset: str, run_id: str, partitions: Selection, value: bytes | None) -> None:
        """Gathers a pickled value for the next flush.

        Args:
            asset: The asset.
            run_id: The run that made it; empty if none did.
            partitions: The partitions that have the value together.
            value: The value; `None` if it cannot be stored: then an earlier one exists no longer.

        Raises:
            StorageError: The file of a large value cannot be written.
        """

    def recorder(self, asset: str) -> ValueRecorder:
        """What stores the values that an asset returns in runs of one partition, when they are returned."""

    def loader(self, asset: str, space: Space, marks: tuple[type, ...]) -> ValueLoader:
        """What loads the values of an asset for runs of one partition.

        Args:
            asset: The asset.
            space: Its partitions; one without dimensions if it has none.
            marks: Classes of what is stored in place of a value, which the handler has to read.
        """

    def none_recorder(self, asset: str, plan: Plan | None) -> NoneRecorder:
        """What notes the runs of a plan in which an asset returns `None`; without a plan, Rust calls it."""

    def flush(self) -> None:
        """Writes what was put, so that each process finds it.

        Raises:
            StorageError: It cannot be written; the next flush tries again.
        """

    def sync(self) -> None:
        """Writes what was put, so that it survives a loss of power.

        Raises:
            StorageError: It cannot be written.
        """

    def load(self, asset: str, partitions: Selection) -> list[bytes | bool | None]:
        """Returns the pickled value of each partition; partitions with one value share one object.

        Returns:
            `None` for the value `None`, `False` for one that could not be stored, and `True` where nothing
            is stored.

        Raises:
            StorageError: The file cannot be read, or was deleted.
        """

    def available(self, asset: str, partitions: Selection) -> Selection:
        """Returns those of the partitions of an asset that have a value which can be loaded."""

    def lost(self, asset: str, partitions: Selection) -> Selection:
        """Returns those of the partitions of an asset whose latest value could not be stored."""

    def prune(self, backfills: list[str]) -> None:
        """Deletes the values that these backfills and manual runs stored last."""

@final
class ValueLoader:
    """Loads the values of an asset that were stored before a run."""

@final
class ValueRecorder:
    """Stores values that an asset returns when they are returned; called by Rust."""

@final
class NoneRecorder:
    """Notes runs in which an asset returned `None`."""

    def __call__(self, numbers: bytes) -> None:
        """Notes runs by their numbers, 8 bytes each."""

@final
class Store:
    """A storage: everything that is recorded."""

    @staticmethod
    def embedded(path: str | PathLike[str]) -> Store:
        """Opens a file, which is created if it is missing, and migrates it."""

    @staticmethod
    def open_read_only(path: str | PathLike[str]) -> Store:
        """Opens a file that exists, to read it only; it is neither migrated nor written."""

    @staticmethod
    def postgres(url: str, locks: str | PathLike[str], read_only: bool) -> Store:
        """Opens a schema of a server; owners on this machine lock files in the folder `locks`."""

    @staticmethod
    def postgres_schema(url: str) -> tuple[int, int]:
        """The version of a server's schema, 0 if it is not there, and the newest one known."""

    @staticmethod
    def schema(path: str | PathLike[str]) -> tuple[int, int]:
        """Returns the version of a file's schema, and the newest version that this code knows."""

    @staticmethod
    def memory() -> Store:
        """Opens a storage that lives as long as this object."""

    @property
    def path(self) -> str:
        """The file, or `"memory"`."""

    @property
    def values(self) -> ValueStore | None:
        """Where the default handler keeps values; `None` if it keeps them in memory."""

    def backfill(self, id: str) -> BackfillRecord | None:
        """Returns the record of a backfill by its id."""

    def request(self, id: str) -> str | None:
        """Returns the request of a backfill or a manual run as JSON; `None` if there is none."""

    def backfill_by_key(self, key: int) -> BackfillRecord | None:
        """Returns the record of a backfill by its number in the storage."""

    def backfills(self, asset: str | None = None, limit: int | None = None) -> list[BackfillRecord]:
        """Returns the latest backfills and manual runs, newest first; of one asset, if given."""

    def num_backfills(self) -> int:
        """Returns the number of backfills and manual runs."""

    def interrupted(self) -> list[str]:
        """Returns the ids of the backfills that have not ended and that no live process runs, by one look."""

    def is_interrupted(self, id: str) -> bool:
        """Whether no live process runs a backfill that has not ended.

        Where its process may be alive although its lease is over, it looks for a second: a clock may have
        been set.
        """

    def rate(self, id: str) -> float | None:
        """Returns the partitions that a backfill ended per second lately; `None` if unknown."""

    def seconds_per_partition(self, assets: Sequence[str]) -> float | None:
        """Returns the seconds that assets took for a partition lately; `None` if one has no run."""

    def check(self) -> list[str]:
        """Returns what is wrong with the records, a sentence each."""

    def error(self, id: str) -> str | None:
        """Returns the error of a failed backfill in words: its first failure, and the counts."""

    def last_error(self, id: str) -> str | None:
        """Returns the latest failure of a backfill in a line."""

    def error_groups(self, id: str) -> list[ErrorGroup]:
        """Returns the errors of a backfill in groups, that with the most partitions first."""

    def failed_with(self, id: str, error_type: str, message: str | None = None) -> list[Selection]:
        """Returns the partitions that failed with an error of this type, for each layer.

        With `message`, only those of the group with this message.
        """

    def run_errors(self, run_id: str) -> list[RunError]:
        """Returns the errors of a run: those of attempts that were retried, then its own."""

    def activity(self, id: str, now: int, num_bins: int, max_lanes: int) -> Activity:
        """Returns what the runs of a backfill did over time; `now` is in microseconds since 1970 UTC."""

    def failed_assets(self, id: str) -> list[tuple[str, tuple[str, str] | None]]:
        """Returns the assets with a failure in a backfill, each with the error's type and message.

        Without an error, the asset was blocked by others.
        """

    def plan(self, key: int) -> Plan:
        """Returns the plan of a backfill by its number in the storage."""

    def refuse_overlap(self, assets: list[str], plan: Plan) -> None:
        """Raises if a backfill in progress shares partitions of an asset with a plan."""

    def uncompleted(self, id: str) -> list[Selection]:
        """Returns the partitions that a rerun of a backfill executes, for each layer."""

    def pending(self, id: str) -> list[Selection]:
        """Returns the partitions that a resume of a backfill executes, for each layer."""

    def asset_state(self, asset: str, space: Space) -> AssetState:
        """Returns for which partitions of a space an asset is materialized, by what and since when."""

    def skipped(self, asset: str, space: Space) -> Selection | None:
        """Returns the partitions of a space that the latest backfill of each skipped.

        `None`: no backfill ever skipped one.
        """

    def materialized_in(self, ids: Sequence[str], asset: str, space: Space) -> Selection:
        """Returns the partitions of a space for which one of these backfills materialized an asset."""

    def left_by_attempts(self, id: str) -> list[tuple[int, Selection]]:
        """Returns, by index of an asset, what attempts of a backfill's unfinished runs materialized."""

    def ever_materialized(self, asset: str) -> list[Selection]:
        """Returns all partitions that an asset was materialized for, a selection per definition."""

    def run(self, id: str) -> RunData | None:
        """Returns a run by its id."""

    def runs(self, limit: int | None = None, status: str | None = None) -> list[RunData]:
        """Returns the latest runs that have started: those in flight, then those that have ended."""

    def events_of_run(self, id: str) -> list[EventData]:
        """Returns the events of a run, oldest first; none for an unknown run."""

    def events_of_asset(self, asset: str, limit: int) -> list[EventData]:
        """Returns up to `limit` events of an asset, newest first."""

    def latest_materialization(self, asset: str, partition: str | None) -> EventData | None:
        """Returns the newest materialization of an asset; of the partition with this text, if given."""

    def report(
        self,
        asset: str,
        selection: Selection,
        materialized: bool,
        code_version: str | None,
        metadata: str | None,
    ) -> None:
        """Records partitions of an asset as materialized or, without `materialized`, as missing."""

    def prune(self, age: int, remove: bool) -> int:
        """Removes what ended so many microseconds ago or earlier; without `remove`, counts it.

        Raises:
            StorageError: The storage cannot be written; the next call goes on.
        """

    def copy_to(self, target: Store) -> tuple[int, int, int]:
        """Copies what another storage does not have: backfills, those that it had already, and runs.

        Raises:
            ConfigurationError: A process runs a backfill of this storage.
            StorageError: One cannot be read or written, or both have different records of a backfill.
        """

    def pools(self) -> list[tuple[str, int, int, int]]:
        """Returns the pools that are set here: name, slots, those lent, and those that runs wait for."""

    def set_pool(self, name: str, slots: int | None) -> None:
        """Sets the slots of a pool, or removes its limit.

        Raises:
            StorageError: The storage cannot be written.
        """

    def run_progress(self, id: str) -> tuple[int, int] | None:
        """Returns the steps of a run that have ended, and all; `None` for an unknown run."""

    def add_dynamic(self, name: str, keys: Sequence[str]) -> None:
        """Registers keys of a dynamic dimension in order; registered keys keep their position."""

    def delete_dynamic(self, name: str, key: str) -> bool:
        """Removes a key of a dynamic dimension; returns whether it was registered."""

    def dynamic(self, name: str) -> list[str]:
        """Returns the keys of a dynamic dimension, in order of registration."""

@final
class AssetState:
    """For which partitions of a space an asset is materialized, by what and since when."""

    def materialized(self) -> Selection:
        """Returns the partitions that are materialized or skipped, and whose values are not gone."""

    def stored(self) -> Selection:
        """Returns the partitions that runs materialized and whose values are not gone."""

    def gone(self) -> Selection:
        """Returns the partitions whose values are gone."""

    def skipped(self) -> Selection:
        """Returns the partitions that were skipped last."""

    def cells(self, asset: str, stale: Staleness) -> AssetCells:
        """Returns the map of the asset with this name, whose state this is."""

    def stale(
        self,
        code_version: str | None,
        upstreams: Sequence[tuple[AssetState, PartitionMapping | None]],
    ) -> Staleness:
        """Returns the partitions that are out of date, given the assets that this one needs."""

@final
class Staleness:
    """The partitions of an asset that are out of date, by reason."""

    @property
    def early(self) -> Selection:
        """Those whose run started before their window's end."""

    def all(self) -> Selection:
        """Returns all of them."""

def process_id() -> str:
    """Returns the name of this process, which no other one has."""

def now() -> int:
    """Returns the time of the clock that times runs, in microseconds since 1970."""

def backfill_partitions(
    store: Store,
    id: str,
    layer: int,
    status: Sequence[str] | None,
    run_id: bool,
    errors: bool,
) -> ArrowTable:
    """Returns the table of `BackfillClient.backfill_partitions` for one layer of the plan."""

def backfill_runs(store: Store, id: str, status: Sequence[str] | None) -> ArrowTable:
    """Returns the table of `BackfillClient.backfill_runs`."""

def backfills(
    store: Store, engine: Engine | None, status: Sequence[str] | None, limit: int | None
) -> ArrowTable:
    """Returns the table of `BackfillClient.backfills`."""

def partition_status(
    store: Store,
    asset: str,
    status: Sequence[str] | None,
    metadata: bool,
    gone: Selection,
    stale: Staleness,
) -> ArrowTable:
    """Returns the table of `CodeRepository.partition_status`."""

@final
class CellCounts:
    """The counts of a map."""

    @property
    def width(self) -> int:
        """Number of columns."""

    @property
    def height(self) -> int:
        """Number of rows."""

    @property
    def per_column(self) -> int:
        """Number of keys of a column."""

    @property
    def per_row(self) -> int:
        """Number of keys of a row; 0 where the cells continue row by row."""

    def totals(self) -> list[int]:
        """Returns the number of partitions in each status."""

    def cell(self, row: int, column: int) -> list[int]:
        """Returns the number of a cell's partitions in each status."""

    def to_bytes(self, order: Sequence[int], done: Sequence[int]) -> bytes:
        """Returns three bytes for each cell: its first status of `order`, and two shares up to 255.

        Args:
            order: The statuses, by index; 255 stands for a cell without partitions.
            done: The statuses whose share is the third byte; the second is that of the first byte.
        """

_Dimension: TypeAlias = tuple[str, int, bool]
"""Name of a dimension, number of its keys, and whether they are time windows."""

_Window: TypeAlias = tuple[int | None, int | None, Sequence[tuple[int, int]], int, int]
"""Dimensions of rows and columns by index, bounds of each dimension, maximum width and height."""

@final
class BackfillCells:
    """The map of a backfill; it keeps what it has read, and reads what is new."""

    def __new__(cls, store: Store, id: str) -> Self: ...
    def refresh(self) -> None:
        """Reads what was recorded since the last call."""

    @property
    def num_layers(self) -> int:
        """Number of layers of the plan."""

    def dimensions(self, layer: int) -> list[_Dimension]:
        """Returns the dimensions of a layer."""

    def labels(self, layer: int, dim: int, coordinates: Sequence[int]) -> list[str]:
        """Returns the keys at coordinates of a dimension; those that do not exist are left out."""

    def bounds(self, layer: int, range: PartitionKeyRange) -> list[tuple[int, int]]:
        """Returns the coordinates of a range of keys, for each dimension."""

    def count(self, layer: int, window: _Window) -> CellCounts:
        """Counts the partitions of a layer by status."""

    def count_chosen(self, layer: int, window: _Window, chosen: Selection) -> CellCounts:
        """Counts the partitions of a layer: these as failed, all others as completed."""

    def select(
        self, layer: int, bounds: Sequence[tuple[int, int]], states: Sequence[str]
    ) -> Selection:
        """Returns the partitions within bounds that have one of these statuses."""

@final
class AssetCells:
    """The map of an asset, of its partitions as they were when it was made."""

    def __new__(
        cls, space: Space, states: bytes | None, sets: Sequence[tuple[Selection, int]]
    ) -> Self:
        """Makes a map of states by number, in definition order, or of sets with a state each.

        Without `states`, a partition has the state of the last set that contains it, or 0.
        """

    def dimensions(self) -> list[_Dimension]:
        """Returns the dimensions of the asset."""

    def labels(self, dim: int, coordinates: Sequence[int]) -> list[str]:
        """Returns the keys at coordinates of a dimension; those that do not exist are left out."""

    def count(self, window: _Window) -> CellCounts:
        """Counts all partitions by status."""

    def select(self, bounds: Sequence[tuple[int, int]], states: Sequence[str]) -> Selection:
        """Returns the partitions within bounds that have one of these statuses, ascending."""
