"""The part of the Rust core that executes runs, as `rivers._rivers` exports it. Users never see it."""

from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Self, final

from typing_extensions import disjoint_base

from rivers._partitions import PartitionKey
from rivers._planning import Plan, Selection, Space
from rivers._storage import LiveSnapshot, Store
from rivers.execution.direct import DirectCall
from rivers.execution.executor import Executor
from rivers.execution.runner import CallOutcome, Program
from rivers.execution.steps import Step
from rivers.io.output_metadata import OutputMetadata
from rivers.policies.run_queue import TagConcurrencyLimit

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
        request: str,
        plan: Plan,
        program: Program,
        executor: Executor,
        pools: Sequence[tuple[str, int]],
        held: bool,
    ) -> tuple[int, str]:
        """Records a request and queues it; returns its number in the storage, and its id.

        Args:
            request: The request as JSON, without `id` and `created_at`.
            plan: Its runs.
            program: What they execute.
            executor: Where they are executed.
            pools: Slots that each run takes, by pool.
            held: Whether no run starts until `start_held`.
        """

    def start_held(self, key: int, program: Program) -> None:
        """Has the runs of a held backfill start; they execute this program."""

    def resume(
        self,
        id: str,
        program: Program,
        executor: Executor,
        pools: Sequence[tuple[str, int]],
        session: tuple[
            int, Sequence[tuple[int, Selection]], str, bool, Sequence[tuple[int, Selection]]
        ],
    ) -> int:
        """Continues a backfill whose process is dead; returns its number in the storage.

        The session is how far the repository's clock is ahead of `now()`, in microseconds; by index of an
        asset, the partitions for which it is executed although the plan says that it is materialized; and
        the assets as they are declared now, as JSON; whether no run starts until `start_held`; and by index
        of an asset, the partitions that earlier attempts of unfinished runs made and whose values are there.
        """

    def next_batch(self, timeout: float) -> Batch | None:
        """The next batch for a worker; `None` if there is none within `timeout` seconds."""

    def begin_submission(self, in_run: bool) -> None:
        """Lets a submission or a resume in; `end_submission` must follow.

        Args:
            in_run: Whether a function of a run launches it: that is allowed until all have ended.

        Raises:
            ExecutionError: The engine is closed or closing.
        """

    def end_submission(self) -> None:
        """The submission was made, or has failed."""

    def begin_wait(self, caller: int, target: int) -> None:
        """A run of one backfill is about to wait for another; it lends its slots until `end_wait`.

        Raises:
            ExecutionError: The wait could never end.
        """

    def end_wait(self, caller: int, target: int) -> None:
        """The wait has ended; blocks until the run has its slots again."""

    def wait_idle(self) -> None:
        """Refuses new backfills, and waits until nothing is live."""

    def begin_preemption(self, priority: int) -> None:
        """Holds back runs below `priority` until the request that is about to be submitted begins."""

    def end_preemption(self) -> None:
        """Lets lower priorities start again, if the request is not submitted after all."""

    def snapshot(self, id: str) -> LiveSnapshot | None:
        """A live backfill as it stands in memory; `None` if it is not live in this process."""

    def wants_worker(self) -> bool:
        """Whether one more worker would find a run, or should wait for one."""

    def wait(self, key: int, timeout: float | None = None) -> bool:
        """Waits for the end of a backfill and checks for Ctrl-C; `False` if the timeout passes first."""

    def cancel(self, id: str, force_after: float | None = None) -> bool:
        """Cancels a backfill; returns whether it is live in this process.

        Args:
            id: The id of the backfill.
            force_after: Seconds after which runs in flight are ended by force; `None`: never.
        """

    def set_paused(self, id: str, paused: bool) -> None:
        """Pauses a backfill, so that no new runs start, or unpauses it."""

    def change(
        self,
        id: str,
        *,
        max_concurrency: int | None = None,
        priority: int | None = None,
        max_failures: float | None = None,
    ) -> None:
        """Changes the request of a backfill; `None` leaves an option as it is."""

    def abandon(self, key: int) -> None:
        """Stops a live backfill at once and leaves it resumable; runs in flight are not recorded."""

    def abort(self, key: int, reason: str) -> None:
        """Stops a backfill whose runs cannot be executed here; `wait` raises the reason."""

    def set_workers(self, key: int, workers: str | None) -> None:
        """Records what the executor says of the workers of a live backfill: JSON, for readers."""

    def orphans(self) -> list[tuple[str, bool]]:
        """Ids of the backfills and manual runs whose process is dead, and whether they are manual."""

    def wait_finished(self, timeout: float) -> None:
        """Waits up to `timeout` seconds until `drain_finished` has a result."""

    def drain_finished(self) -> list[int]:
        """Backfills that have ended or stopped here since the last call; each is returned once."""

    def live(self) -> list[int]:
        """The backfills that have not ended in this process."""

    @property
    def worker_lock_file(self) -> Path | None:
        """The file for the `WorkerLock` of worker processes; `None` if no process could check it."""

    def progress(self, key: int) -> tuple[int, int, int] | None:
        """Completed and failed partitions and runs in flight of a live backfill, as committed."""

    def close(self) -> None:
        """Ends the writer; live backfills stay resumable."""

@final
class Batch:
    """Runs assigned to one worker; iterating executes them."""

    @property
    def key(self) -> int:
        """The number of the backfill in the storage."""

    @property
    def spec(self) -> JobSpec:
        """The plan and the request of the backfill, for workers in other processes."""

    @property
    def program(self) -> Program:
        """The program that was submitted to execute the runs."""

    def __iter__(self) -> Self: ...
    def __next__(self) -> Run:
        """Ends the current run, if any, and begins the next."""

    def share(self, shared: SharedRuns, max_runs: int) -> bool:
        """Moves up to `max_runs` runs to memory shared with a worker; `False`: none may start."""

    def send(self, max_runs: int) -> tuple[int, int] | None:
        """Moves up to `max_runs` runs of one layer to a worker that shares no memory.

        Ranges that were sent before may still be there, as long as the worker reports all of each.

        Returns:
            The number of the first run and the one after the last, for `WorkerBatch`; `None`: no run
            is left or may start.
        """

    def prior_attempts(self) -> bytes:
        """What earlier attempts and runs leave to the batch's runs, for `WorkerBatch`."""

    def receive(self, report: bytes) -> int:
        """Applies the report of a worker, and returns the number of runs in it.

        Runs that it did not begin can be shared or sent again, unless they were asked for.
        """

    @property
    def priority(self) -> int:
        """The priority of the backfill."""

    @property
    def backfill_id(self) -> str:
        """The id of the backfill."""

    def next_unsent(self) -> tuple[int, int] | None:
        """The run that would be sent next, and its layer; `None`: none is left or may start."""

    def in_flight(self) -> tuple[int, int, int] | None:
        """What was sent and not reported: number of the stream, first run, one after the last."""

    def watch(self) -> BatchWatch:
        """A view for the thread that asks the worker to give up runs."""

    def reclaim(self) -> int | None:
        """Takes back all runs of a worker that died.

        Returns:
            How many of them it had ended without reporting them, so that the next is the run that it
            died of; `None` if that is unknown: the worker had several runs and shared no memory.
        """

    def close(self) -> None:
        """Passes all outcomes to the engine and gives back what has not begun."""

@final
class DirectCalls:
    """The functions of the steps of each layer that Rust calls."""

    def __new__(
        cls,
        layers: Sequence[Sequence[DirectCall | None]],
        is_plain_type: Callable[[type], bool],
    ) -> Self:
        """Creates it.

        Args:
            layers: By layer and step, how its function is called; `None`: Rust does not call it.
            is_plain_type: Whether a value of a type stands for itself. It is called once for most types.
        """

@final
class Calls:
    """The runs of a batch whose functions Rust calls."""

    def __new__(cls, direct: DirectCalls, batch: Batch | WorkerBatch) -> Self: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> tuple[Run, list[CallOutcome]]:
        """Executes runs until one is to be continued in Python.

        Returns:
            The run, and what has become of its first steps, which were called.
        """

    @property
    def current(self) -> tuple[Step, Run] | None:
        """The step and the run that are being executed; `None`: none has begun."""

    def note(self) -> None:
        """Passes on what functions returned."""

@disjoint_base
class CallContext:
    """The base class of the context of a call, which costs nothing until something of it is asked for."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Self: ...
    def _enter(
        self, step: Step, run: Run | None = None, selection: Selection | None = None
    ) -> None:
        """Says what the context is about.

        Args:
            step: The step.
            run: The run; `None` for a context that is made by hand.
            selection: The partitions that the step is executed for; `None`: all of the run.
        """

    @property
    def _step(self) -> Step:
        """The step."""

    @property
    def _run(self) -> Run | None:
        """The run; `None` if the context was made by hand."""

    @property
    def _selection(self) -> Selection | None:
        """The partitions that the step is executed for; `None`: all of the run."""

    @property
    def partition_key(self) -> str:
        """The text of the one partition: `us`, or `date=2024-01-01|region=us`.

        Raises:
            PartitionValidationError: The run has several partitions, or the asset is not partitioned.
        """

    _metadata: OutputMetadata | None
    """What the function has added about what it produces. It is set once, and changed in place."""

@final
class BatchWatch:
    """A batch whose runs were sent, as a thread sees it that does not wait for the report."""

    def has_next(self) -> bool:
        """Whether a run is left that may be sent."""

    def recall(self) -> tuple[int, bool] | None:
        """What to ask the worker for, if that is new.

        Returns:
            The number of the stream of ranges, and whether it must give up what it has not begun even
            if its current run has not stalled.
        """

    def given_up(self, stream: int, first: int | None) -> None:
        """Lets others execute the runs of the stream from `first` on; `None`: the worker keeps them."""

@final
class Run:
    """A run while it is executed. Assets are named by their index in the request."""

    @property
    def number(self) -> int:
        """The run's number in the backfill."""

    @property
    def layer(self) -> int:
        """The layer of the plan that the run belongs to."""

    @property
    def id(self) -> str:
        """The run's id."""

    @property
    def tags(self) -> list[tuple[str, str]]:
        """The run's tags."""

    @property
    def partitions(self) -> Selection:
        """The run's partitions."""

    @property
    def has_no_failures(self) -> bool:
        """Whether each asset is executed for all partitions.

        Not if something has failed or was skipped in this attempt, an earlier one or an earlier run, or if
        the plan has partitions that are already materialized.
        """

    def fail(self, asset: int, error_type: str, message: str, traceback: str | None = None) -> None:
        """Records that an asset failed for all partitions of the run."""

    def retry(
        self,
        assets: Sequence[int],
        error_type: str,
        message: str,
        traceback: str | None,
        seconds: float,
        repeated: Sequence[int],
    ) -> None:
        """Records that assets failed and are retried after `seconds`, together with `repeated`."""

    def keep_yielded(self, asset: int, partitions: Selection) -> None:
        """Records what an asset that is retried materialized: the next attempt does without it."""

    def executes(self, asset: int) -> bool:
        """Whether this attempt executes an asset: an earlier one may have done so."""

    def failed_attempts(self, asset: int) -> int:
        """Number of earlier attempts in which an asset failed and was to be retried."""

    def defer(self, assets: Sequence[int], needs: Sequence[int]) -> bool:
        """Defers assets to the next attempt if that executes one of `needs`; whether it does."""

    def skip(self, asset: int) -> None:
        """Records that an asset was not executed because something it needs failed."""

    def failed_or_skipped(self, asset: int) -> bool:
        """Whether an asset failed or was skipped for all partitions."""

    def add_metadata(self, asset: int, key: PartitionKey | None, body: str) -> None:
        """Records a JSON object about what was materialized of an asset.

        Args:
            asset: The asset's index.
            key: The partitions that it is about; `None`: all that have none of their own.
            body: The JSON object.
        """

    def mark_failed(
        self,
        asset: int,
        key: PartitionKey,
        error_type: str,
        message: str,
        traceback: str | None = None,
    ) -> None:
        """Records that each partition of the key failed."""

    def check_defined(self, asset: int, space: Space) -> None:
        """Fails the partitions of an asset that are not in `space`."""

    def survivors(self, asset: int, among: Selection | None = None) -> Selection | None:
        """The partitions of an asset that this run materializes, among some of its own; `None`: all of these.

        They were neither marked as failed nor skipped, nor materialized before.
        """

    def mark_skipped(self, asset: int, key: PartitionKey | None, reason: str) -> None:
        """Records that an asset skipped each partition of the key; `None`: all that have not failed."""

    def leaves_out(self, asset: int, key: PartitionKey) -> bool:
        """Whether an asset failed for each partition of the key, or skipped it."""

    def is_skipped(self, asset: int) -> bool:
        """Whether an asset was skipped for all partitions."""

    def skipped(self, asset: int) -> Selection | None:
        """The partitions that an asset skipped; `None`: none."""

    def follow_skips(self, asset: int, upstreams: Sequence[int]) -> None:
        """Skips for an asset what one of `upstreams` skipped in this run."""

    def skipped_before(self, asset: int, needed: Selection) -> Selection | None:
        """Those of the partitions of an asset that earlier runs skipped; `None`: none."""

    def enter(self, asset: int, needs: Sequence[int]) -> Selection | None:
        """The partitions for which an asset is executed, after failures in `needs`; `None`: all."""

@final
class JobSpec:
    """The plan and the request of a backfill, which pickle for a worker process."""

    def __new__(cls, space: bytes, plan: bytes, request: bytes) -> Self: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class SharedRuns:
    """Runs that the engine and a worker process share, in a file that both map."""

    def __new__(cls, path: str | PathLike[str], *, create: bool = False) -> Self:
        """Maps a file.

        Args:
            path: The file.
            create: Whether to create it, on the engine's side.

        Raises:
            StorageError: The file cannot be created or mapped.
        """

    def set_step(self, step: int) -> None:
        """Records which step of the current run begins."""

    @property
    def step(self) -> int:
        """Index of the step that the current run is at."""

    deadline: int
    """Until when the worker's present call may take, in microseconds of `time.monotonic()`; 0: for ever."""

    @property
    def is_running(self) -> bool:
        """Whether a run was claimed that the worker has not ended."""

@final
class WorkerBatch:
    """Runs that a worker process claims; iterating executes them."""

    def __new__(
        cls, spec: JobSpec, runs: SharedRuns | tuple[int, int], prior_attempts: bytes
    ) -> Self:
        """Creates the batch from what the engine's `Batch` gave.

        Args:
            spec: `Batch.spec`.
            runs: The memory given to `Batch.share`, or the result of `Batch.send`.
            prior_attempts: The result of `Batch.prior_attempts`.
        """

    def __iter__(self) -> Self: ...
    def __next__(self) -> Run:
        """Ends the current run, if any, and begins the next, unless it is time to report."""

    def give_up(self, if_stalled: bool) -> int | None:
        """Gives up the runs that have not begun; with `if_stalled` only if the current run stalls them.

        Returns:
            The first of them, for `BatchWatch.given_up`; `None`: they stay here.
        """

    def report(self) -> bytes:
        """The outcomes of the runs that have ended, for `Batch.receive`."""

@final
class WorkerLock:
    """Shows, as long as it exists, that a worker process is alive."""

    def __new__(cls, path: str | PathLike[str]) -> Self: ...
