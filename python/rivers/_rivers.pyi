"""Stub of the binding: what the Rust core exports. `rivers` has what users need of it."""

from rivers._execution import (
    Batch,
    BatchWatch,
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
    decode_selection,
    decode_space,
)
from rivers._storage import (
    Store,
    backfill_partitions,
    backfill_runs,
    backfills,
    partition_status,
)

__all__ = [
    "DEBUG_BUILD",
    "ArrowTable",
    "Batch",
    "BatchWatch",
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
    "decode_selection",
    "decode_space",
    "mapping_refusal",
    "partition_status",
]

DEBUG_BUILD: bool
"""Whether the core was built without optimizations."""
