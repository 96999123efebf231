"""A run as the storage has recorded it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rivers._lazy import LazyAttributes

if TYPE_CHECKING:
    from datetime import datetime

    from rivers.partitions import PartitionKey


@dataclass(frozen=True)
class LaunchedBy:
    """Who asked for a run.

    Attributes:
        kind: `"backfill"` or `"manual"` (`materialize()`).
        backfill_id: The backfill, if one did.
    """

    kind: str
    backfill_id: str | None = None


@dataclass
class RunRecord(LazyAttributes):
    """A run as recorded: `Storage.get_run()` and `Storage.get_runs()`.

    Attributes:
        run_id: Its id.
        status: `"pending"`, `"running"`, `"completed"`, `"failed"` or `"canceled"`.
        tags: Its tags, with `rivers/priority`.
        priority: Its place in the queue: higher goes first.
        partition_keys: Its partitions, in definition order. Built when first touched.
        node_names: The assets it executes, in order. Built when first touched.
        started_at: When it began (UTC).
        ended_at: When it ended (UTC).
        error: Its first failure, if it failed.
        launched_by: Who asked for it.
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
