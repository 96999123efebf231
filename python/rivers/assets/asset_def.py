"""What an asset declares about its outputs, and about the assets that it depends on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from rivers._rivers import PartitionMapping
from rivers.exceptions import AssetDefinitionError
from rivers.io.base import BaseIOHandler


@dataclass(frozen=True)
class DepDef:
    """An upstream asset, in `Asset(deps=[...])`; made by `AssetDef.input` or `AssetDef.dep`.

    Attributes:
        kind: `"input"` if the asset takes the upstream's value, `"dep"` if the upstream must only be
            executed first.
        name: Name of the upstream asset, and of the parameter that receives an input's value.
        partition_mapping: Which of the upstream's partitions are needed; `None`: those of the same keys.
        io_handler: Loads the value instead of the upstream's handler; `None`: the upstream's.
        metadata: Passed to the IO handler, merged over the upstream's own metadata.
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

    `AssetDef.input` and `AssetDef.dep` make entries of `deps`, with options for one upstream asset.

    Attributes:
        name: Name of the asset.
        io_handler: Stores its value; `None`: that of `Asset.from_multi`.
        metadata: Passed to the IO handler, merged over that of `Asset.from_multi`.
        code_version: Recorded with each materialization; `None`: that of `Asset.from_multi`.

    Raises:
        AssetDefinitionError: An argument has the wrong type.

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
        """Declares an upstream whose value the parameter of the same name receives.

        If a run's partitions need none of the upstream's, the parameter has its default, or `None` if
        it has none. An asset may take its own value if the mapping leads to earlier partitions:
        `PartitionMapping.time_window(-1)`.

        Args:
            name: Name of the upstream asset and of the parameter.
            partition_mapping: Which of its partitions are needed; by default those of the same keys.
            io_handler: Loads the value instead of the upstream's handler.
            metadata: Passed to the IO handler, merged over the upstream's own metadata.

        Raises:
            AssetDefinitionError: An argument has the wrong type.
        """
        return DepDef(
            "input", name, partition_mapping, io_handler, {} if metadata is None else metadata
        )

    @classmethod
    def dep(cls, name: str, partition_mapping: PartitionMapping | None = None) -> DepDef:
        """Declares an upstream that must be executed first, without taking its value.

        Args:
            name: Name of the upstream asset.
            partition_mapping: Which of its partitions are needed; by default those of the same keys.

        Raises:
            AssetDefinitionError: An argument has the wrong type.
        """
        return DepDef("dep", name, partition_mapping)


def slots_by_pool(
    pool: str | Iterable[str] | None, pool_slots: int | Mapping[str, int] | None
) -> dict[str, int]:
    """Returns the slots that an asset takes of each pool.

    Raises:
        AssetDefinitionError: `pool` holds something else than names, or `pool_slots` something else than
            counts of these pools.
    """
    names: list[str] = []
    if isinstance(pool, Iterable) and not isinstance(pool, str):
        names = list(pool)
    elif pool is not None:
        names = [pool]
    if not all(isinstance(name, str) and name for name in names):
        msg = f"pool of an asset must be the name of a pool, or a list of names, got {pool!r}"
        raise AssetDefinitionError(msg)
    by_pool = (
        pool_slots
        if isinstance(pool_slots, Mapping)
        else dict.fromkeys(names, 1 if pool_slots is None else pool_slots)
    )
    if isinstance(pool_slots, Mapping):
        of_no_pool = any(name not in names for name in pool_slots)
    else:
        of_no_pool = pool_slots is not None and not names
    if of_no_pool:
        msg = f"pool_slots of an asset is {pool_slots!r}, but its pools are {names}"
        raise AssetDefinitionError(msg)
    slots = {name: by_pool.get(name, 1) for name in names}
    for name, count in slots.items():
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            msg = f"pool_slots of an asset must be an int of at least 1, got {count!r} for {name!r}"
            raise AssetDefinitionError(msg)
    return slots


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
