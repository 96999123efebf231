"""Stub of the binding: what the Rust core exports. `rivers` has what users need of it."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Self, final

from rivers._partitions import (
    PartitionKey,
    PartitionMapping,
    PartitionsDefinition,
    decode_definition,
    decode_mapping,
    mapping_refusal,
)
from rivers._planning import (
    ArrowTable,
    Plan,
    Selection,
    Space,
    StoredStrategy,
    check_per_dimension,
    decode_space,
)
from rivers._storage import (
    BackfillSnapshot,
    Store,
    backfill_partitions,
    backfill_runs,
    backfills,
    partition_status,
)
from rivers.execution.executor import Executor
from rivers.planning.request import Submission
from rivers.policies.run_queue import TagConcurrencyLimit

__all__ = [
    "DEBUG_BUILD",
    "ArrowTable",
    "Batch",
    "Engine",
    "JobSpec",
    "PartitionKey",
    "PartitionMapping",
    "PartitionsDefinition",
    "Plan",
    "Run",
    "Selection",
    "SharedRuns",
    "Space",
    "Store",
    "StoredStrategy",
    "WorkerBatch",
    "WorkerLock",
    "backfill_partitions",
    "backfill_runs",
    "backfills",
    "check_per_dimension",
    "decode_definition",
    "decode_mapping",
    "decode_space",
    "mapping_refusal",
    "partition_status",
]

DEBUG_BUILD: bool
"""Whether the core was built without optimizations."""

@final
class Run:
    """A run while it is executed. Assets are named by their place in the request."""

    @property
    def number(self) -> int: ...
    @property
    def layer(self) -> int:
        """The layer of the plan that it belongs to."""

    @property
    def id(self) -> str: ...
    @property
    def tags(self) -> list[tuple[str, str]]: ...
    @property
    def partitions(self) -> Selection: ...
    @property
    def has_no_failures(self) -> bool:
        """Whether nothing has failed so far."""

    def fail(
        self, asset: int, error_type: str, message: str, traceback: str | None = None
    ) -> None: ...
    def retry(
        self,
        assets: Sequence[int],
        error_type: str,
        message: str,
        traceback: str | None,
        seconds: float,
        repeated: Sequence[int],
    ) -> None:
        """The assets failed and are tried again after so many seconds, and the repeated ones with them."""

    def executes(self, asset: int) -> bool:
        """Whether this attempt executes the asset: an earlier one may have."""

    def failed_attempts(self, asset: int) -> int:
        """How often the asset failed before and was to be tried again."""

    def defer(self, assets: Sequence[int], needs: Sequence[int]) -> bool:
        """Leaves assets to the next attempt, if they need one that is tried again; whether they do."""

    def skip(self, asset: int) -> None: ...
    def failed_or_skipped(self, asset: int) -> bool:
        """Whether the asset failed or was skipped as a whole."""

    def mark_failed(self, asset: int, key: PartitionKey, error_type: str, message: str) -> None:
        """Marks each partition of the key as failed."""

    def check_defined(self, asset: int, space: Space) -> None:
        """Fails the partitions that are not in an asset's space of today."""

    def survivors(self, asset: int) -> Selection | None:
        """What an asset's own marks leave over; `None`: all."""

    def enter(self, asset: int, needs: Sequence[int]) -> Selection | None:
        """What the marks of the assets it needs leave over for an asset; `None`: all."""

@final
class JobSpec:
    """A plan and a request on their way to a worker process."""

    def __new__(cls, space: bytes, plan: bytes, request: bytes) -> Self: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class Batch:
    """Runs in the hands of one worker; iterating executes them."""

    @property
    def key(self) -> int:
        """The backfill's number in the storage."""

    @property
    def spec(self) -> JobSpec: ...
    @property
    def program(self) -> Any:
        """What was submitted to execute the runs."""

    def __iter__(self) -> Self: ...
    def __next__(self) -> Run:
        """Ends the run before, if there is one, and begins the next."""

    def send(self, shared: SharedRuns, most: int) -> bool:
        """Has the next runs, at most so many, claimed by another process; `False`: none may start."""

    def prior_attempts(self) -> bytes:
        """What is known of earlier attempts of the runs, for `WorkerBatch`."""

    def receive(self, report: bytes) -> None:
        """Takes in what became of the runs sent."""

    def reclaim_sent(self) -> int:
        """How many of the runs sent had ended when the process died; all are to be begun again."""

    def close(self) -> None: ...

@final
class SharedRuns:
    """Runs that this process and a worker process share, in a file that both map."""

    def __new__(cls, path: str | PathLike[str]) -> Self: ...
    def set_step(self, step: int) -> None:
        """Says which step of the current run begins."""

    @property
    def step(self) -> int:
        """The step that the current run is at."""

@final
class WorkerLock:
    """Shows, as long as it exists, that a worker process is there: its owner is dead only without it."""

    def __new__(cls, path: str | PathLike[str]) -> Self: ...

@final
class WorkerBatch:
    """Shared runs in a worker process; iterating executes them."""

    def __new__(cls, spec: JobSpec, shared: SharedRuns, prior_attempts: bytes) -> Self: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> Run: ...
    def report(self) -> bytes:
        """What became of them, for `Batch.receive`."""

@final
class Engine:
    """Runs the backfills of one storage in this process."""

    def __new__(
        cls,
        store: Store,
        max_concurrent_runs: int | None,
        tag_limits: Sequence[TagConcurrencyLimit],
        pools: Sequence[tuple[str, int]],
        lease_seconds: float,
    ) -> Self: ...
    def submit(
        self,
        submission: Submission,
        plan: Plan,
        program: object,
        executor: Executor,
        pools: Sequence[tuple[str, int]],
    ) -> tuple[int, str]:
        """Records a request and queues it: its number in the storage, and its id."""

    def resume(
        self, id: str, program: object, executor: Executor, pools: Sequence[tuple[str, int]]
    ) -> int: ...
    def next_batch(self, timeout: float) -> Batch | None:
        """The next batch for a worker; `None` if there is none for so many seconds."""

    def begin_preemption(self, priority: int) -> None:
        """Nothing of a lower priority starts before the request that is about to be submitted."""

    def end_preemption(self) -> None:
        """It is not submitted after all."""

    def snapshot(self, id: str) -> BackfillSnapshot | None:
        """A live backfill: what `Store.backfill` has of it that can change, and what it needs to be shown."""

    def wants_worker(self) -> bool:
        """Whether one more worker would find something to do."""

    def wait(self, key: int, timeout: float | None = None) -> bool:
        """Waits for an end, looking for Ctrl-C; `False` when the seconds are over first."""

    def cancel(self, id: str) -> bool: ...
    def set_paused(self, id: str, paused: bool) -> None:
        """Has a backfill start nothing new, or go on."""

    def change(
        self,
        id: str,
        *,
        max_concurrency: int | None = None,
        priority: int | None = None,
        max_failures: float | None = None,
    ) -> None:
        """Changes what a backfill was asked with; `None` leaves it."""

    def abandon(self, key: int) -> None:
        """Stops at once and leaves it resumable."""

    def abort(self, key: int, reason: str) -> None:
        """Stops what cannot be executed here; who waits is told why."""

    def orphans(self) -> list[tuple[str, bool]]:
        """Ids of the backfills and manual runs whose process is gone, and whether they are manual."""

    def wait_finished(self, timeout: float) -> None:
        """Waits until there is something to be told by `drain_finished`, at most so many seconds."""

    def drain_finished(self) -> list[int]:
        """Backfills that have ended, or stopped here, since the last time: each is told once."""

    def live(self) -> list[int]: ...
    @property
    def worker_lock_file(self) -> Path | None:
        """What `WorkerLock` is made of in this engine's worker processes, if they need one."""

    def progress(self, key: int) -> tuple[int, int, int] | None:
        """Of a live backfill: completed and failed partitions, and runs in flight."""

    def close(self) -> None: ...
