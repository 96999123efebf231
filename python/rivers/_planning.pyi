"""Stub of the binding: resolved partitions, selections of them, and plans. Internal to the package."""

import datetime as dt
from collections.abc import Sequence
from typing import Any, Self, final

from rivers._partitions import PartitionKey, PartitionMapping
from rivers.partitions import PartitionKeyRange
from rivers.partitions.key_range import RangePart
from rivers.policies.strategy import BackfillStrategy

@final
class ArrowTable:
    """A table that Arrow libraries read over the PyCapsule interface: `pl.DataFrame(table)`."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...

@final
class Space:
    """All partitions of a definition, resolved at one time."""

    @staticmethod
    def unpartitioned() -> Space:
        """Returns the space of an unpartitioned asset: one partition without a key."""

    @property
    def num_partitions(self) -> int: ...
    def needs_several(self, upstream: Space, mapping: PartitionMapping | None = None) -> bool:
        """Whether one of these partitions may need several of an upstream's."""

    @property
    def has_time_windows(self) -> bool:
        """Whether some dimension is divided into time windows."""

    def dimensions(self) -> list[tuple[str, int, int]]:
        """Returns the name, number of keys and stride of each dimension."""

    def labels(self, at: int) -> list[str]:
        """Returns all keys of the dimension at an index."""

    def locate(self, at: int, keys: Sequence[str]) -> list[int]:
        """Returns the positions of keys in the dimension at an index."""

    def all(self) -> Selection: ...
    def select_parts(self, parts: Sequence[tuple[str, RangePart, bool]]) -> Selection:
        """Selects a product of parts; `True` in a part excludes its keys."""

    def select_numbers(self, numbers: Sequence[int]) -> Selection:
        """Selects partitions by number, in the order given."""

    def select_range(self, range: PartitionKeyRange) -> Selection:
        """Selects the partitions of a range."""

    def select_keys(self, keys: list[PartitionKey]) -> Selection:
        """Selects the partitions that keys represent, in order, without duplicates."""

    def __reduce__(self) -> tuple[Any, ...]: ...

def decode_selection(space: bytes, plan: bytes) -> Selection:
    """Reads a pickled selection."""

def decode_space(bytes: bytes) -> Space:
    """Reads a pickled space."""

@final
class Selection:
    """Partitions of a space, in order."""

    @property
    def num_partitions(self) -> int: ...
    @property
    def space(self) -> Space: ...
    def key(self, n: int) -> PartitionKey:
        """Returns the key at index `n`."""

    def keys(self) -> list[PartitionKey]: ...
    def covering_key(self) -> PartitionKey | None:
        """The one key that represents exactly these partitions; `None` if there is none."""

    def text(self, n: int) -> str:
        """Returns the text of the key at index `n`."""

    def table(self) -> ArrowTable:
        """Returns one row per partition."""

    def same_in(self, other: Space) -> Selection:
        """Returns the partitions of another space with equal keys and equal windows."""

    def union(self, other: Selection) -> Selection: ...
    def intersection(self, other: Selection) -> Selection: ...
    def difference(self, other: Selection) -> Selection: ...
    def reversed(self) -> Selection:
        """Returns the partitions in reverse order."""

    def arranged(self, dimensions: list[str]) -> Selection:
        """Returns the partitions sorted by dimensions; `"-name"` sorts one in descending order."""

    def time_window(self, dimension: str | None = None) -> tuple[dt.datetime, dt.datetime]:
        """Returns the start of the first window and the end of the last; naive UTC without a zone."""

    def translate(self, other: Space, asset: str) -> Selection:
        """Returns the same keys in another space, which must have all of them; errors name `asset`."""

    def check_in(self, other: Space, asset: str) -> None:
        """Raises an error naming `asset` if its space `other` does not have all of the keys."""

    def only_in(self, other: Space) -> tuple[Selection, int]:
        """Returns the keys that `other` has too, and the number of those that it does not have."""

    def upstream(self, other: Space, mapping: PartitionMapping | None = None) -> Selection:
        """Returns the upstream partitions that these need; by default dimensions match by name."""

    def downstream(self, other: Space, mapping: PartitionMapping | None = None) -> Selection:
        """Returns the downstream partitions that need one of these; by default matched by name."""

    def equals(self, other: Selection) -> bool:
        """Returns whether both have the same partitions of the same space in the same order."""

@final
class StoredStrategy:
    """The grouping of an earlier plan's runs, to plan a rerun the same way."""

@final
class Plan:
    """The runs that cover a selection."""

    def __new__(cls, selection: Selection, strategy: BackfillStrategy | StoredStrategy) -> Self: ...
    @staticmethod
    def in_layers(
        layers: Sequence[tuple[Selection, BackfillStrategy | StoredStrategy, Sequence[int]]],
        links: Sequence[tuple[int, int, int, PartitionMapping, bool]],
    ) -> Plan:
        """Makes a plan of several layers, where runs depend on runs of other layers.

        Args:
            layers: Partitions, grouping, and indices of the assets in the request, for each layer.
            links: For each dependency: the index of the layer that has it, of the layer it leads to,
                of the asset that is needed, the mapping of its partitions, and whether runs are
                executed even if some of these were not materialized.
        """

    def with_materialized(self, materialized: Sequence[tuple[int, Selection]]) -> Plan:
        """Returns the plan with the partitions for which assets are already materialized.

        Args:
            materialized: Indices of assets in the request, each with its partitions. The runs do not
                execute the asset for these.
        """

    def materialized(self, asset: int) -> Selection | None:
        """The partitions for which an asset, by its index, is already materialized; `None`: none."""

    @property
    def num_runs(self) -> int: ...
    @property
    def num_partitions(self) -> int:
        """Number of partitions of all layers."""

    @property
    def selection(self) -> Selection:
        """Partitions of the first layer."""

    @property
    def layers(self) -> list[tuple[Selection, StoredStrategy, list[int] | None]]:
        """The layers as `in_layers` takes them; `None` for the assets of the only layer."""

    @property
    def strategy(self) -> str: ...
    @property
    def is_one_run(self) -> bool:
        """Whether one run executes all partitions, however many they are."""

    def run(self, number: int) -> Selection:
        """Returns the partitions of a run."""

    def assets_of(self, number: int) -> list[int] | None:
        """Returns the indices in the request of the assets that a run executes; `None`: all."""

def check_per_dimension(multi_run: Sequence[str], single_run: Sequence[str]) -> None:
    """Raises an error for arguments that `BackfillStrategy.per_dimension()` does not allow."""
