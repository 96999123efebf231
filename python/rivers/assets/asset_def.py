"""What an asset declares about its outputs, and about the assets that it depends on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from rivers._rivers import PartitionMapping, PartitionsDefinition
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
        metadata: Passed to the IO handler in place of the upstream's own metadata; `None`: that.
        allow_missing: Whether the asset takes what exists of an input, and does without the rest.
    """

    kind: Literal["input", "dep"]
    name: str
    partition_mapping: PartitionMapping | None = None
    io_handler: BaseIOHandler | str | None = None
    metadata: Mapping[str, Any] | None = field(default=None, hash=False)
    allow_missing: bool = False

    def __post_init__(self) -> None:
        _check(
            f"AssetDef.{self.kind}()",
            ("name", self.name, (str,)),
            ("partition_mapping", self.partition_mapping, (PartitionMapping,)),
            ("io_handler", self.io_handler, (BaseIOHandler, str)),
            ("metadata", self.metadata, (Mapping,)),
            ("allow_missing", self.allow_missing, (bool,)),
        )

    @property
    def is_input(self) -> bool:
        """Whether the asset takes the upstream's value."""
        return self.kind == "input"


@dataclass(frozen=True, init=False)
class AssetDef:
    """An output of `Asset.from_multi`: an asset that is made in one step with others.

    What it does not specify comes from `Asset.from_multi`; only `partitions_def` there takes precedence.
    `AssetDef.input` and `AssetDef.dep` make entries of `deps`, with options for one upstream asset.

    Attributes:
        name: Name of the asset.
        tags: Free labels.
        kinds: Labels that say what the asset is, such as `"table"`; a single `str` is one kind.
        group: Name of the group that the asset belongs to.
        code_version: Recorded with each materialization.
        io_handler: Stores its value.
        metadata: Passed to the IO handler, merged over that of `Asset.from_multi`.
        partitions_def: How the asset is partitioned: a definition, or the name of one in
            `CodeRepository(partition_defs=)`.
        partition_mapping: Which partitions of upstream assets are needed, by asset name or `AssetDef`. The
            mapping of a parameter holds for the function, so outputs cannot differ in it.
        pool: The pools it takes slots of; given as a name or several, read as `(pool, slots)` pairs.
        pool_slots: Number of slots; with several pools also a dict by pool. One by default.
        deps: As for `Asset`: an `AssetDef.input` belongs to the function, anything else to this output.

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
    tags: dict[str, str] | list[str] | None = field(hash=False)
    kinds: list[str] = field(hash=False)
    group: str | None
    code_version: str | None
    io_handler: BaseIOHandler | str | None
    metadata: dict[str, Any] = field(hash=False)
    partitions_def: PartitionsDefinition | str | None
    partition_mapping: dict[str, PartitionMapping] | None = field(hash=False)
    pool: list[tuple[str, int]] = field(hash=False)
    pool_slots: int | Mapping[str, int] | None = field(hash=False)
    deps: list[Any] = field(hash=False)

    def __init__(
        self,
        name: str,
        tags: Mapping[str, str] | Iterable[str] | None = None,
        kinds: str | Iterable[str] | None = None,
        group: str | None = None,
        code_version: str | None = None,
        io_handler: BaseIOHandler | str | None = None,
        metadata: Mapping[str, Any] | None = None,
        partitions_def: PartitionsDefinition | str | None = None,
        partition_mapping: Mapping[Any, PartitionMapping] | None = None,
        pool: str | Iterable[str | tuple[str, int]] | None = None,
        pool_slots: int | Mapping[str, int] | None = None,
        deps: Iterable[Any] | None = None,
    ) -> None:
        _check(
            "AssetDef",
            ("name", name, (str,)),
            ("io_handler", io_handler, (BaseIOHandler, str)),
            ("metadata", metadata, (Mapping,)),
            ("code_version", code_version, (str,)),
            ("group", group, (str,)),
            ("partitions_def", partitions_def, (PartitionsDefinition, str)),
        )
        vars(self).update(
            name=name, tags=None if tags is None else read_tags(tags), kinds=read_kinds(kinds),
            group=group, code_version=code_version, io_handler=io_handler,
            metadata=dict(metadata or {}), partitions_def=partitions_def,
            partition_mapping=_mappings_by_name(partition_mapping),
            pool=list(slots_by_pool(pool, pool_slots).items()), pool_slots=pool_slots,
            deps=list(deps or ()),
        )  # fmt: skip

    @classmethod
    def input(
        cls,
        name: str,
        partition_mapping: PartitionMapping | None = None,
        io_handler: BaseIOHandler | str | None = None,
        metadata: Mapping[str, Any] | None = None,
        allow_missing: bool = False,
    ) -> DepDef:
        """Declares an upstream whose value the parameter of the same name receives.

        If a run's partitions need none of the upstream's, the parameter has its default, or `None` if
        it has none. An asset may take its own value if the mapping leads to earlier partitions:
        `PartitionMapping.time_window(-1)`.

        What the parameter receives depends on the mapping. If each partition needs one partition of the
        upstream, it is that value; if one may need several (`all_partitions`, days of a month), it is a
        dict by key, even of one. A run of several partitions always receives a dict. Frame
        handlers give one frame in place of a dict.

        Args:
            name: Name of the upstream asset and of the parameter.
            partition_mapping: Which of its partitions are needed; by default those of the same keys.
            io_handler: Loads the value instead of the upstream's handler.
            metadata: Passed to the IO handler in place of the upstream's own metadata.
            allow_missing: Whether to take what exists. Upstream partitions that failed or were never
                materialized then do not fail the asset's, even within one backfill: they are left out
                of the dict, and in place of a single value the parameter has its default, or `None`.
                `AssetExecutionContext.missing_inputs` lists them.

        Raises:
            TypeError: `name` is not a `str`.
            AssetDefinitionError: Another argument has the wrong type.
        """
        if not isinstance(name, str):
            msg = f"name of AssetDef.input() must be a str, got {name!r}"
            raise TypeError(msg)
        return DepDef("input", name, partition_mapping, io_handler, metadata, allow_missing)

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


def read_tags(tags: Mapping[str, str] | Iterable[str] | None) -> dict[str, str] | list[str]:
    """Returns tags as a dict or list of their own."""
    return dict(tags) if isinstance(tags, Mapping) else list(tags or ())


def read_kinds(kinds: object) -> list[str]:
    """Returns the labels of `kinds`, where a single `str` is one kind.

    Raises:
        AssetDefinitionError: It is neither a `str` nor a list of them.
    """
    labels = [kinds] if isinstance(kinds, str) else kinds
    if labels is None:
        return []
    if not isinstance(labels, Iterable) or not all(isinstance(kind, str) for kind in labels):
        msg = f"kinds of an asset must be a str or a list of str, got {kinds!r}"
        raise AssetDefinitionError(msg)
    return list(labels)


def slots_by_pool(
    pool: str | Iterable[str | tuple[str, int]] | None, pool_slots: int | Mapping[str, int] | None
) -> dict[str, int]:
    """Returns the slots that an asset takes of each pool.

    Raises:
        AssetDefinitionError: `pool` holds something else than names, or `pool_slots` something else than
            counts of these pools.
    """
    names: list[Any] = []
    if isinstance(pool, Iterable) and not isinstance(pool, str):
        names = list(pool)
    elif pool is not None:
        names = [pool]
    if pool_slots is None and names and all(map(_is_pair, names)):
        names, pool_slots = [name for name, _ in names], dict(names)
    if not all(isinstance(name, str) and name for name in names):
        msg = (
            "pool of an asset must be the name of a pool, a list of names, or a list of names and "
            f"slots, got {pool!r}"
        )
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


def _is_pair(entry: object) -> bool:
    return isinstance(entry, tuple) and len(entry) == len(("pool", "slots"))


def _mappings_by_name(
    given: Mapping[Any, PartitionMapping] | None,
) -> dict[str, PartitionMapping] | None:
    if given is None:
        return None
    mappings: dict[str, PartitionMapping] = {}
    for upstream, mapping in given.items() if isinstance(given, Mapping) else [(given, None)]:
        name = getattr(upstream, "name", upstream)
        if not isinstance(name, str) or not isinstance(mapping, PartitionMapping):
            msg = (
                "partition_mapping of AssetDef must be a dict of asset name or AssetDef to "
                f"PartitionMapping, got {given!r}"
            )
            raise AssetDefinitionError(msg)
        mappings[name] = mapping
    return mappings


def _check(what: str, *arguments: tuple[str, object, tuple[type, ...]]) -> None:
    for argument, value, kinds in arguments:
        if not isinstance(value, kinds) and (argument == "name" or value is not None):
            expected = " or ".join(kind.__name__ for kind in kinds)
            msg = f"{argument} of {what} must be a {expected}, got {value!r}"
            raise AssetDefinitionError(msg)
