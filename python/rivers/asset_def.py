"""What an asset says of another one that it depends on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from rivers._rivers import PartitionMapping
from rivers.exceptions import AssetDefinitionError
from rivers.io.base import BaseIOHandler


@dataclass(frozen=True)
class AssetDef:
    """An upstream asset, in `Asset(deps=[...])`; make one with `input` or `dep`.

    Attributes:
        kind: `"input"`: its value is taken; `"dep"`: it is executed before, no more.
        name: The upstream asset, and the parameter that gets the value of an input.
        partition_mapping: Which of its partitions are needed; `None`: those of the same keys.
        io_handler: Loads the value, in place of the upstream's own; `None`: that one.
        metadata: For the IO handler, over the upstream's own metadata.

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

    kind: Literal["input", "dep"]
    name: str
    partition_mapping: PartitionMapping | None = None
    io_handler: BaseIOHandler | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        for argument, value, kind in (
            ("name", self.name, str),
            ("partition_mapping", self.partition_mapping, PartitionMapping),
            ("io_handler", self.io_handler, BaseIOHandler),
            ("metadata", self.metadata, Mapping),
        ):
            optional = argument in ("partition_mapping", "io_handler")
            if not isinstance(value, kind) and not (optional and value is None):
                msg = (
                    f"{argument} of AssetDef.{self.kind}() must be a {kind.__name__}, got {value!r}"
                )
                raise AssetDefinitionError(msg)

    @classmethod
    def input(
        cls,
        name: str,
        partition_mapping: PartitionMapping | None = None,
        io_handler: BaseIOHandler | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> AssetDef:
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
        return cls(
            "input", name, partition_mapping, io_handler, {} if metadata is None else metadata
        )

    @classmethod
    def dep(cls, name: str, partition_mapping: PartitionMapping | None = None) -> AssetDef:
        """An upstream that must be executed before, without its value.

        Args:
            name: The upstream asset.
            partition_mapping: Which of its partitions are needed; by default those of the same keys.

        Raises:
            AssetDefinitionError: An argument is of another kind.
        """
        return cls("dep", name, partition_mapping)
