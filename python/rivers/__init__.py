"""Backfills of partitioned data assets: planned at once, durable, as fast as your functions."""

from typing import TYPE_CHECKING

from rivers import exceptions
from rivers._rivers import DEBUG_BUILD
from rivers.assets.asset import Asset
from rivers.assets.asset_def import AssetDef, DepDef
from rivers.assets.external_asset import ExternalAsset
from rivers.assets.graph_asset import GraphAsset, Task
from rivers.assets.multi_asset import MultiAsset, Output
from rivers.execution.context import AssetExecutionContext, PartitionContext
from rivers.execution.executor import Executor
from rivers.io import (
    BaseIOHandler,
    InMemoryIOHandler,
    InputContext,
    OutputContext,
    PickleIOHandler,
)
from rivers.partitions import (
    PartitionKey,
    PartitionKeyRange,
    PartitionMapping,
    PartitionsDefinition,
)
from rivers.partitions.partition_set import PartitionSet, exclude
from rivers.policies.retry import Backoff, RetryPolicy
from rivers.policies.run_queue import RunQueueConfig, TagConcurrencyLimit
from rivers.policies.strategy import BackfillStrategy
from rivers.repository.repository import CodeRepository
from rivers.repository.run_handle import RunHandle
from rivers.status.results import BackfillResult, BackfillStatus, RunResult
from rivers.storage.run_record import LaunchedBy, RunRecord
from rivers.storage.storage import Storage

if TYPE_CHECKING:
    from rivers.io.delta import DeltaIOHandler
    from rivers.io.parquet import ParquetIOHandler

__all__ = [
    "Asset",
    "AssetDef",
    "AssetExecutionContext",
    "BackfillResult",
    "BackfillStatus",
    "BackfillStrategy",
    "Backoff",
    "BaseIOHandler",
    "CodeRepository",
    "DeltaIOHandler",
    "DepDef",
    "Executor",
    "ExternalAsset",
    "GraphAsset",
    "InMemoryIOHandler",
    "InputContext",
    "LaunchedBy",
    "MultiAsset",
    "Output",
    "OutputContext",
    "ParquetIOHandler",
    "PartitionContext",
    "PartitionKey",
    "PartitionKeyRange",
    "PartitionMapping",
    "PartitionSet",
    "PartitionsDefinition",
    "PickleIOHandler",
    "RetryPolicy",
    "RunHandle",
    "RunQueueConfig",
    "RunRecord",
    "RunResult",
    "Storage",
    "TagConcurrencyLimit",
    "Task",
    "exceptions",
    "exclude",
]

if DEBUG_BUILD:
    import warnings

    warnings.warn("this is a debug build of rivers: it is slow", RuntimeWarning, stacklevel=2)


def __getattr__(name: str) -> object:
    """Loads Polars where frames are kept; see `rivers.io`."""
    if name == "DeltaIOHandler":
        from rivers.io.delta import DeltaIOHandler  # noqa: PLC0415

        return DeltaIOHandler
    if name == "ParquetIOHandler":
        from rivers.io.parquet import ParquetIOHandler  # noqa: PLC0415

        return ParquetIOHandler
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
