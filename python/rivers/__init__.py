"""Backfills of partitioned data assets: planned at once, durable, as fast as your functions."""

from importlib import import_module
from typing import TYPE_CHECKING

from rivers import exceptions
from rivers._rivers import DEBUG_BUILD

if TYPE_CHECKING:
    from rivers.assets.asset import Asset, ExternalAsset, GraphAsset, MultiAsset, SingleAsset
    from rivers.assets.asset_def import AssetDef, DepDef
    from rivers.assets.graph_asset import Task
    from rivers.client import BackfillClient
    from rivers.execution.context import AssetExecutionContext
    from rivers.execution.executor import Executor
    from rivers.execution.outputs import Materialization, Output
    from rivers.execution.resource import Resource
    from rivers.execution.skips import Skip
    from rivers.execution.task_context import TaskExecutionContext
    from rivers.io import (
        BaseIOHandler,
        InMemoryIOHandler,
        InputContext,
        OutputContext,
        PickleIOHandler,
    )
    from rivers.io.delta import DeltaIOHandler
    from rivers.io.metadata_value import MetadataValue
    from rivers.io.parquet import ParquetIOHandler
    from rivers.partitions import (
        PartitionKey,
        PartitionKeyRange,
        PartitionMapping,
        PartitionsDefinition,
    )
    from rivers.partitions.partition_context import PartitionContext
    from rivers.partitions.partition_set import PartitionSet, exclude
    from rivers.policies.backoff import Backoff
    from rivers.policies.hook import Hook, HookContext
    from rivers.policies.retry import FailureReason, RetryOn, RetryPolicy
    from rivers.policies.run_queue import RunQueueConfig, TagConcurrencyLimit
    from rivers.policies.strategy import BackfillStrategy
    from rivers.repository.repository import CodeRepository
    from rivers.repository.run_handle import RunHandle
    from rivers.status.notifications import BackfillEnd
    from rivers.status.results import BackfillResult, BackfillStatus, RunResult
    from rivers.storage.events import StoredEvent
    from rivers.storage.run_record import LaunchedBy, RunRecord
    from rivers.storage.storage import Storage

    __version__: str

__all__ = [
    "Asset",
    "AssetDef",
    "AssetExecutionContext",
    "BackfillClient",
    "BackfillEnd",
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
    "Hook",
    "HookContext",
    "InMemoryIOHandler",
    "InputContext",
    "LaunchedBy",
    "Materialization",
    "MetadataValue",
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
    "Resource",
    "RetryOn",
    "RetryPolicy",
    "RunHandle",
    "RunQueueConfig",
    "RunRecord",
    "RunResult",
    "SingleAsset",
    "Skip",
    "Storage",
    "StoredEvent",
    "TagConcurrencyLimit",
    "Task",
    "TaskExecutionContext",
    "exceptions",
    "exclude",
]

_MODULES = {
    "rivers.assets.asset": ("Asset", "ExternalAsset", "GraphAsset", "MultiAsset", "SingleAsset"),
    "rivers.assets.asset_def": ("AssetDef", "DepDef"),
    "rivers.assets.graph_asset": ("Task",),
    "rivers.client": ("BackfillClient",),
    "rivers.execution.context": ("AssetExecutionContext",),
    "rivers.execution.executor": ("Executor",),
    "rivers.execution.resource": ("Resource",),
    "rivers.execution.task_context": ("TaskExecutionContext",),
    "rivers.execution.outputs": ("Materialization", "Output"),
    "rivers.execution.skips": ("Skip",),
    "rivers.io": (
        "BaseIOHandler",
        "InMemoryIOHandler",
        "InputContext",
        "OutputContext",
        "PickleIOHandler",
    ),
    "rivers.io.delta": ("DeltaIOHandler",),
    "rivers.io.metadata_value": ("MetadataValue",),
    "rivers.io.parquet": ("ParquetIOHandler",),
    "rivers.partitions": (
        "PartitionKey",
        "PartitionKeyRange",
        "PartitionMapping",
        "PartitionsDefinition",
    ),
    "rivers.partitions.partition_context": ("PartitionContext",),
    "rivers.partitions.partition_set": ("PartitionSet", "exclude"),
    "rivers.policies.backoff": ("Backoff",),
    "rivers.policies.hook": ("Hook", "HookContext"),
    "rivers.policies.retry": ("FailureReason", "RetryOn", "RetryPolicy"),
    "rivers.policies.run_queue": ("RunQueueConfig", "TagConcurrencyLimit"),
    "rivers.policies.strategy": ("BackfillStrategy",),
    "rivers.repository.repository": ("CodeRepository",),
    "rivers.repository.run_handle": ("RunHandle",),
    "rivers.status.notifications": ("BackfillEnd",),
    "rivers.status.results": ("BackfillResult", "BackfillStatus", "RunResult"),
    "rivers.storage.events": ("StoredEvent",),
    "rivers.storage.run_record": ("LaunchedBy", "RunRecord"),
    "rivers.storage.storage": ("Storage",),
}
"""The public names of each module. They are imported on first access, so that a program, the command line
for one, imports only the parts that it uses."""

_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

if DEBUG_BUILD:
    import warnings

    warnings.warn("this is a debug build of rivers: it is slow", RuntimeWarning, stacklevel=2)


def __getattr__(name: str) -> object:
    """Imports a public name on first access; the version is read from the package's metadata."""
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415

        return version("rivers")
    module = _MODULE_OF.get(name)
    if module is None:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = globals()[name] = getattr(import_module(module), name)
    return value


def __dir__() -> list[str]:
    """Lists the public names: the package's inner modules are importable, but are not for users."""
    return [*__all__, "__version__"]
