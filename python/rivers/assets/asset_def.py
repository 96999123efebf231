"""What an asset says of its outputs, and of other assets that it depends on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from rivers._rivers import PartitionMapping
from rivers.exceptions import AssetDefinitionError
from rivers.io.base import BaseIOHandler


@dataclass(frozen=True)
class DepDef:
    """An upstream asset, in `Asset(deps=[...])`; made by `AssetDef.input` or `AssetDef.dep`.

    Attributes:
        kind: `"input"`: its value is taken; `"dep"`: it is executed before, no more.
        name: The upstream asset, and the parameter that gets the value of an input.
        partition_mapping: Which of its partitions are needed; `None`: those of the same keys.
        io_handler: Loads the value, in place of the upstream's own; `None`: that one.
        metadata: For the IO handler, over the upstream's own metadata.
    """

    kind: Literal["input", "dep"]
    name: str
    partition_mapping: PartitionMapping | None = None
    io_handler: BaseIOHandler | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        mapping = ("partition_mapping", self.partition_mapping, PartitionMapping)
        _check(f"AssetDef.{self.kind}()", mapping, *_common(self))


@dataclass(frozen=True)
class AssetDef:
    """An output of `Asset.from_multi`: an asset that is made in one step with others.

    `AssetDef.input` and `AssetDef.dep` say of an upstream asset what is needed of it, in `deps`.

    Attributes:
        name: The asset's name.
        io_handler: Keeps its value; `None`: the one of `Asset.from_multi`.
        metadata: For the IO handler, over that of `Asset.from_multi`.
        code_version: Recorded with what is materialized; `None`: that of `Asset.from_multi`.

    Raises:
        AssetDefinitionError: An argument is of another kind.

    Example:
        >>> import rivers as rs
        >>> days = rs.PartitionsDefinition.daily("2024-01-01", "2024-01-04")
        >>> @rs.Asset(partitions_def=days)
        ... def sales() -> int:
        ...     return 5
        >>> before = rs.PartitionMapping.time_window(-1)
        >>> @rs.Asset(partitions_def=days, deps=[rs.AssetDef.input("sales", before)])
        ... def of_yesterday(sales: int | None) -> int:
        ...     return sales or 0
        >>> repo = rs.CodeRepository([sales, of_yesterday])
        >>> all_days = rs.PartitionKeyRange.single("2024-01-01", "2024-01-03")
        >>> for name in ["sales", "of_yesterday"]:
        ...     result = repo.backfill([name], partition_range=all_days)
        >>> [repo.load_node("of_yesterday", key) for key in result.partition_keys]
        [0, 5, 5]
    """

    name: str
    io_handler: BaseIOHandler | None = field(default=None, kw_only=True)
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False, kw_only=True)
    code_version: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        _check("AssetDef", *_common(self), ("code_version", self.code_version, str))

    @classmethod
    def input(
        cls,
        name: str,
        partition_mapping: PartitionMapping | None = None,
        io_handler: BaseIOHandler | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> DepDef:
        """An upstream whose value the function's parameter of the same name gets.

        Where the mapping leads from a run's partitions to none of the upstream's, the parameter has
        its default, or `None` if it has none. An asset may take its own value, where the mapping
        leads to earlier partitions: `PartitionMapping.time_window(-1)`.

        Args:
            name: The upstream asset, and the parameter.
            partition_mapping: Which of its partitions are needed; by default those of the same keys.
            io_handler: Loads the value, in place of the upstream's own.
            metadata: For the IO handler, over the upstream's own metadata.

        Raises:
            AssetDefinitionError: An argument is of another kind.
        """
        return DepDef(
            "input", name, partition_mapping, io_handler, {} if metadata is None else metadata
        )

    @classmethod
    def dep(cls, name: str, partition_mapping: PartitionMapping | None = None) -> DepDef:
        """An upstream that must be executed before, without its value.

        Args:
            name: The upstream asset.
            partition_mapping: Which of its partitions are needed; by default those of the same keys.

        Raises:
            AssetDefinitionError: An argument is of another kind.
        """
        return DepDef("dep", name, partition_mapping)


def _common(given: AssetDef | DepDef) -> tuple[tuple[str, object, type], ...]:
    return (
        ("name", given.name, str),
        ("io_handler", given.io_handler, BaseIOHandler),
        ("metadata", given.metadata, Mapping),
    )


def _check(what: str, *arguments: tuple[str, object, type]) -> None:
    for argument, value, kind in arguments:
        optional = argument not in ("name", "metadata")
        if not isinstance(value, kind) and not (optional and value is None):
            msg = f"{argument} of {what} must be a {kind.__name__}, got {value!r}"
            raise AssetDefinitionError(msg)
