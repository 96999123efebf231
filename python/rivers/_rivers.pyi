"""Stub of the binding: what the Rust core exports. `rivers` has what users need of it."""

from collections.abc import Sequence
from typing import Any, final

from rivers._execution import (
    Batch,
    Engine,
    JobSpec,
    Run,
    SharedRuns,
    WorkerBatch,
    WorkerLock,
)
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

def backfill_partitions(
    store: Store,
    id: str,
    layer: int,
    status: Sequence[str] | None,
    run_id: bool,
    errors: bool,
) -> ArrowTable:
    """The table of `CodeRepository.backfill_partitions`, for one layer of the plan."""

def backfill_runs(store: Store, id: str, status: Sequence[str] | None) -> ArrowTable:
    """The table of `CodeRepository.backfill_runs`."""

def backfills(
    store: Store, engine: Engine | None, status: Sequence[str] | None, limit: int | None
) -> ArrowTable:
    """The table of `CodeRepository.backfills`."""

def partition_status(
    store: Store, asset: str, space: Space, status: Sequence[str] | None
) -> ArrowTable:
    """The table of `CodeRepository.partition_status`."""

@final
class Store:
    """Where everything is recorded; records are dicts."""

    @staticmethod
    def embedded(path: str) -> Store: ...
    @staticmethod
    def schema(path: str) -> tuple[int, int]:
        """The version of a file's schema, and the newest one that is known here."""

    @staticmethod
    def memory() -> Store: ...
    @property
    def path(self) -> str: ...
    def backfill(self, id: str) -> dict[str, Any] | None: ...
    def backfills(
        self, asset: str | None = None, limit: int | None = None
    ) -> list[dict[str, Any]]: ...
    def numbered(self, key: int) -> dict[str, Any] | None:
        """A backfill by its number."""

    def interrupted(self) -> list[str]:
        """The backfills that have not ended and that no living process runs."""

    def rate(self, id: str) -> float | None:
        """Partitions a second that the backfill has ended lately; `None`: that is not known."""

    def seconds_per_partition(self, assets: Sequence[str]) -> float | None:
        """What the assets have taken for a partition lately; `None`: one has no history."""

    def check(self) -> list[str]:
        """What is wrong with the records, a sentence each."""

    def error(self, id: str) -> str | None:
        """What a person is told of a backfill that failed."""

    def last_error(self, id: str) -> str | None:
        """The failure of a backfill that was recorded last, in a line."""

    def causes(self, id: str) -> list[dict[str, Any]]:
        """Why a backfill's partitions failed, and how many for which reason."""

    def failed_with(self, id: str, error_type: str) -> list[Selection]:
        """The partitions that failed for a reason of this type, layer by layer."""

    def missed(self, key: int) -> list[str]:
        """The assets that a backfill's failures speak of."""

    def plan(self, key: int) -> Plan: ...
    def refuse_overlap(self, assets: list[str], plan: Plan) -> None:
        """Refuses a plan of which another backfill that has not ended holds partitions."""

    def uncompleted(self, id: str) -> list[Selection]:
        """What a rerun of the backfill executes, layer by layer."""

    def materialized(self, asset: str, space: Space) -> Selection: ...
    def ever_materialized(self, asset: str) -> list[Selection]:
        """What was ever materialized: a selection for each definition it happened under."""

    def run(self, id: str) -> dict[str, Any] | None: ...
    def runs(self, limit: int | None = None, status: str | None = None) -> list[dict[str, Any]]:
        """The latest runs: those in flight, then those that have ended."""

    def add_dynamic(self, name: str, keys: Sequence[str]) -> None: ...
    def delete_dynamic(self, name: str, key: str) -> bool: ...
    def dynamic(self, name: str) -> list[str]: ...
