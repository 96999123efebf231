"""Facts about what was produced, while a run gathers them from a function and an IO handler."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rivers._rivers import PartitionKey
from rivers.exceptions import PartitionValidationError
from rivers.io.metadata_value import MetadataValue, to_json
from rivers.partitions.partition_context import expanded

if TYPE_CHECKING:
    from rivers.partitions.partition_context import PartitionContext


class OutputMetadata:
    """Facts about all partitions of a run, and about some of them.

    Attributes:
        shared: The facts about all partitions.
        single: Facts about one partition each, which override the shared ones.
    """

    __slots__ = ("_known", "shared", "single")

    def __init__(self) -> None:
        self.shared: dict[str, MetadataValue] = {}
        self.single: dict[PartitionKey, dict[str, MetadataValue]] = {}
        self._known: set[PartitionKey] | None = None

    def add(
        self,
        metadata: Mapping[str, Any],
        partition_key: PartitionKey | str | None,
        partition: PartitionContext | None,
        what: str,
    ) -> None:
        """Adds facts, which override earlier ones of the same name.

        Args:
            metadata: The facts by name.
            partition_key: The partition that they are about; `None`: all.
            partition: The partitions there are.
            what: What an error message calls the asset.

        Raises:
            TypeError: A name is no `str`, or a value cannot be metadata.
            PartitionValidationError: The key is not one of `partition`.
        """
        values = metadata_values(metadata)
        if partition_key is None:
            self.shared.update(values)
            return
        if isinstance(partition_key, str):
            partition_key = PartitionKey.single(partition_key)
        if partition is None or partition.definition is None:
            msg = f"{what} is not partitioned, so it has no partition {partition_key!s}"
            raise PartitionValidationError(msg)
        if self._known is None:
            self._known = set(partition.keys)
        keys = list(expanded([partition_key], partition.definition))
        for key in keys:
            if key not in self._known:
                msg = f"the partition {str(key)!r} is not one of the {len(self._known)} of {what}"
                raise PartitionValidationError(msg)
        for key in keys:
            self.single.setdefault(key, {}).update(values)

    def of_call(self, partition: PartitionContext | None) -> dict[str, MetadataValue]:
        """The shared facts, with those about the only partition if there is one."""
        if not self.single or partition is None or len(partition.keys) != 1:
            return dict(self.shared)
        return {**self.shared, **self.single.get(partition.key, {})}


class ConstantMetadata:
    """Facts that are the same for each value of a handler, with their stored form.

    Args:
        metadata: The facts by name.
    """

    __slots__ = ("json", "values")

    def __init__(self, metadata: Mapping[str, Any]) -> None:
        self.values = metadata_values(metadata)
        self.json = to_json(self.values)


def metadata_values(metadata: Mapping[str, Any]) -> dict[str, MetadataValue]:
    """The facts as `MetadataValue`s.

    Raises:
        TypeError: `metadata` is no mapping, a name is no `str`, or a value cannot be metadata.
    """
    if not isinstance(metadata, Mapping):
        msg = f'metadata must be a dict such as {{"rows": 5}}, got {metadata!r}'
        raise TypeError(msg)
    for name in metadata:
        if not isinstance(name, str):
            msg = f"the names of metadata must be str, got {name!r}"
            raise TypeError(msg)
    return {name: MetadataValue.of(value) for name, value in metadata.items()}
