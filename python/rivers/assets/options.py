"""Types of what `Asset` takes and of what it decorates, for type checkers and editors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    # For type checkers alone: `Asset` needs no brackets then.
    from typing_extensions import ParamSpec, TypeVar

    from rivers.io.base import BaseIOHandler
    from rivers.partitions import PartitionsDefinition
    from rivers.policies.hook import Hook
    from rivers.policies.retry import RetryPolicy
    from rivers.policies.strategy import BackfillStrategy

    P = ParamSpec("P", default=...)
    R = TypeVar("R", default=Any)
else:
    from typing import ParamSpec, TypeVar

    P = ParamSpec("P")
    R = TypeVar("R")

P2 = ParamSpec("P2")
R2 = TypeVar("R2")


class Undecorated:
    """For type checkers: what an `Asset(...)` without a function returns, if called with none."""


class AssetOptions(TypedDict, total=False):
    """The options of `Asset` that `Asset.from_multi` and `Asset.from_graph` take too."""

    partitions_def: PartitionsDefinition | str | None
    backfill_strategy: BackfillStrategy | None
    io_handler: BaseIOHandler | str | None
    deps: Iterable[Any] | None
    tags: Mapping[str, str] | Iterable[str] | None
    kinds: str | Iterable[str] | None
    group: str | None
    metadata: Mapping[str, Any] | None
    code_version: str | None
    retry: RetryPolicy | str | None
    timeout: float | None
    pool: str | Iterable[str | tuple[str, int]] | None
    pool_slots: int | Mapping[str, int] | None
    hooks: Iterable[Hook] | None
    compute: Mapping[str, Any] | None


class SingleAssetOptions(AssetOptions, total=False):
    """All options of `Asset`."""

    name: str | None


class TaskOptions(TypedDict, total=False):
    """The options of `Task`."""

    name: str | None
    tags: Mapping[str, str] | Iterable[str] | None
    io_handler: BaseIOHandler | str | None
    retry: RetryPolicy | str | None
    timeout: float | None
    compute: Mapping[str, Any] | None
