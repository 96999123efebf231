"""`BackfillClient`: reads and controls the backfills of a storage, without their assets."""

from __future__ import annotations

import json
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from rivers._rivers import BackfillCells, Engine, now
from rivers._text import did_you_mean, listed
from rivers._validation import (
    check_count,
    check_delay,
    check_max_failures,
    check_priority,
    check_seconds,
)
from rivers._worker_counts import WorkerCounts
from rivers.exceptions import (
    AssetNotFoundError,
    BackfillNotFoundError,
    ConfigurationError,
    ExecutionError,
)
from rivers.status import tables
from rivers.status.backfill_view import BackfillView, seconds_left, view_of
from rivers.status.notifications import Notifier
from rivers.status.results import BackfillStatus, run_ids
from rivers.storage.storage import Storage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    import polars as pl

    from rivers._rivers import Selection, Store
    from rivers._storage import BackfillRecord, LiveSnapshot, RunError
    from rivers.partitions import PartitionKeyRange
    from rivers.status.activity import Activity
    from rivers.status.grid import Bounds, Cells, Grid
    from rivers.storage.run_record import RunRecord

STATUSES = ("in_progress", "completed", "failed", "canceled")
"""The statuses of a backfill."""

_MIN_POLL_SECONDS, _MAX_POLL_SECONDS = 0.001, 0.25
"""The first and the longest time between two checks whether a backfill of another process has ended."""

_LIVE_WAIT_SECONDS = 1.0
"""Seconds of one wait for a backfill of this process."""

_MAX_KNOWN_GRIDS = 8
"""Number of backfills whose recorded outcomes a client keeps, so that a map reads only what is new."""

_LEASE_SECONDS = 15.0
"""Lease of the engine that writes a control request; it holds a backfill only to end one at once."""


class Controls(Protocol):
    """The verbs that change a backfill."""

    def cancel(self, backfill_id: str, force_after: float | None = None, /) -> bool:
        """Cancels a backfill, after a while by force; `True` if it is live in this process."""

    def set_paused(self, backfill_id: str, paused: bool, /) -> None:
        """Pauses or unpauses a backfill."""

    def change(
        self,
        backfill_id: str,
        /,
        *,
        max_concurrency: int | None = None,
        priority: int | None = None,
        max_failures: float | None = None,
    ) -> None:
        """Changes the limits of a backfill."""


class LiveBackfills(Controls, Protocol):
    """The backfills that run in this process, where changes apply at once and reads cost no query."""

    @property
    def engine(self) -> Engine:
        """The engine that runs them."""

    def snapshot(self, backfill_id: str, /) -> LiveSnapshot | None:
        """The record of a backfill that is live in this process."""

    def wait(self, key: int, timeout: float, /) -> bool:
        """Waits for the end of a backfill of this process; `True` if it has ended.

        Raises:
            StorageError: It stopped here, since the storage failed.
        """


class BackfillClient:
    """Reads and controls the backfills of a storage, from any process and without their assets.

    A client never migrates a storage that is opened for reading only, and registers no process. What
    needs assets, such as launching, rerunning and resuming, is done by a `CodeRepository`.

    Methods that act are verbs, `get_` returns an object or `None`, and plural nouns return Polars tables.

    Args:
        storage: The storage, or the path of its file; `Storage.default()` if it is left out.
        live: The backfills of this process, if it runs any; a `CodeRepository` passes its own.

    Raises:
        StorageError: The storage cannot be opened.

    Example:
        >>> import rivers as rs
        >>> @rs.Asset(partitions_def=rs.PartitionsDefinition.static_(["us", "eu", "asia"]))
        ... def sales(context: rs.AssetExecutionContext) -> int:
        ...     return len(context.partition_key)
        >>> storage = rs.Storage.memory()
        >>> repo = rs.CodeRepository([sales]).resolve(storage)
        >>> everywhere = rs.PartitionKeyRange.single("us", "asia")
        >>> launched = repo.backfill(partition_range=everywhere, block=False)
        >>> client = rs.BackfillClient(storage)
        >>> client.wait_backfill(launched.backfill_id, timeout=30).status
        'completed'
        >>> client.backfills().select("status", "completed").rows()
        [('completed', 3)]
    """

    def __init__(
        self,
        storage: Storage | str | os.PathLike[str] | None = None,
        *,
        live: LiveBackfills | None = None,
    ) -> None:
        if storage is None:
            storage = Storage.default()
        if isinstance(storage, str | os.PathLike):
            storage = Storage.open(storage)
        if not isinstance(storage, Storage):
            msg = f"storage must be a Storage or the path of one, got {storage!r}"
            raise TypeError(msg)
        self._storage = storage
        self._live = live
        # By process as well: a forked child shares no locks with its parent.
        self._known_cells: dict[tuple[int, str], BackfillCells] = {}

    @property
    def storage(self) -> Storage:
        """The storage that it reads."""
        return self._storage

    @property
    def _store(self) -> Store:
        return self._storage._store  # noqa: SLF001  (the client is the one reader outside storage/)

    # -- one backfill ------------------------------------------------------------------------------

    def get_backfill(self, backfill_id: str) -> BackfillStatus | None:
        """Returns how a backfill stands, as far as it is recorded; `None` if no backfill has the id.

        The cost does not grow with the backfill.

        Args:
            backfill_id: The id of the backfill.
        """
        store = self._store
        # The engine answers for a backfill that runs in this process without waiting for the storage or
        # the interpreter, which beside compute-bound functions takes milliseconds to acquire again. While
        # it commits, only the storage can tell whether others see that commit already.
        live = None if self._live is None else self._live.snapshot(backfill_id)
        is_current = live is not None and not live["is_written"]
        record: Any = live if is_current else store.backfill(backfill_id)
        if record is None or record["manual"]:
            return None
        in_progress = record["status"] == "in_progress"
        status = BackfillStatus(
            backfill_id=backfill_id,
            status=record["status"],
            total_partitions=record["num_partitions"],
            completed_partitions=record["completed"],
            failed_partitions=record["failed"],
            canceled_partitions=record["canceled"],
            error=None if in_progress else store.error(backfill_id),
            tags=record["tags"],
            paused=record["paused"],
        )
        left = (
            record["num_partitions"] - record["completed"] - record["failed"] - record["canceled"]
        )
        status._later(  # noqa: SLF001
            run_ids=lambda: run_ids(backfill_id, record["num_runs"]),
            rate=lambda: store.rate(backfill_id) if in_progress else None,
            eta=lambda: seconds_left(left, status.rate),
            workers=lambda: WorkerCounts.of(store.backfill(backfill_id)) if in_progress else None,
        )
        status.__dict__["_cells"] = lambda width, height: self.cells(
            backfill_id, width=width, height=height
        )
        return status

    def get_view(self, backfill_id: str) -> BackfillView | None:
        """Returns the record of a backfill with its rate, and whether its process is dead.

        Args:
            backfill_id: The id of the backfill; `None` is returned if no backfill has it.
        """
        # Read before the record: a backfill that ends in between has ended, and is not interrupted.
        interrupted = backfill_id in self._store.interrupted()
        record = self._store.backfill(backfill_id)
        if record is None or record["manual"]:
            return None
        return view_of(self._store, record, interrupted=interrupted)

    def get_error(self, backfill_id: str) -> str | None:
        """Returns the first failure of a backfill that has ended, or the latest of one in progress.

        Args:
            backfill_id: The id of the backfill; `None` is returned if nothing has failed.
        """
        return self._store.error(backfill_id) or self._store.last_error(backfill_id)

    def get_launch(self, backfill_id: str) -> dict[str, Any]:
        """Returns how a backfill was launched: `module`, `folder` and `notify`, as far as recorded.

        Args:
            backfill_id: The id of the backfill; `{}` is returned if no backfill has it.
        """
        text = self._store.request(backfill_id)
        launch = None if text is None else json.loads(text).get("launch")
        known: dict[str, Any] = {} if launch is None else json.loads(launch)
        return known

    # -- many backfills and runs -------------------------------------------------------------------

    def list_views(
        self, *, status: str | Sequence[str] | None = None, limit: int | None = None
    ) -> list[BackfillView]:
        """Lists backfills as objects, the newest first; `backfills()` is the table.

        Args:
            status: Only backfills with one of these statuses.
            limit: Maximum number of backfills.

        Raises:
            ConfigurationError: There is no such status, or `limit` is not a count.
        """
        wanted = STATUSES if status is None else (status,) if isinstance(status, str) else status
        for name in wanted:
            if name not in STATUSES:
                msg = f"status is one of {', '.join(STATUSES)}, not {name!r}"
                raise ConfigurationError(msg)
        if limit is not None:
            check_count("limit", limit, least=0)
        interrupted = set(self._store.interrupted())
        records = [
            record
            for record in self._store.backfills()
            if not record["manual"] and record["status"] in wanted
        ]
        return [
            view_of(self._store, record, interrupted=record["backfill_id"] in interrupted)
            for record in records[:limit]
        ]

    def backfills(
        self, *, status: str | Sequence[str] | None = None, limit: int | None = None
    ) -> pl.DataFrame:
        """Returns one row per backfill, the newest first.

        Args:
            status: Only backfills with one of these statuses.
            limit: Maximum number of rows.

        Returns:
            `backfill_id` (String), `status` (Enum: in_progress, completed, failed, canceled), counts of
            partitions (UInt64), `strategy` (String), `assets` (List of String), `tags` (List of
            Struct), `created_at` and `ended_at` (Datetime), `rate` (Float64: partitions a second),
            `owner_alive` (Boolean: whether a living process runs it) and `paused` (Boolean; both are
            null once it has ended), `error` (String).

        Raises:
            ConfigurationError: There is no such status, or `limit` is not a count.
        """
        if limit is not None:
            check_count("limit", limit, least=0)
        engine = None if self._live is None else self._live.engine
        return tables.backfills(self._store, engine, status, limit)

    def backfill_partitions(
        self,
        backfill_id: str,
        *,
        status: str | Sequence[str] | None = None,
        run_id: bool = False,
        errors: bool = True,
    ) -> pl.DataFrame:
        """Returns one row per partition of a backfill, in the order of its runs.

        Args:
            backfill_id: The id of the backfill.
            status: Only partitions with one of these statuses.
            run_id: Whether to add the column `run_id`.
            errors: Whether to fill the column `error`; without it, a map of millions is read faster.

        Returns:
            A column per dimension (see `rivers.status.tables`), `status` (Enum: pending, running,
            completed, failed, canceled, skipped), `run` (UInt64: the run's number in the backfill), `run_id`
            (String, on request), `attempts` (UInt32: number of attempts of the run that have begun),
            `started_at` and `ended_at` (Datetime), `error` (String). Where assets have runs of their
            own: `assets` (String: the assets of the row).

        Raises:
            BackfillNotFoundError: No backfill has the id.
            ConfigurationError: There is no such status.
        """
        return tables.backfill_partitions(
            self._store, backfill_id, status, run_id=run_id, errors=errors
        )

    def backfill_runs(
        self, backfill_id: str, *, status: str | Sequence[str] | None = None
    ) -> pl.DataFrame:
        """Returns one row per started run of a backfill, by number.

        The status of a run that waits for its next attempt is `waiting`, and its `error` is that of the
        last attempt.

        Args:
            backfill_id: The id of the backfill.
            status: Only runs with one of these statuses.

        Returns:
            `run` (UInt64), `run_id` (String), `status` (Enum: running, completed, failed, canceled,
            waiting), `num_partitions` (UInt64), `attempts` (UInt32), `started_at` and
            `ended_at` (Datetime), `duration` (Duration), `error` (String).

        Raises:
            BackfillNotFoundError: No backfill has the id.
            ConfigurationError: There is no such status.
        """
        return tables.backfill_runs(self._store, backfill_id, status)

    def backfill_errors(self, backfill_id: str) -> pl.DataFrame:
        """Returns why partitions of a backfill failed: one row per error, the most frequent first.

        Failures are the same error if their types are equal, and so are their messages once varying
        parts are replaced by `…`: numbers, dates, ids, hexadecimal numbers, quoted texts and the keys
        of the partition itself. A partition that failed with several errors counts for its first.

        Args:
            backfill_id: The id of the backfill, which may be in progress.

        Returns:
            `error_type` and `message` (String), `count` (UInt64: partitions), `first_at` and `last_at`
            (Datetime: when the first and the last run with the error ended), and of its first failure
            `partition` and `traceback` (String; null where a partition was only marked as failed).

        Raises:
            BackfillNotFoundError: No backfill has the id.

        Example:
            >>> import rivers as rs
            >>> @rs.Asset(partitions_def=rs.PartitionsDefinition.static_(["us", "eu", "asia"]))
            ... def sales(context: rs.AssetExecutionContext) -> int:
            ...     raise ValueError(f"no sales in {context.partition_key}")
            >>> with rs.CodeRepository([sales]).resolve(rs.Storage.memory()) as repo:
            ...     result = repo.backfill(partition_range=rs.PartitionKeyRange.single("us", "eu"))
            ...     errors = repo.backfill_errors(result.backfill_id)
            >>> errors.select("error_type", "message", "count").rows()
            [('ValueError', 'no sales in …', 2)]
        """
        self._record(backfill_id)
        return tables.causes(self._store.error_groups(backfill_id))

    def get_activity(
        self, backfill_id: str, *, intervals: int = 120, max_lanes: int = 64
    ) -> Activity:
        """Returns what the runs of a backfill did over time, in intervals of one length.

        All of its ended runs are gone through once, about 20 million in a second.

        Args:
            backfill_id: The id of the backfill.
            intervals: Number of intervals, from the submission to the end of the backfill, or to now.
            max_lanes: Maximum number of lanes: what the slots of `max_concurrency` did.

        Raises:
            BackfillNotFoundError: No backfill has the id.
            ConfigurationError: A number is not positive.

        Example:
            >>> import rivers as rs
            >>> @rs.Asset(partitions_def=rs.PartitionsDefinition.static_(["us", "eu", "asia"]))
            ... def sales() -> int:
            ...     return 1
            >>> with rs.CodeRepository([sales]).resolve(rs.Storage.memory()) as repo:
            ...     result = repo.backfill(
            ...         partition_range=rs.PartitionKeyRange.single("us", "asia")
            ...     )
            ...     activity = rs.BackfillClient(repo.storage).get_activity(result.backfill_id)
            >>> sum(activity.ended), sum(activity.failed), len(activity.longest)
            (3, 0, 3)
        """
        from rivers.status.activity import activity_of  # noqa: PLC0415  (few readers need it)

        check_count("intervals", intervals, least=1)
        check_count("max_lanes", max_lanes, least=1)
        self._record(backfill_id)
        return activity_of(
            backfill_id, self._store.activity(backfill_id, now(), intervals, max_lanes)
        )

    # -- maps --------------------------------------------------------------------------------------

    def cells(
        self,
        backfill_id: str,
        *,
        rows: str | None = None,
        columns: str | None = None,
        where: PartitionKeyRange | Bounds | None = None,
        width: int = 80,
        height: int = 24,
        asset: str | None = None,
    ) -> Cells:
        """Counts the partitions of a backfill into the cells of a map, by status.

        The cost depends on the number of cells and on what has happened, not on the number of
        partitions: 10^8 are counted in less than half a second. A second call reads only what was
        recorded since the first.

        Args:
            backfill_id: The id of the backfill, which may be in progress in another process.
            rows: The dimension from top to bottom; by default the first that is not time.
            columns: The dimension from left to right; by default that of time.
            where: The partitions that are counted: a range of keys or, for each dimension, the first index
                among its keys and the one behind the last. Dimensions that are neither rows nor columns
                are added up within it.
            width: Maximum number of columns.
            height: Maximum number of rows.
            asset: Where assets have runs of their own: the asset whose partitions are counted; by default
                the first.

        Raises:
            BackfillNotFoundError: No backfill has the id.
            AssetNotFoundError: The backfill does not contain the asset.
            ConfigurationError: There is no such dimension, or a map of that size is not made.
            PartitionValidationError: A key of the range does not exist.

        Example:
            >>> import rivers as rs
            >>> grid = rs.PartitionsDefinition.multi(
            ...     {
            ...         "date": rs.PartitionsDefinition.daily("2024-01-01", end="2025-01-01"),
            ...         "region": rs.PartitionsDefinition.static_(["us", "eu", "asia"]),
            ...     }
            ... )
            >>> @rs.Asset(partitions_def=grid)
            ... def sales() -> int:
            ...     return 1
            >>> with rs.CodeRepository([sales]).resolve(rs.Storage.memory()) as repo:
            ...     result = repo.backfill(partition_keys=grid.select())
            ...     client = rs.BackfillClient(repo.storage)
            ...     cells = client.cells(result.backfill_id, width=61)
            >>> cells.shape, cells.width, cells.height
            ('rows: region; columns: date (6 to a cell)', 61, 3)
            >>> cells.counts(0, 0)["completed"]
            6
        """
        from rivers.partitions import PartitionKeyRange  # noqa: PLC0415

        grid = self.grid(backfill_id, asset=asset)
        if isinstance(where, PartitionKeyRange):
            where = self._bounds_of(backfill_id, asset, where)
        return grid.cells(rows, columns, where, width, height)

    def grid(
        self,
        backfill_id: str,
        *,
        asset: str | None = None,
        error: tuple[str, str | None] | None = None,
    ) -> Grid:
        """Returns the partitions of a backfill as a grid: its dimensions, their keys, and its cells.

        It shows what was recorded when it was made.

        Args:
            backfill_id: The id of the backfill.
            asset: Where assets have runs of their own: the asset whose partitions are meant.
            error: The type of an error, and the message of its group in `backfill_errors()` or `None` for
                any: only partitions that failed with it count as failed, and all others as completed.

        Raises:
            BackfillNotFoundError: No backfill has the id.
            AssetNotFoundError: The backfill does not contain the asset.
        """
        from rivers.status.grid import grid_of_layer  # noqa: PLC0415  (few commands draw a map)

        cells, layer = self._cells_of(backfill_id, asset)
        chosen = None
        if error is not None:
            chosen = self._store.failed_with(backfill_id, *error)[layer]
        return grid_of_layer(cells, layer, chosen)

    def grid_bounds(
        self, backfill_id: str, where: PartitionKeyRange, *, asset: str | None = None
    ) -> dict[str, tuple[int, int]]:
        """Returns the coordinates of a range of keys in the grid of a backfill, by dimension.

        Args:
            backfill_id: The id of the backfill.
            where: The range; keys that the backfill does not contain are left out.
            asset: Where assets have runs of their own: the asset whose partitions are meant.

        Raises:
            BackfillNotFoundError: No backfill has the id.
            AssetNotFoundError: The backfill does not contain the asset.
            ConfigurationError: The range leaves out keys in between.
            PartitionValidationError: A key of the range does not exist.
        """
        return self._bounds_of(backfill_id, asset, where)

    def grid_assets(self, backfill_id: str) -> list[list[str]]:
        """Returns the assets of each grid of a backfill: several where assets have runs of their own.

        Args:
            backfill_id: The id of the backfill.

        Raises:
            BackfillNotFoundError: No backfill has the id.
        """
        record = self._record(backfill_id)
        layers = self._store.plan(record["key"]).layers
        names = record["assets"]
        return [
            names if places is None else [names[place] for place in places]
            for _, _, places in layers
        ]

    def select_partitions(
        self,
        backfill_id: str,
        *,
        where: PartitionKeyRange | Bounds | None = None,
        status: str | Sequence[str] | None = None,
        asset: str | None = None,
    ) -> list[Selection]:
        """Returns partitions of a backfill, for each of its grids; they are not listed.

        Args:
            backfill_id: The id of the backfill.
            where: Only partitions in this part, as in `cells()`.
            status: Only partitions with one of these statuses.
            asset: Where assets have runs of their own: the asset whose partitions are meant; those of the
                other grids are left out. By default the first.

        Raises:
            BackfillNotFoundError: No backfill has the id.
            AssetNotFoundError: The backfill does not contain the asset.
            ConfigurationError: There is no such dimension or status.
            PartitionValidationError: A key of the range does not exist.
        """
        from rivers.partitions import PartitionKeyRange  # noqa: PLC0415
        from rivers.status.grid import grid_of_layer  # noqa: PLC0415

        cells, wanted = self._cells_of(backfill_id, asset)
        if isinstance(where, PartitionKeyRange):
            where = self._bounds_of(backfill_id, asset, where)
        status = [status] if isinstance(status, str) else status
        chosen = []
        for layer in range(cells.num_layers):
            grid = grid_of_layer(cells, layer)
            # An empty choice of statuses selects nothing.
            chosen.append(grid.select(where, status) if layer == wanted else grid.select(None, []))
        return chosen

    def _bounds_of(
        self, backfill_id: str, asset: str | None, where: PartitionKeyRange
    ) -> dict[str, tuple[int, int]]:
        from rivers.status.grid import grid_of_layer  # noqa: PLC0415

        cells, layer = self._cells_of(backfill_id, asset)
        names = [dimension.name for dimension in grid_of_layer(cells, layer).dimensions]
        return dict(zip(names, cells.bounds(layer, where), strict=True))

    def _cells_of(self, backfill_id: str, asset: str | None) -> tuple[BackfillCells, int]:
        """Returns the counter of a backfill, which has read all that is recorded, and a layer."""
        assets = self.grid_assets(backfill_id)
        layer = 0
        if asset is not None:
            containing = [at for at, names in enumerate(assets) if asset in names]
            if not containing:
                there = [name for names in assets for name in names]
                msg = (
                    f"the backfill {backfill_id!r} has no asset {asset!r}; it has "
                    f"{listed(there)}{did_you_mean(asset, there)}"
                )
                raise AssetNotFoundError(msg)
            layer = containing[0]
        key = (os.getpid(), backfill_id)
        known = self._known_cells.pop(key, None)
        if known is None:
            known = BackfillCells(self._store, backfill_id)
        else:
            known.refresh()
        self._known_cells[key] = known
        while len(self._known_cells) > _MAX_KNOWN_GRIDS:
            self._known_cells.pop(next(iter(self._known_cells)), None)
        return known, layer

    def get_runs(self, limit: int | None = None, status: str | None = None) -> list[RunRecord]:
        """Returns the latest runs that have started, of the newest backfill first.

        Args:
            limit: Maximum number of runs; all by default.
            status: Only runs with this status: `"running"`, `"completed"` or `"failed"`.

        Raises:
            ConfigurationError: There is no such status, or `limit` is not a count.
        """
        return self._storage.get_runs(limit, status)

    # -- waiting -----------------------------------------------------------------------------------

    def get_run_errors(self, run_id: str) -> list[RunError]:
        """Returns every error of a run: those of attempts that were retried, then those that it failed with.

        Args:
            run_id: The id of the run; `[]` is returned if no run has it.
        """
        return self._store.run_errors(run_id)

    def wait_backfill(self, backfill_id: str, timeout: float | None = None) -> BackfillStatus:
        """Waits until a backfill has ended, in whichever process it runs.

        A paused backfill does not end: the wait continues until it is unpaused or canceled.

        Args:
            backfill_id: The id of the backfill.
            timeout: Maximum number of seconds to wait; no limit by default.

        Returns:
            How it ended.

        Raises:
            BackfillNotFoundError: No backfill has the id.
            ConfigurationError: `timeout` is not a positive number of seconds.
            TimeoutError: The backfill has not ended within `timeout` seconds; it continues.
            ExecutionError: The process that ran it is dead, so it will not end until it is resumed.
        """
        if timeout is not None:
            check_seconds("timeout", timeout)
        deadline = None if timeout is None else time.monotonic() + timeout
        key = self._record(backfill_id)["key"]
        pause = _MIN_POLL_SECONDS
        while True:
            interrupted, status = self._poll(backfill_id)
            if status.status != "in_progress":
                return status
            # What runs in this process is not interrupted, and what stopped here did so for a reason, which
            # `wait` raises.
            if interrupted and (self._live is None or self._live.wait(key, 0.0)):
                if self._store.is_interrupted(backfill_id):
                    raise _interrupted(backfill_id)
                continue
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                msg = f"the backfill {backfill_id!r} has not ended within {timeout:g} seconds"
                raise TimeoutError(msg)
            if self._live is not None and self._live.snapshot(backfill_id) is not None:
                self._live.wait(key, min(left or _LIVE_WAIT_SECONDS, _LIVE_WAIT_SECONDS))
            else:
                time.sleep(min(pause, left or pause))
                pause = min(2 * pause, _MAX_POLL_SECONDS)

    async def watch(self, backfill_id: str, *, every: float = 0.5) -> AsyncIterator[BackfillStatus]:
        """Yields how a backfill stands: now, after each change, and at last how it ended.

        It may run in another process.

        Args:
            backfill_id: The id of the backfill.
            every: Seconds between two reads.

        Yields:
            Its status; the last one is not `"in_progress"`.

        Raises:
            BackfillNotFoundError: No backfill has the id.
            ExecutionError: The process that ran it is dead, so nothing more will happen.

        Example:
            >>> import asyncio, rivers as rs
            >>> @rs.Asset(partitions_def=rs.PartitionsDefinition.static_(["us", "eu", "asia"]))
            ... def sales() -> int:
            ...     return 1
            >>> repo = rs.CodeRepository([sales]).resolve(rs.Storage.memory())
            >>> everywhere = rs.PartitionKeyRange.single("us", "asia")
            >>> launched = repo.backfill(partition_range=everywhere, block=False)
            >>> async def follow():
            ...     async for status in repo.watch(launched.backfill_id, every=0.01):
            ...         pass
            ...     print(status.status, status.completed_partitions)
            >>> asyncio.run(follow())
            completed 3
        """
        import asyncio  # noqa: PLC0415  (the command line starts faster without it)

        check_seconds("every", every)
        self._record(backfill_id)
        last_yielded: tuple[Any, ...] | None = None
        while True:
            interrupted, status = self._poll(backfill_id)
            # Comparing whole statuses would compute what is only computed on first access.
            shown = (
                status.status,
                status.paused,
                status.completed_partitions,
                status.failed_partitions,
                status.canceled_partitions,
            )
            if shown != last_yielded:
                last_yielded = shown
                yield status
            if status.status != "in_progress":
                return
            if interrupted and await asyncio.to_thread(self._store.is_interrupted, backfill_id):
                raise _interrupted(backfill_id)
            await asyncio.sleep(every)

    def _poll(self, backfill_id: str) -> tuple[bool, BackfillStatus]:
        """Whether no living process ran a backfill just now, and then its status."""
        interrupted = backfill_id in self._store.interrupted()
        status = self.get_backfill(backfill_id)
        if status is None:
            raise AssertionError  # Its record was found, and records are never deleted.
        return interrupted, status

    # -- control -----------------------------------------------------------------------------------

    def cancel_backfill(self, backfill_id: str, *, force_after: float | None = None) -> bool:
        """Cancels a backfill: no new run starts, runs in flight end, and the rest is canceled.

        Args:
            backfill_id: The id of the backfill; one that has ended stays as it is.
            force_after: Seconds after which runs still in flight are ended by force: they are canceled,
                not failed, and not retried. A worker process is killed, a coroutine is canceled, and a
                thread is abandoned: its function goes on, but its slot is free, and what it returns is
                dropped. `None`: never.

        Returns:
            `True` if it runs in this process, where no new run starts once this returns. `False`
            otherwise: another process that runs it reads the request within a second; if its process
            is dead, the backfill has ended when this returns.

        Raises:
            BackfillNotFoundError: No backfill has the id.
            ConfigurationError: `force_after` is not a number of seconds.
        """
        if force_after is not None:
            check_delay("force_after", force_after)
        self._record(backfill_id)
        with self._controls() as controls:
            is_live = controls.cancel(backfill_id, force_after)
        if self._live is None:
            # If its process is dead, the cancel has ended it.
            Notifier(self._store).notify_ended(backfill_id)
        return is_live

    def pause_backfill(self, backfill_id: str) -> None:
        """Pauses a backfill: no new run starts until `unpause_backfill()`; runs in flight end.

        Its status stays `"in_progress"`, and calls that wait for it, `close()` too, wait on. If it runs
        in this process, no run starts once this returns; another process reads the request within a
        second. The pause is stored: a backfill whose process died is still paused when it is resumed.
        Pausing it again changes nothing, and it can be canceled as usual.

        Args:
            backfill_id: The id of the backfill.

        Raises:
            BackfillNotFoundError: No backfill has the id.
            ExecutionError: It has ended.

        Example:
            >>> import rivers as rs
            >>> @rs.Asset(partitions_def=rs.PartitionsDefinition.static_(["us", "eu", "asia"]))
            ... def sales(context: rs.AssetExecutionContext) -> None:
            ...     if context.partition_key == "us":
            ...         repo.pause_backfill(context.run_id.split(".")[0])
            >>> repo = rs.CodeRepository([sales]).resolve(rs.Storage.memory())
            >>> everywhere = rs.PartitionKeyRange.single("us", "asia")
            >>> launched = repo.backfill(partition_range=everywhere, max_concurrency=1, block=False)
            >>> while not repo.get_backfill(launched.backfill_id).completed_partitions:
            ...     pass
            >>> repo.get_backfill(launched.backfill_id)  # doctest: +ELLIPSIS
            BackfillStatus(...: in_progress, paused, 3 partitions, 1 completed)
            >>> repo.unpause_backfill(launched.backfill_id)
            >>> repo.close()  # waits for it
            >>> repo.get_backfill(launched.backfill_id).status
            'completed'
        """
        self._check_in_progress(backfill_id, "paused or unpaused")
        with self._controls() as controls:
            controls.set_paused(backfill_id, True)

    def unpause_backfill(self, backfill_id: str) -> None:
        """Lets a paused backfill continue; one that is not paused stays as it is.

        Another process that runs it reads the request within a second. If its process is dead, it stays
        interrupted until `resume_backfill()`.

        Args:
            backfill_id: The id of the backfill.

        Raises:
            BackfillNotFoundError: No backfill has the id.
            ExecutionError: It has ended.
        """
        self._check_in_progress(backfill_id, "paused or unpaused")
        with self._controls() as controls:
            controls.set_paused(backfill_id, False)

    def update_backfill(
        self,
        backfill_id: str,
        *,
        max_concurrency: int | None = None,
        priority: int | None = None,
        max_failures: float | None = None,
    ) -> None:
        """Changes the limits of a backfill in progress; runs in flight end as they would have.

        If it runs in this process, the change is in force once this returns; another process reads it
        within a second. The change is stored: it also holds when the backfill is resumed or rerun.

        Args:
            backfill_id: The id of the backfill.
            max_concurrency: Maximum number of runs in flight; `None` leaves it as it is.
            priority: Position in the run queue, a higher one first; `None` leaves it as it is.
            max_failures: The backfill stops when `max_failures` partitions have failed, as in
                `backfill()`; at once, if they already have. `None` leaves it as it is; a count as large
                as the backfill lifts the limit.

        Raises:
            BackfillNotFoundError: No backfill has the id.
            ConfigurationError: There is nothing to change, or a value is not allowed.
            ExecutionError: It has ended.

        Example:
            >>> import rivers as rs
            >>> @rs.Asset(partitions_def=rs.PartitionsDefinition.static_(["us", "eu", "asia"]))
            ... def sales(context: rs.AssetExecutionContext) -> None:
            ...     if context.partition_key == "us":
            ...         repo.update_backfill(context.run_id.split(".")[0], max_concurrency=2)
            >>> repo = rs.CodeRepository([sales]).resolve(rs.Storage.memory())
            >>> everywhere = rs.PartitionKeyRange.single("us", "asia")
            >>> repo.backfill(partition_range=everywhere, max_concurrency=1).completed
            3
        """
        changes: dict[str, Any] = {}
        if max_concurrency is not None:
            changes["max_concurrency"] = check_count("max_concurrency", max_concurrency)
        if priority is not None:
            changes["priority"] = check_priority(priority)
        if max_failures is not None:
            changes["max_failures"] = check_max_failures(max_failures)
        if not changes:
            msg = "there is nothing to change; give max_concurrency, priority or max_failures"
            raise ConfigurationError(msg)
        self._check_in_progress(backfill_id, "changed")
        with self._controls() as controls:
            controls.change(backfill_id, **changes)

    @contextmanager
    def _controls(self) -> Iterator[Controls]:
        """The engine of this process; without one, a short-lived engine that stores the request."""
        if self._live is not None:
            yield self._live
            return
        engine = Engine(self._store, None, [], [], _LEASE_SECONDS)
        try:
            yield engine
        finally:
            engine.close()

    def _check_in_progress(self, backfill_id: str, verb: str) -> None:
        status = self._record(backfill_id)["status"]
        if status != "in_progress":
            msg = (
                f"the backfill {backfill_id!r} has ended ({status}); only one that is in progress can "
                f"be {verb}"
            )
            raise ExecutionError(msg, remedy=("rerun", backfill_id))

    def _record(self, backfill_id: str) -> BackfillRecord:
        """Returns the stored record of a backfill.

        Args:
            backfill_id: The id of the backfill.

        Raises:
            BackfillNotFoundError: No backfill has the id.
        """
        record = self._store.backfill(backfill_id)
        if record is None or record["manual"]:
            msg = f"there is no backfill {backfill_id!r}"
            raise BackfillNotFoundError(msg, remedy=("list",))
        return record

    def __repr__(self) -> str:
        return f"<BackfillClient of {self._storage.path}>"


def _interrupted(backfill_id: str) -> ExecutionError:
    msg = f"the backfill {backfill_id!r} was interrupted: its process is gone"
    return ExecutionError(msg, remedy=("resume", backfill_id))
