"""The objects that calls of a repository or a client return."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

from rivers._lazy import LazyAttributes
from rivers.exceptions import ExecutionError

if TYPE_CHECKING:
    import polars as pl

    from rivers._planning import Selection
    from rivers._storage import BackfillRecord
    from rivers._worker_counts import WorkerCounts
    from rivers.partitions import PartitionKey


class _Shown(LazyAttributes):
    """A result that a notebook shows as words, a bar and a map."""

    def _show(self, facts: dict[str, str], counts: dict[str, int], total: int) -> str:
        """Returns the HTML of a result."""
        from rivers.status import html  # noqa: PLC0415  (only a notebook needs it)

        cells = self.__dict__.get("_cells")
        drawn = (
            html.grid(cells(html.MAP_COLUMNS, html.MAP_ROWS)) if cells is not None and total else ""
        )
        return html.facts(facts) + html.bar(counts, total) + drawn


MAX_LISTED = 100_000_000
"""Maximum length of the lists that results have; their objects would not fit into memory."""


def check_listed(what: str, count: int, instead: str) -> None:
    """Refuses a list that would not fit into memory.

    Args:
        what: What is listed, in the plural.
        count: How many there are.
        instead: What needs no list.

    Raises:
        ExecutionError: There are more than `MAX_LISTED`.
    """
    if count > MAX_LISTED:
        msg = f"{count:,} {what} cannot be listed, at most {MAX_LISTED:,}; {instead}"
        raise ExecutionError(msg)


def run_ids(backfill_id: str, num_runs: int) -> list[str]:
    """Returns the ids of a backfill's runs, which follow from its id."""
    check_listed("run ids", num_runs, "the id of run N is the backfill's id and '.N'")
    return [f"{backfill_id}.{number}" for number in range(num_runs)]


@dataclass(eq=False)
class BackfillResult(_Shown):
    """Returned by `CodeRepository.backfill()` and `rerun_backfill()`.

    Two results are equal if all of this is, but for the estimate; nothing is listed for that.

    Attributes:
        backfill_id: Unique id of the backfill; `""` for a dry run.
        num_partitions: Number of partitions (not of runs).
        num_runs: Number of planned runs.
        status: `"in_progress"`, `"completed"`, `"failed"`, `"canceled"`, or `"dry_run"`.
        completed: Number of completed partitions.
        failed: Number of failed partitions.
        canceled: Number of canceled partitions.
        run_ids: Ids of the runs, in order; empty for a dry run. Computed on first access.
        is_dry_run: Whether nothing was executed.
        partition_keys: The partitions, in order. Computed on first access.
        estimate: For a dry run, the seconds that the backfill would take at its concurrency, estimated
            from the latest recorded runs of its assets; `None` if there are none. Computed on first
            access.
        partitions_per_asset: Number of partitions of each asset. Their sum exceeds `num_partitions`
            where runs execute several assets.
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

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BackfillResult):
            return NotImplemented
        compared = [each.name for each in fields(self) if each.name not in _COMPUTED]
        if any(getattr(self, name) != getattr(other, name) for name in compared):
            return False
        # The partitions and runs of a backfill follow from its id.
        return self is other or not self.is_dry_run or self._has_partitions_of(other)

    __hash__ = None  # type: ignore[assignment]  # Status and counts change.

    def _has_partitions_of(self, other: BackfillResult) -> bool:
        mine, others = (result.__dict__.get("_selections") for result in (self, other))
        if mine is None or others is None:  # A copy has lists.
            return self.partition_keys == other.partition_keys
        return len(mine) == len(others) and all(map(_are_same, mine, others))

    def _fill(self, record: BackfillRecord) -> None:
        """Takes status and counts from a record."""
        self.status = record["status"]
        self.completed, self.failed = record["completed"], record["failed"]
        self.canceled = record["canceled"]

    def to_polars(self) -> pl.DataFrame:
        """Returns one row per partition, in order, with a column per dimension (see `rivers.status.tables`).

        Where assets have runs of their own, a column `assets` (String) names the assets of the row.
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


def _are_same(one: Selection, other: Selection) -> bool:
    """Whether two selections have the same partitions, by arithmetic."""
    if one.equals(other):
        return True
    there = one.same_in(other.space)
    is_part = one.num_partitions == there.num_partitions == other.num_partitions
    return is_part and there.difference(other).num_partitions == 0


_COMPUTED = ("run_ids", "partition_keys", "estimate")


@dataclass
class BackfillStatus(_Shown):
    """Returned by `get_backfill()`: how a backfill stands.

    Attributes:
        backfill_id: Unique id of the backfill.
        status: `"in_progress"`, `"completed"`, `"failed"` or `"canceled"`.
        total_partitions: Number of partitions.
        completed_partitions: Number of partitions that are recorded as completed.
        failed_partitions: Number of failed partitions.
        canceled_partitions: Number of canceled partitions.
        run_ids: Ids of its runs, in order. Computed on first access.
        error: For a failed backfill, the asset, partition and message of its first failure, and the
            number of failed partitions.
        tags: Attached to each of its runs.
        paused: Whether no new run starts until `unpause_backfill()`; the status stays
            `"in_progress"`.
        rate: Partitions that ended per second lately; `None` if the backfill has ended or is paused, no
            process runs it, or no run has ended yet. Computed on first access.
        eta: Seconds until its end at this rate; `None` if the rate is not known.
        workers: How many workers of a cluster execute its runs, on how many nodes, and what they wait
            for that no node has; `None` where the executor does not say. Computed on first access.
    """

    backfill_id: str
    status: str
    total_partitions: int
    completed_partitions: int
    failed_partitions: int
    canceled_partitions: int
    run_ids: list[str] = field(init=False, compare=False)
    error: str | None
    tags: list[tuple[str, str]]
    paused: bool = False
    rate: float | None = field(init=False)
    eta: float | None = field(init=False)
    workers: WorkerCounts | None = field(init=False)

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
        success: Whether all assets were materialized for all partitions of the run.
        materialized_assets: Names of the assets that were, in order; a multi-asset's are its outputs.
        failed_assets: Names of the assets that were not, for all or some of the partitions, each with
            the message of its error (`"ValueError: boom"`) or of what blocked it.
        error: The first failure, if there is one.
    """

    run_id: str
    success: bool
    materialized_assets: list[str]
    failed_assets: list[tuple[str, str]]
    error: str | None = None
