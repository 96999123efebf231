"""How many workers a backfill has on a cluster, as its executor recorded it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class WorkerCounts:
    """How many workers of a cluster execute runs of a backfill.

    Attributes:
        num_workers: Number of workers.
        num_nodes: Number of nodes that they are on.
        unmet: Why runs wait for a worker that no node can have; `None` if none does.
    """

    num_workers: int
    num_nodes: int
    unmet: str | None

    def to_json(self) -> str:
        """The counts as they are stored."""
        return json.dumps(asdict(self))

    @classmethod
    def of(cls, record: Mapping[str, Any] | None) -> WorkerCounts | None:
        """Reads them from the record of a backfill; `None`: its executor recorded none."""
        if record is None or record["workers"] is None:
            return None
        return cls(**json.loads(record["workers"]))

    def __str__(self) -> str:
        nodes = f"{self.num_nodes:,} node{'' if self.num_nodes == 1 else 's'}"
        return f"{self.num_workers:,} on {nodes}"
