"""How a backfill stands at one time: its record, its rate and whether its process is dead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rivers._worker_counts import WorkerCounts

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping

    from rivers._rivers import Store


_LIMITS = ("max_failures", "max_starts_per_second", "canary", "timeout", "stop_on_failure")


@dataclass(frozen=True)
class BackfillView:
    """How a backfill stands, derived once for the command line, the live displays and web pages.

    Attributes:
        backfill_id: The id.
        status: `"in_progress"`, `"completed"`, `"failed"` or `"canceled"`.
        num_partitions: Number of partitions.
        num_runs: Number of planned runs.
        completed: Number of completed partitions.
        failed: Number of failed partitions.
        canceled: Number of canceled partitions.
        assets: Names of the assets, in the order of the request.
        strategy: How partitions are grouped into runs.
        max_concurrency: Maximum number of runs in flight.
        priority: Position in the run queue; a higher one goes first.
        tags: Attached to each run.
        created_at: When the backfill was submitted (UTC).
        ended_at: When it ended (UTC), or `None`.
        paused: Whether no new run starts until `unpause_backfill()`.
        interrupted: Whether it is in progress and the process that ran it is dead.
        rate: Partitions that ended per second lately; `None` where that is not known.
        running: Number of runs in flight at the last commit.
        owner: Name of the process that runs it, or ran it when it was interrupted; `None` once it has ended.
        limits: What holds the backfill back: `max_failures`, `max_starts_per_second`, `canary`, `timeout`
            and `stop_on_failure`, where they are set.
        workers: How many workers of a cluster execute its runs, and what they lack; `None` where the
            executor does not say.
    """

    backfill_id: str
    status: str
    num_partitions: int
    num_runs: int
    completed: int
    failed: int
    canceled: int
    assets: list[str]
    strategy: str
    max_concurrency: int
    priority: int
    tags: list[tuple[str, str]]
    created_at: dt.datetime
    ended_at: dt.datetime | None
    paused: bool
    interrupted: bool
    rate: float | None
    running: int
    owner: str | None
    limits: dict[str, float | bool]
    workers: WorkerCounts | None

    @property
    def is_running(self) -> bool:
        """Whether it is in progress and a living process runs it."""
        return self.status == "in_progress" and not self.interrupted

    @property
    def state(self) -> str:
        """The status; `"interrupted"` or `"paused"` where that says more."""
        if self.interrupted:
            return "interrupted"
        return "paused" if self.paused else self.status

    @property
    def num_ended(self) -> int:
        """Number of partitions that have ended, in whichever way."""
        return self.completed + self.failed + self.canceled

    @property
    def eta(self) -> float | None:
        """Seconds until its end at the current rate; `None` where the rate is not known."""
        return seconds_left(self.num_partitions - self.num_ended, self.rate)

    @property
    def duration(self) -> float | None:
        """Seconds from its submission to its end; `None` until it has ended."""
        if self.ended_at is None:
            return None
        return (self.ended_at - self.created_at).total_seconds()


def seconds_left(num_partitions: int, rate: float | None) -> float | None:
    """Seconds that the partitions take at `rate` per second; `None` where the rate is not known."""
    return num_partitions / rate if rate else None


def view_of(store: Store, record: Mapping[str, Any], *, interrupted: bool) -> BackfillView:
    """Derives the view of a backfill from its record.

    Args:
        store: The storage of the record.
        record: The record; one that has ended costs no further query.
        interrupted: Whether no living process ran the backfill just before the record was read.
    """
    in_progress = record["status"] == "in_progress"
    return BackfillView(
        backfill_id=record["backfill_id"],
        status=record["status"],
        num_partitions=record["num_partitions"],
        num_runs=record["num_runs"],
        completed=record["completed"],
        failed=record["failed"],
        canceled=record["canceled"],
        assets=record["assets"],
        strategy=record["strategy"],
        max_concurrency=record["max_concurrency"],
        priority=record["priority"],
        tags=record["tags"],
        created_at=record["created_at"],
        ended_at=record["ended_at"],
        paused=record["paused"],
        interrupted=in_progress and interrupted,
        rate=store.rate(record["backfill_id"]) if in_progress else None,
        running=record["running"] if in_progress else 0,
        owner=record["owner"] if in_progress else None,
        limits={name: record[name] for name in _LIMITS if record[name]},
        workers=None if interrupted else WorkerCounts.of(record),
    )
