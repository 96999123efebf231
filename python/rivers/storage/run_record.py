"""`RunRecord`: a run as it is recorded."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from rivers._lazy import LazyAttributes

if TYPE_CHECKING:
    from rivers._storage import RunData
    from rivers.partitions import PartitionKey

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class LaunchedBy:
    """What launched a run.

    Attributes:
        kind: `"backfill"`, or `"manual"` for `materialize()` and `submit()`.
        backfill_id: The id of the backfill, if it was one.

    Example:
        >>> import rivers as rs
        >>> @rs.Asset
        ... def answer() -> int:
        ...     return 42
        >>> storage = rs.Storage.memory()
        >>> _ = rs.CodeRepository([answer]).resolve(storage).materialize()
        >>> storage.get_runs()[0].launched_by == rs.LaunchedBy.manual()
        True
    """

    kind: str
    backfill_id: str | None = None

    @staticmethod
    def manual() -> LaunchedBy:
        """What a run of `materialize()` or `submit()` was launched by."""
        return LaunchedBy("manual")

    @staticmethod
    def backfill(backfill_id: str) -> LaunchedBy:
        """What a run of a backfill was launched by.

        Args:
            backfill_id: The id of the backfill.
        """
        return LaunchedBy("backfill", backfill_id)

    @property
    def name(self) -> None:
        """The name of a schedule or a sensor: there are none."""
        return

    @property
    def user(self) -> None:
        """The user who launched it: this is not recorded."""
        return


@dataclass
class RunRecord(LazyAttributes):
    """A run as it is recorded, from `Storage.get_run()` and `Storage.get_runs()`.

    Attributes:
        run_id: The id of the run.
        status: `"pending"`, `"running"`, `"completed"`, `"failed"` or `"canceled"`.
        tags: The tags of the run, with `rivers/priority`.
        priority: The priority in the run queue; runs of a higher one start first.
        partition_keys: The partitions, in the order of the definition. Computed on first access.
        node_names: The names of the assets, in the order of execution. Computed on first access.
        started_at: When the run started (UTC).
        ended_at: When the run ended (UTC).
        error: The first error in a line, if the run failed.
        launched_by: What launched the run.
        partition_key: One key that stands for exactly the run's partitions; `None` if there is no such
            key, or no partition. Computed on first access.
        start_time: When the run started, in nanoseconds since 1970 UTC; 0 before that.
        end_time: When the run ended, in nanoseconds since 1970 UTC; `None` before that.
        job_name: `None`: a run belongs to no job.
        block_reason: Why the run waits, as far as it is recorded; `None` if it has started.
    """

    run_id: str
    status: str
    tags: list[tuple[str, str]]
    priority: int
    partition_keys: list[PartitionKey] = field(init=False)
    node_names: list[str] = field(init=False)
    started_at: datetime | None
    ended_at: datetime | None
    error: str | None
    launched_by: LaunchedBy
    partition_key: PartitionKey | None = field(init=False)
    block_reason: str | None = None
    job_name: None = None

    @property
    def start_time(self) -> int:  # noqa: D102  (documented in the class)
        return 0 if self.started_at is None else _nanoseconds(self.started_at)

    @property
    def end_time(self) -> int | None:  # noqa: D102
        return None if self.ended_at is None else _nanoseconds(self.ended_at)

    def __repr__(self) -> str:
        error = f", error: {self.error}" if self.error else ""
        return f"RunRecord({self.run_id}: {self.status}, {', '.join(self.node_names)}{error})"


def _nanoseconds(time: datetime) -> int:
    return (time - _EPOCH) // _MICROSECOND * 1_000


def block_reason(run: RunData) -> str | None:
    """Why a run that has not started waits, as far as its record tells."""
    backfill = run["backfill"]
    if run["status"] != "pending":
        return None
    if backfill["paused"]:
        return "its backfill is paused"
    limit = backfill["max_concurrency"]
    return f"it waits for its turn: at most {limit} runs of its backfill run at once"
