"""What the runs of a backfill did over time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import datetime as dt

    from rivers._storage import Activity as ActivityRecord


@dataclass(frozen=True)
class LongRun:
    """One of the longest runs of a backfill.

    Attributes:
        run: Its number.
        run_id: Its id.
        started_at: When it started (UTC).
        seconds: How long it took.
        failed: Number of its partitions that failed.
    """

    run: int
    run_id: str
    started_at: dt.datetime
    seconds: float
    failed: int


@dataclass(frozen=True)
class WaitingRun:
    """A run that waits for its next attempt.

    Attributes:
        run: Its number.
        run_id: Its id.
        attempt: Number of the attempt that failed, from 1.
        due_at: When the next attempt is due (UTC).
    """

    run: int
    run_id: str
    attempt: int
    due_at: dt.datetime


@dataclass(frozen=True)
class Activity:
    """What the runs of a backfill did over time, in intervals of one length.

    Attributes:
        start: When the backfill was submitted: the start of the first interval (UTC).
        end: When it ended, or when this was read: the end of the last interval (UTC).
        started: Number of runs that started in each interval.
        ended: Number of runs that ended.
        failed: Number of runs that ended and of which partitions failed.
        busy: Number of runs in flight, on average.
        lanes: For each slot of `max_concurrency` two bytes for each interval, from 0 to 255: the share of
            the time in which it executed a run, and in which it executed one that failed. `None` where there
            is too much to place.
        num_lanes: Number of slots that were used; `lanes` may have fewer.
        longest: The longest runs that have ended, the longest first.
        waiting: Runs whose next attempt is due, the earliest first.
    """

    start: dt.datetime
    end: dt.datetime
    started: list[int]
    ended: list[int]
    failed: list[int]
    busy: list[float]
    lanes: list[bytes] | None
    num_lanes: int
    longest: list[LongRun]
    waiting: list[WaitingRun]


def activity_of(backfill_id: str, record: ActivityRecord) -> Activity:
    """Returns the activity of a backfill from its record."""
    started, ended, failed, busy = zip(*record["bins"], strict=True)
    width = (record["end"] - record["start"]).total_seconds() / len(started)
    return Activity(
        start=record["start"],
        end=record["end"],
        started=list(started),
        ended=list(ended),
        failed=list(failed),
        busy=[micros / 1e6 / width for micros in busy],
        lanes=record["lanes"],
        num_lanes=record["num_lanes"],
        longest=[
            LongRun(run, f"{backfill_id}.{run}", at, seconds, failed_partitions)
            for run, at, seconds, failed_partitions in record["longest"]
        ],
        waiting=[
            WaitingRun(run, f"{backfill_id}.{run}", attempt, due_at)
            for run, attempt, due_at in record["waiting"]
        ],
    )
