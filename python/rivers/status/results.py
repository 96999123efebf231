"""What the calls of a repository return."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rivers._lazy import LazyAttributes

if TYPE_CHECKING:
    import polars as pl

    from rivers.partitions import PartitionKey


_MOST_DRAWN = 2_000_000
"""Partitions that a notebook draws a map of; the tables have any number."""


class _Shown(LazyAttributes):
    """A result that a notebook shows in words, with a bar and a map."""

    def _show(self, facts: dict[str, str], counts: dict[str, int], total: int) -> str:
        """In a notebook: what is known in words and, if it is not too much to look at, as a map."""
        from rivers.status import html  # noqa: PLC0415  (Polars is loaded where a table is wanted)

        table = self.__dict__.get("_table")
        drawn = html.grid(table()) if table is not None and total <= _MOST_DRAWN else ""
        return html.facts(facts) + html.bar(counts, total) + drawn


def run_ids(backfill_id: str, num_runs: int) -> list[str]:
    """The ids of a backfill's runs: they follow from its id."""
    return [f"{backfill_id}.{number}" for number in range(num_runs)]


@dataclass
class BackfillResult(_Shown):
    """Returned by `CodeRepository.backfill()` and `rerun_backfill()`.

    Attributes:
        backfill_id: Unique id of the backfill; of a dry run, `""`.
        num_partitions: How many partitions; never how many runs.
        num_runs: How many runs are planned.
        status: `"in_progress"`, `"completed"`, `"failed"`, `"canceled"`, or `"dry_run"`.
        completed: Completed partitions.
        failed: Failed partitions.
        canceled: Canceled partitions.
        run_ids: Ids of the runs, in order; empty for a dry run. Built when first touched.
        is_dry_run: Whether nothing was executed.
        partition_keys: The partitions, in order. Built when first touched.
        estimate: Of a dry run: how many seconds it would take at its concurrency, by the latest
            recorded runs of its assets; `None` where they have none. Looked up when first touched.
        partitions_per_asset: By asset, how many of its partitions. The sum is more than
            `num_partitions` where runs execute several assets.
    """

    backfill_id: str
    num_partitions: int
    num_runs: int
    status: str
    completed: int = 0
    failed: int = 0
    canceled: int = 0
    run_ids: list[str] = field(init=False)
    is_dry_run: bool = False
    partition_keys: list[PartitionKey] = field(init=False)
    estimate: float | None = field(init=False)
    partitions_per_asset: dict[str, int] = field(default_factory=dict)

    def _fill(self, record: dict[str, Any]) -> None:
        """How it stands by now."""
        self.status = record["status"]
        self.completed, self.failed = record["completed"], record["failed"]
        self.canceled = record["canceled"]

    def to_polars(self) -> pl.DataFrame:
        """The partitions, in order: one row each, a column per dimension (see `rivers.status.tables`).

        Where assets have runs of their own, a column `assets` (String) names those of the row.
        """
        table: pl.DataFrame = self.__dict__["_thunks"]["to_polars"]()
        return table

    def _repr_html_(self) -> str:
        counts = {"completed": self.completed, "failed": self.failed, "canceled": self.canceled}
        size = f"{_count(self.num_partitions, 'partition')} in {_count(self.num_runs, 'run')}"
        facts = {"backfill": self.backfill_id, "status": self.status, "size": size}
        if not self.is_dry_run:
            facts["ended"] = _ended(**counts)
        elif self.estimate is not None:
            facts["estimate"] = f"{self.estimate:,.1f} s"
        return self._show(facts, counts, self.num_partitions)

    def __repr__(self) -> str:
        head = f"BackfillResult({self.backfill_id or 'dry run'}: "
        size = f"{_count(self.num_partitions, 'partition')} in {_count(self.num_runs, 'run')}"
        if self.is_dry_run:
            return f"{head}{size})"
        return f"{head}{self.status}, {size}, {_ended(self.completed, self.failed, self.canceled)})"


@dataclass
class BackfillStatus(_Shown):
    """Returned by `CodeRepository.get_backfill()`: how a backfill stands.

    Attributes:
        backfill_id: Unique id of the backfill.
        status: `"in_progress"`, `"completed"`, `"failed"` or `"canceled"`.
        total_partitions: How many partitions it has.
        completed_partitions: How many are completed, and recorded as such.
        failed_partitions: How many failed.
        canceled_partitions: How many were canceled.
        run_ids: Ids of its runs, in order. Built when first touched.
        error: Of a failed backfill: its first failure's asset, partition and message, and how many
            partitions failed.
        tags: Attached to each of its runs.
        paused: Whether nothing new starts until `unpause_backfill()`; its status stays
            `"in_progress"`.
        rate: Partitions a second that have ended lately; `None` where that is not known: it has ended,
            is paused, nobody runs it, or no run has ended. Looked up when first touched.
        eta: Seconds until its end at this rate; `None` where that is not known.
    """

    backfill_id: str
    status: str
    total_partitions: int
    completed_partitions: int
    failed_partitions: int
    canceled_partitions: int
    run_ids: list[str] = field(init=False)
    error: str | None
    tags: list[tuple[str, str]]
    paused: bool = False
    rate: float | None = field(init=False)
    eta: float | None = field(init=False)

    def _repr_html_(self) -> str:
        counts = {
            "completed": self.completed_partitions,
            "failed": self.failed_partitions,
            "canceled": self.canceled_partitions,
        }
        facts = {
            "backfill": self.backfill_id,
            "status": f"{self.status}{', paused' if self.paused else ''}",
            "size": _count(self.total_partitions, "partition"),
            "ended": _ended(**counts),
        }
        if self.rate and self.eta is not None:
            facts["rate"] = f"{self.rate:,.1f} partitions/s, {self.eta:,.0f} s left"
        if self.error:
            facts["error"] = self.error
        return self._show(facts, counts, self.total_partitions)

    def __repr__(self) -> str:
        ended = _ended(self.completed_partitions, self.failed_partitions, self.canceled_partitions)
        error = f", error: {self.error}" if self.error else ""
        return (
            f"BackfillStatus({self.backfill_id}: {self.status}{', paused' if self.paused else ''}, "
            f"{_count(self.total_partitions, 'partition')}, {ended}{error})"
        )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _ended(completed: int, failed: int, canceled: int) -> str:
    parts = [f"{completed:,} completed"]
    parts += [f"{failed:,} failed"] if failed else []
    parts += [f"{canceled:,} canceled"] if canceled else []
    return ", ".join(parts)


@dataclass(frozen=True)
class RunResult:
    """Returned by `CodeRepository.materialize()`.

    Attributes:
        run_id: The run's id.
        success: Whether all assets were materialized for all its partitions.
        materialized_assets: Names of the assets that were, in order; a multi-asset's are its outputs.
        failed_assets: Names of the assets that were not, wholly or for some partitions, each with the
            message of its error (`"ValueError: boom"`) or of what blocked it.
        error: The first failure, if there is one.
    """

    run_id: str
    success: bool
    materialized_assets: list[str]
    failed_assets: list[tuple[str, str]]
    error: str | None = None
