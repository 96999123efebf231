"""`RunRecord`: a run as it is recorded."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rivers._lazy import LazyAttributes

if TYPE_CHECKING:
    from datetime import datetime

    from rivers.partitions import PartitionKey


@dataclass(frozen=True)
class LaunchedBy:
    """What launched a run.

    Attributes:
        kind: `"backfill"`, or `"manual"` for `materialize()` and `submit()`.
        backfill_id: The id of the backfill, if it was one.
    """

    kind: str
    backfill_id: str | None = None


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

    def __repr__(self) -> str:
        error = f", error: {self.error}" if self.error else ""
        return f"RunRecord({self.run_id}: {self.status}, {', '.join(self.node_names)}{error})"
