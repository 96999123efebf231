"""The storage, the engine and the executor of a repository: opened, shared and closed."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from rivers._fork import leave_to_parent, reset_in_children
from rivers._rivers import Engine
from rivers._validation import check_lease
from rivers.client import BackfillClient
from rivers.exceptions import ExecutionError
from rivers.execution.current_call import current_call
from rivers.repository.at_exit import release_idle
from rivers.repository.nested import nested_wait
from rivers.status.event_log import EventLog
from rivers.status.notifications import Notifier
from rivers.status.progress import progress
from rivers.storage.storage import Storage, store_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from rivers._rivers import Store
    from rivers._storage import LiveSnapshot
    from rivers.execution.executor import Executor
    from rivers.execution.resources import Resources
    from rivers.execution.workers import Workers
    from rivers.policies.run_queue import RunQueueConfig
    from rivers.status.notifications import Hook

_log = logging.getLogger("rivers")


class Progress(Protocol):
    """The display of one backfill while a call waits for it."""

    def __enter__(self) -> Self:
        """Opens the display."""

    def update_interval(self) -> float | None:
        """Seconds until the next update; `None` if the display needs none."""

    def update(self) -> None:
        """Shows the current counts."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        """Closes the display."""


class ProgressDisplay(Protocol):
    """Shows backfills that a call waits for: on a terminal, in a notebook, or not at all."""

    def __call__(
        self, request_id: str, total: int, look: Callable[[], tuple[int, int, int] | None], /
    ) -> Progress:
        """The display of one backfill or manual run.

        Args:
            request_id: Its id.
            total: Number of its partitions.
            look: Returns completed and failed partitions and runs in flight; `None` after its end.
        """


@dataclass(frozen=True)
class Connection:
    """What a runtime opens together, for one storage.

    Attributes:
        storage: Where runs and backfills are recorded.
        store: The storage as the core knows it.
        engine: Runs the backfills of this process.
        workers: The threads and processes that execute runs.
        event_log: Logs when a backfill starts and ends.
        client: Reads and controls the backfills of the storage.
        notifier: Notifies of the ends of backfills.
    """

    storage: Storage
    store: Store
    engine: Engine
    workers: Workers
    event_log: EventLog
    client: BackfillClient
    notifier: Notifier


class Runtime:
    """Connects to the storage at first use, and closes what it opened.

    It is the `LiveBackfills` of its client: what the client changes applies at once in this process.

    Args:
        executor: Where runs are executed.
        run_queue: The queue of all runs; `None` for no limits beyond those of each backfill.
        pools: Slots of each pool.
        lease_seconds: Seconds after which a silent process loses its backfills.
        resources: What functions share; set up before the first connection, torn down by `close()`.
        on_backfill_end: Functions that are called when a backfill of these assets has ended.
        assets: The names of the assets.

    Attributes:
        display: Shows backfills that a call waits for.
    """

    def __init__(
        self,
        executor: Executor,
        run_queue: RunQueueConfig | None,
        pools: Mapping[str, int],
        lease_seconds: float,
        resources: Resources,
        on_backfill_end: Sequence[Hook] = (),
        assets: Sequence[str] = (),
    ) -> None:
        self._on_backfill_end = on_backfill_end
        self._assets = assets
        self.executor = executor
        self.run_queue = run_queue
        self.display: ProgressDisplay = progress
        self._pools = pools
        self._resources = resources
        self._lease_seconds = check_lease(lease_seconds)
        self._lock = threading.Lock()
        self._storage: Storage | None = None
        self._connection: Connection | None = None
        reset_in_children(self)

    def reset_in_child(self) -> None:
        """Leaves the engine and the workers to the parent; the child opens its own at first use."""
        self._lock = threading.Lock()
        if self._connection is not None:
            leave_to_parent(self._connection)
            self._storage, self._connection = self._connection.storage, None

    def connect(self, storage: Storage | None = None) -> Connection:
        """Opens the engine and the workers, once for each storage.

        Args:
            storage: The storage; `None` for the one given before, otherwise the default one.

        Raises:
            StorageError: The storage cannot be opened.
            ExecutionError: A backfill is still running on another storage.
        """
        self._resources.setup()
        current = self._connection
        if current is not None and storage is None:
            return current
        with self._lock:
            current = self._connection
            if current is not None:
                if storage is None or storage is current.storage:
                    return current
                if current.engine.live():
                    msg = (
                        "a backfill is still running on the repository's storage; wait for it or "
                        "cancel it"
                    )
                    raise ExecutionError(msg)
            self._close()
            self._storage = storage or self._storage or Storage.default()
            self._connection = self._open(self._storage)
            return self._connection

    def _open(self, storage: Storage) -> Connection:
        queue = self.run_queue
        store = store_of(storage)
        engine = Engine(
            store,
            queue.max_concurrent_runs if queue else None,
            list(queue.tag_concurrency_limits) if queue else [],
            list(self._pools.items()),
            self._lease_seconds,
        )
        for orphan, is_manual in engine.orphans():
            if is_manual:
                engine.cancel(orphan)
                _log.warning("the run %s.0 was interrupted: its process is gone", orphan)
            else:
                _log.warning(
                    "the backfill %s was interrupted: its process is gone; continue it with "
                    "resume_backfill(%r), or end it with cancel_backfill(%r)", orphan, orphan, orphan,
                    extra={"remedy": ("resume", orphan)},
                )  # fmt: skip
        workers = self.executor.start(engine)
        notifier = Notifier(store, self._on_backfill_end, self._assets)
        notifier.notify_in_background()
        event_log = EventLog(
            engine, store, on_end=workers.forget, on_idle=release_idle, notifier=notifier
        )
        client = BackfillClient(storage, live=self)
        return Connection(storage, store, engine, workers, event_log, client, notifier)

    @property
    def storage(self) -> Storage:
        """Where runs and backfills are recorded."""
        return self.connect().storage

    @property
    def store(self) -> Store:
        """The storage as the core knows it."""
        return self.connect().store

    @property
    def engine(self) -> Engine:
        """Runs the backfills of this process."""
        return self.connect().engine

    # -- the backfills of this process -------------------------------------------------------------

    def snapshot(self, backfill_id: str) -> LiveSnapshot | None:
        """The record of a backfill that is live in this process, without a query."""
        return self.engine.snapshot(backfill_id)

    def wait(self, key: int, timeout: float) -> bool:
        """Waits up to `timeout` seconds for the end of a backfill; `True` if it has ended."""
        connection = self.connect()
        with nested_wait(connection.engine, key):
            has_ended = connection.engine.wait(key, timeout)
        if has_ended:
            connection.event_log.publish()
        return has_ended

    def cancel(self, backfill_id: str, force_after: float | None = None) -> bool:
        """Cancels a backfill, after a while by force; `True` if it is live in this process."""
        connection = self.connect()
        is_live = connection.engine.cancel(backfill_id, force_after)
        connection.event_log.publish()
        if not is_live:
            connection.notifier.notify_ended(backfill_id)
        return is_live

    def set_paused(self, backfill_id: str, paused: bool) -> None:
        """Pauses or unpauses a backfill."""
        self.engine.set_paused(backfill_id, paused)

    def change(
        self,
        backfill_id: str,
        *,
        max_concurrency: int | None = None,
        priority: int | None = None,
        max_failures: float | None = None,
    ) -> None:
        """Changes the limits of a backfill; `None` leaves a limit as it is."""
        connection = self.connect()
        connection.engine.change(
            backfill_id, max_concurrency=max_concurrency, priority=priority,
            max_failures=max_failures,
        )  # fmt: skip
        connection.workers.notify()

    @property
    def is_idle(self) -> bool:
        """Whether no backfill is live in this process."""
        connection = self._connection
        return connection is None or not connection.engine.live()

    # -- the end -----------------------------------------------------------------------------------

    def close(self) -> None:
        """Waits for the backfills that run in the background, then ends threads and processes.

        Meanwhile other threads can launch no backfills; functions of runs can.

        Raises:
            ExecutionError: A function that the repository executes called it.
        """
        connection = self._connection
        if connection is not None:
            if current_call(connection.engine) is not None:
                msg = (
                    "close() was called in a function that the repository executes, and would wait for "
                    "that function; call it where the repository was made (a 'with' block ends with it)"
                )
                raise ExecutionError(msg)
            connection.engine.wait_idle()
            connection.event_log.publish()
        with self._lock:
            if self._connection is connection:
                self._close()
        self._resources.teardown()

    def abandon(self) -> None:
        """Stops the backfills of this process at once, resumable; runs in flight are not recorded."""
        connection = self._connection
        if connection is not None:
            for key in connection.engine.live():
                connection.engine.abandon(key)
                connection.workers.cancel(key)

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.engine.close()
            self._connection.workers.close()
            self._connection.event_log.close()
            self._connection = None
