"""Backfills of partitioned data assets: planned at once, durable, as fast as your functions."""

from typing import TYPE_CHECKING

from rivers import exceptions
from rivers._rivers import DEBUG_BUILD
from rivers.assets.asset import Asset, ExternalAsset, GraphAsset, MultiAsset, SingleAsset
from rivers.assets.asset_def import AssetDef, DepDef
from rivers.assets.graph_asset import Task
from rivers.client import BackfillClient
from rivers.execution.context import AssetExecutionContext, PartitionContext
from rivers.execution.executor import Executor
from rivers.execution.outputs import Materialization, Output
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
from rivers.policies.backoff import Backoff
from rivers.policies.retry import FailureReason, RetryOn, RetryPolicy
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

    __version__: str

__all__ = [
    "Asset",
    "AssetDef",
    "AssetExecutionContext",
    "BackfillClient",
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
    "FailureReason",
    "GraphAsset",
    "InMemoryIOHandler",
    "InputContext",
    "LaunchedBy",
    "Materialization",
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
    "RetryOn",
    "RetryPolicy",
    "RunHandle",
    "RunQueueConfig",
    "RunRecord",
    "RunResult",
    "SingleAsset",
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
    """Looks up what is costly to import: the handlers that load Polars, and the version."""
    match name:
        case "DeltaIOHandler":
            from rivers.io.delta import DeltaIOHandler  # noqa: PLC0415

            return DeltaIOHandler
        case "ParquetIOHandler":
            from rivers.io.parquet import ParquetIOHandler  # noqa: PLC0415

            return ParquetIOHandler
        case "__version__":
            from importlib.metadata import version  # noqa: PLC0415

            return version("rivers")
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    """Lists the public names: the package's inner modules are importable, but are not for users."""
    return [*__all__, "__version__"]
