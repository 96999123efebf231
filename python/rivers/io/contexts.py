"""What an IO handler knows of the value that it stores or loads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rivers.io.output_metadata import ConstantMetadata, OutputMetadata, metadata_values

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rivers._rivers import PartitionKey
    from rivers.io.metadata_value import MetadataValue
    from rivers.partitions.partition_context import PartitionContext


class _Context:
    """The attributes that both contexts have."""

    __slots__ = ("asset_metadata", "asset_name", "partition", "type_hint")

    asset_name: str
    asset_metadata: dict[str, Any] | None
    partition: PartitionContext | None
    type_hint: Any

    def __init__(
        self,
        asset_name: str,
        asset_metadata: Mapping[str, Any] | None,
        partition: PartitionContext | None,
        type_hint: Any,
    ) -> None:
        if not isinstance(asset_name, str):
            msg = f"asset_name must be a str, got {asset_name!r}"
            raise TypeError(msg)
        self.asset_name = asset_name
        self.asset_metadata = dict(asset_metadata) if asset_metadata else None
        self.partition = partition
        self.type_hint = type_hint

    @property
    def asset(self) -> str:
        """The asset's name."""
        return self.asset_name

    @property
    def metadata(self) -> dict[str, Any]:
        """The asset's metadata; empty if it has none."""
        return self.asset_metadata or {}

    @property
    def partitions(self) -> list[PartitionKey]:
        """The keys of `partition`; empty for an asset without partitions."""
        return [] if self.partition is None else self.partition.keys


class OutputContext(_Context):
    """What an IO handler knows of a value that it is to store.

    Args:
        asset_name: The asset whose function returned the value.
        asset_metadata: The asset's metadata; `None` if it has none.
        partition: The partitions to store; `None` for an asset without partitions.
        type_hint: The function's return annotation; `None` if it has none, and for an output of a
            multi-asset.
        run_id: The run that computed the value; empty in a context that is made by hand.
        tags: The run's tags.
        failed: The run's partitions that its function marked as failed. Nothing is stored for them;
            what a value holds for them is left out.

    Attributes:
        output_metadata: The facts about all partitions that the function has added, and the handler.

    Example:
        >>> from rivers.io import OutputContext
        >>> OutputContext("report", {"unit": "EUR"}).asset_metadata
        {'unit': 'EUR'}
    """

    __slots__ = ("_added", "_constant", "failed", "output_metadata", "run_id", "tags")

    def __init__(
        self,
        asset_name: str,
        asset_metadata: Mapping[str, Any] | None = None,
        partition: PartitionContext | None = None,
        type_hint: Any = None,
        *,
        run_id: str = "",
        tags: Sequence[tuple[str, str]] = (),
        failed: Sequence[PartitionKey] = (),
    ) -> None:
        super().__init__(asset_name, asset_metadata, partition, type_hint)
        self.run_id = run_id
        self.tags = list(tags)
        self.failed = list(failed)
        self.output_metadata: dict[str, MetadataValue] = {}
        self._added: OutputMetadata | None = None
        self._constant: ConstantMetadata | None = None

    def add_output_metadata(
        self, metadata: Mapping[str, Any], partition_key: PartitionKey | str | None = None
    ) -> None:
        """Adds facts about what is stored; they are recorded with each materialization.

        Args:
            metadata: The facts by name: `str`, `int`, `float`, `bool`, `None` or a `MetadataValue`. A
                later one overrides an earlier one.
            partition_key: The partition that they are about, one of those to store; all by default.

        Raises:
            TypeError: A name is no `str`, or a value is of another type.
            PartitionValidationError: The key is not one of the partitions to store.

        Example:
            >>> from rivers.io import OutputContext
            >>> context = OutputContext("report")
            >>> context.add_output_metadata({"rows": 5})
            >>> context.output_metadata
            {'rows': MetadataValue.int(5)}
        """
        added = self._all_added() or OutputMetadata()
        added.add(metadata, partition_key, self.partition, f"the output {self.asset_name!r}")
        self._added = added
        is_whole = partition_key is None or len(self.partitions) == 1
        if is_whole:
            self.output_metadata.update(metadata_values(metadata))

    def _add_constant(self, constant: ConstantMetadata) -> None:
        """Adds facts that cost nearly nothing, before any others."""
        self._constant = constant
        self.output_metadata = {**self.output_metadata, **constant.values}

    def _all_added(self) -> OutputMetadata | None:
        """What the handler has added; `None` if nothing."""
        if self._constant is not None:
            self._added = self._added or OutputMetadata()
            self._added.shared = {**self._constant.values, **self._added.shared}
            self._constant = None
        return self._added

    @property
    def run_partitions(self) -> list[PartitionKey]:
        """All partitions of the run: those to store, then those that failed."""
        return [*self.partitions, *self.failed]

    def __repr__(self) -> str:
        return f"<OutputContext of {self.asset_name!r}>"


class InputContext(_Context):
    """What an IO handler knows of a value that it is to load.

    Args:
        asset_name: The upstream asset, whose value is loaded.
        downstream_asset: The asset that takes the value; `None` if the value is loaded by
            `CodeRepository.load_node`.
        asset_metadata: The upstream asset's metadata, or its replacement for this input; `None` if
            there is none.
        partition: The upstream's partitions to load; `None` if it has none.
        type_hint: The annotation of the parameter that takes the value; `None` if it has none.
        run_id: The run that takes the value, if one does.

    Example:
        >>> from rivers.io import InputContext
        >>> InputContext("prices", "report").downstream_asset
        'report'
    """

    __slots__ = ("downstream_asset", "run_id")

    def __init__(
        self,
        asset_name: str,
        downstream_asset: str | None,
        asset_metadata: Mapping[str, Any] | None = None,
        partition: PartitionContext | None = None,
        type_hint: Any = None,
        *,
        run_id: str | None = None,
    ) -> None:
        super().__init__(asset_name, asset_metadata, partition, type_hint)
        self.downstream_asset = downstream_asset
        self.run_id = run_id

    @property
    def downstream(self) -> str | None:
        """The asset that takes the value, if one does."""
        return self.downstream_asset

    def __repr__(self) -> str:
        return f"<InputContext of {self.asset_name!r}>"
