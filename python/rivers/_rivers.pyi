"""The Rust core. What users need of it is in `rivers`; the rest is the package's own."""

import datetime as dt
import re
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Self, TypeAlias, final

import polars as pl
from typing_extensions import disjoint_base

from rivers.partitions import PartitionKeyRange
from rivers.partitions.partition_set import Exclude, PartitionSet
from rivers.planning.request import Submission
from rivers.policies.run_queue import TagConcurrencyLimit
from rivers.policies.strategy import BackfillStrategy
from rivers.storage.storage import Storage

__all__ = [
    "DEBUG_BUILD",
    "ArrowTable",
    "Batch",
    "Engine",
    "PartitionKey",
    "PartitionsDefinition",
    "Plan",
    "Run",
    "Selection",
    "Space",
    "Store",
    "Worked",
    "WorkerBatch",
    "backfill_partitions",
    "backfill_runs",
    "backfills",
    "check_per_dimension",
    "decode_definition",
    "decode_space",
    "partition_status",
]

_Part: TypeAlias = tuple[str, str] | list[str] | re.Pattern[str] | Exclude

DEBUG_BUILD: bool
"""Whether the core was built without optimizations."""

# -- public ----------------------------------------------------------------------------------------

@disjoint_base
class PartitionKey:
    """The name of a partition: a value for its one dimension, or for each of several (SEMANTICS 1).

    Make one with `single` or `multi`; they return a `PartitionKey.Single` or a
    `PartitionKey.Multi`, both of which are `PartitionKey`s. A key with several values in a
    dimension stands for several partitions: the product of its values.

    Keys are equal when they stand for the same partitions: the order of values and of dimensions
    does not matter. They are immutable, hashable and picklable. `str()` gives a text to read
    (`date=2024-01-01|region=us`), `repr()` one that evaluates to the key, `to_json()` one to keep.

    Example:
        >>> from rivers import PartitionKey
        >>> key = PartitionKey.multi({"date": "2024-01-01", "region": "us"})
        >>> key == PartitionKey.multi({"region": ["us"], "date": ["2024-01-01"]})
        True
        >>> str(key), isinstance(key, PartitionKey.Multi)
        ('date=2024-01-01|region=us', True)
    """

    @property
    def key(self) -> list[str]:
        """Of a `PartitionKey.Single` only: its values."""

    @property
    def keys(self) -> dict[str, list[str]]:
        """Of a `PartitionKey.Multi` only: for each dimension its values."""

    @final
    class Single(PartitionKey):
        """A key of a definition with one dimension, made of its value or of several.

        Example:
            >>> from rivers import PartitionKey
            >>> PartitionKey.single("us").key
            ['us']
        """

        def __new__(cls, key: str | list[str] | tuple[str, ...]) -> Self: ...
        @property
        def key(self) -> list[str]:
            """The values, each once, in the order given; one for a single partition."""

    @final
    class Multi(PartitionKey):
        """A key of a definition with named dimensions, made of a value or several for each.

        Example:
            >>> from rivers import PartitionKey
            >>> PartitionKey.multi({"date": "2024-01-01", "region": ["us", "eu"]}).keys
            {'date': ['2024-01-01'], 'region': ['us', 'eu']}
        """

        def __new__(cls, keys: Mapping[str, str | list[str] | tuple[str, ...]]) -> Self: ...
        @property
        def keys(self) -> dict[str, list[str]]:
            """For each dimension its values, each once, in the order given."""

    @staticmethod
    def single(key: str | list[str] | tuple[str, ...]) -> PartitionKey.Single:
        """A key of a definition with one dimension.

        Args:
            key: The value, or several: a key with two values stands for two partitions.

        Raises:
            PartitionDefinitionError: There is no value, or one is empty or holds `|` or `,`.
            TypeError: A value is no `str`.

        Example:
            >>> from rivers import PartitionKey
            >>> PartitionKey.single("us") == PartitionKey.single(["us"])
            True
        """

    @staticmethod
    def multi(keys: Mapping[str, str | list[str] | tuple[str, ...]]) -> PartitionKey.Multi:
        """A key of a definition with named dimensions; it must name each of them.

        Args:
            keys: For each dimension its value, or several: the key stands for their product.

        Raises:
            PartitionDefinitionError: There is no dimension, a dimension has no value, a value is
                empty or holds `|` or `,`, or a name is empty or holds `|`, `,` or `=`.
            TypeError: `keys` is no dict, or a value no `str`.

        Example:
            >>> from rivers import PartitionKey
            >>> PartitionKey.multi({"date": "2024-01-01", "region": ["us", "eu"]})
            PartitionKey.multi({'date': '2024-01-01', 'region': ['us', 'eu']})
        """

    @staticmethod
    def from_json(text: str) -> PartitionKey.Single | PartitionKey.Multi:
        """Reads what `to_json` wrote.

        Args:
            text: `{"single": [...]}` or `{"multi": {"dimension": [...]}}`.

        Raises:
            PartitionDefinitionError: It is another text.

        Example:
            >>> from rivers import PartitionKey
            >>> PartitionKey.from_json('{"single": ["us"]}')
            PartitionKey.single('us')
        """

    def to_json(self) -> str:
        """The key as JSON; `from_json` gives an equal one.

        Example:
            >>> from rivers import PartitionKey
            >>> PartitionKey.single("us").to_json()
            '{"single":["us"]}'
        """

    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class PartitionsDefinition:
    """Which partitions there are: along one dimension, or the product of several (SEMANTICS 2).

    Make one with `static_`, `daily`, `hourly`, `time_window`, `dynamic` or `multi`. A definition is
    arithmetic, however many partitions it has; the keys of a list of them are built when they are
    asked for. It is immutable, comparable, hashable and picklable.

    Time is a naive wall-clock grid of half-open windows `[start, end)`; a partition's key is the
    start of its window, as text. Without an `end`, the last partition is the window that contains
    the present moment; a backfill's plan is fixed when it is submitted.

    Example:
        >>> from rivers import PartitionsDefinition
        >>> days = PartitionsDefinition.daily("2024-01-01", end="2024-01-03")
        >>> regions = PartitionsDefinition.static_(["us", "eu"])
        >>> both = PartitionsDefinition.multi({"date": days, "region": regions})
        >>> len(both.get_partition_keys())
        4
    """

    @staticmethod
    def static_(keys: Iterable[str]) -> PartitionsDefinition:
        """A fixed list of keys, in this order (SEMANTICS 2).

        Args:
            keys: The keys.

        Raises:
            PartitionDefinitionError: There is no key, one is given twice, is empty, or holds `|` or
                `,`.
            TypeError: `keys` is one `str`, or holds something else than `str`.

        Example:
            >>> from rivers import PartitionsDefinition
            >>> PartitionsDefinition.static_(["us", "eu"]).get_partition_keys()
            [PartitionKey.single('us'), PartitionKey.single('eu')]
        """

    @staticmethod
    def daily(
        start: dt.date | str, end: dt.date | str | None = None, fmt: str | None = None
    ) -> PartitionsDefinition:
        """A partition a day (SEMANTICS 2).

        Args:
            start: Where the first window starts: a naive datetime, a date, or a text such as
                `"2024-01-31"` or `"2024-01-31T06:00"`; with a time of day, all days start then.
            end: Windows start before it; `None`: the window that contains now is the last.
            fmt: How keys are written, in the codes of `strftime`; by default `"%Y-%m-%d"`.

        Raises:
            PartitionDefinitionError: `start` or `end` is no moment or has a time zone, `end` is not
                after `start`, or `fmt` does not lead from a key back to its window.
            TypeError: `start` or `end` is of another type.

        Example:
            >>> from rivers import PartitionsDefinition
            >>> days = PartitionsDefinition.daily("2024-02-28", end="2024-03-01")
            >>> [str(key) for key in days.get_partition_keys()]
            ['2024-02-28', '2024-02-29']
        """

    @staticmethod
    def hourly(
        start: dt.date | str, end: dt.date | str | None = None, fmt: str | None = None
    ) -> PartitionsDefinition:
        """A partition an hour (SEMANTICS 2).

        Args:
            start: Where the first window starts; as in `daily`.
            end: Windows start before it; `None`: the window that contains now is the last.
            fmt: How keys are written; by default `"%Y-%m-%dT%H:%M"`.

        Raises:
            PartitionDefinitionError: As `daily`.
            TypeError: As `daily`.

        Example:
            >>> from rivers import PartitionsDefinition
            >>> hours = PartitionsDefinition.hourly("2024-01-01T22:00", end="2024-01-02")
            >>> [str(key) for key in hours.get_partition_keys()]
            ['2024-01-01T22:00', '2024-01-01T23:00']
        """

    @staticmethod
    def time_window(
        start: dt.date | str,
        cron_schedule: str | None = None,
        interval_seconds: int | None = None,
        end: dt.date | str | None = None,
        fmt: str | None = None,
    ) -> PartitionsDefinition:
        """A partition for each window of a schedule, or of an interval (SEMANTICS 2).

        Give either `cron_schedule` or `interval_seconds`.

        Args:
            start: Where the grid starts; as in `daily`. With a schedule, the first window starts at
                its first moment from then on.
            cron_schedule: A window starts at each moment of this cron expression: minute, hour,
                day, month and weekday, with seconds before them if there are six fields.
            interval_seconds: Or every so many seconds, from `start` on.
            end: Windows start before it; `None`: the window that contains now is the last.
            fmt: How keys are written; by default `"%Y-%m-%dT%H:%M:%S"`.

        Raises:
            PartitionDefinitionError: As `daily`; or both or neither of `cron_schedule` and
                `interval_seconds` are given, or the one given is not valid.
            TypeError: As `daily`.

        Example:
            >>> from rivers import PartitionsDefinition
            >>> mondays = PartitionsDefinition.time_window(
            ...     "2024-01-01", cron_schedule="0 9 * * MON", end="2024-01-22", fmt="%Y-%m-%d"
            ... )
            >>> [str(key) for key in mondays.get_partition_keys()]
            ['2024-01-01', '2024-01-08', '2024-01-15']
        """

    @staticmethod
    def multi(dimensions: Mapping[str, PartitionsDefinition]) -> PartitionsDefinition:
        """The product of named dimensions, the first one slowest (SEMANTICS 2).

        Args:
            dimensions: Any number of them, each static, time windows or dynamic.

        Raises:
            PartitionDefinitionError: There is no dimension, a name is empty or holds `|`, `,` or
                `=`, or a dimension is itself a `multi` definition.
            TypeError: `dimensions` is no dict, or holds something else than definitions.

        Example:
            >>> from rivers import PartitionsDefinition
            >>> regions = PartitionsDefinition.static_(["us", "eu"])
            >>> sizes = PartitionsDefinition.static_(["s", "l"])
            >>> grid = PartitionsDefinition.multi({"region": regions, "size": sizes})
            >>> [str(key) for key in grid.get_partition_keys()]
            ['region=us|size=s', 'region=us|size=l', 'region=eu|size=s', 'region=eu|size=l']
        """

    @staticmethod
    def dynamic(name: str) -> PartitionsDefinition:
        """Keys that are registered while the program lives, in the storage (SEMANTICS 2).

        Their order is the order in which they were registered, and ranges over them follow it. See
        `Storage.add_dynamic_partitions` and its neighbours.

        Args:
            name: The name under which the storage has them.

        Raises:
            PartitionDefinitionError: The name is empty.

        Example:
            >>> from rivers import PartitionsDefinition, Storage
            >>> storage = Storage.memory()
            >>> storage.add_dynamic_partitions("customers", ["ada", "bob"])
            >>> PartitionsDefinition.dynamic("customers").get_partition_keys(storage=storage)
            [PartitionKey.single('ada'), PartitionKey.single('bob')]
        """

    @property
    def dimensions(self) -> list[str]:
        """The names of the dimensions of a `multi` definition, in order; else `[]`."""

    def get_partition_keys(
        self, *, storage: Storage | None = None, now: dt.datetime | None = None
    ) -> list[PartitionKey]:
        """All keys, one partition each, in definition order (SEMANTICS 2).

        Args:
            storage: Where the keys of dynamic dimensions are; needed for those alone.
            now: The naive moment up to which a time dimension without an end reaches; by default
                the wall clock's.

        Raises:
            PartitionDefinitionError: A dimension is dynamic and there is no `storage`, or there are
                more partitions than can be numbered.
            StorageError: The storage cannot be read.

        Example:
            >>> from datetime import datetime
            >>> from rivers import PartitionsDefinition
            >>> days = PartitionsDefinition.daily("2024-01-01")
            >>> [str(key) for key in days.get_partition_keys(now=datetime(2024, 1, 2, 12))]
            ['2024-01-01', '2024-01-02']
        """

    def select(
        self, parts: _Part | Mapping[str, _Part] | None = None, /, **dimensions: _Part
    ) -> PartitionSet:
        """A set of partitions that is not listed: a part for each dimension, all of those left out.

        Args:
            parts: The part of the one dimension; of a `multi` definition a dict of parts by name.
            dimensions: Or parts by keyword. A part is a `(from, to)` range, a list of keys, a
                compiled regular expression that keys are searched for, or `rivers.exclude()` of
                one.

        Raises:
            ConfigurationError: Keywords are given, but the dimension has no name.
            TypeError: A part has another shape.

        Example:
            >>> import re
            >>> from rivers import PartitionsDefinition
            >>> regions = PartitionsDefinition.static_(["us", "eu-west", "eu-east"])
            >>> regions.select(re.compile("^eu-")).count()
            2
        """

    def to_polars(
        self, *, storage: Storage | None = None, now: dt.datetime | None = None
    ) -> pl.DataFrame:
        """All partitions as a table, in definition order.

        Args:
            storage: As in `get_partition_keys`.
            now: As in `get_partition_keys`.

        Returns:
            A row per partition and a column per dimension; a time dimension has its windows' starts
            in a further column `<dimension>_start` (see `rivers.status.tables`).

        Raises:
            PartitionDefinitionError: As `get_partition_keys`.
            StorageError: As `get_partition_keys`.

        Example:
            >>> from rivers import PartitionsDefinition
            >>> PartitionsDefinition.daily("2024-01-01", end="2025-01-01").to_polars().shape
            (366, 2)
        """

    def validate_partition_key(
        self, key: PartitionKey, *, storage: Storage | None = None, now: dt.datetime | None = None
    ) -> bool:
        """Whether the key names partitions of this definition; with several values: all of them.

        Args:
            key: The key.
            storage: As in `get_partition_keys`.
            now: As in `get_partition_keys`.

        Raises:
            PartitionDefinitionError: As `get_partition_keys`.
            StorageError: As `get_partition_keys`.
            TypeError: `key` is no `PartitionKey`.

        Example:
            >>> from rivers import PartitionKey, PartitionsDefinition
            >>> regions = PartitionsDefinition.static_(["us", "eu"])
            >>> regions.validate_partition_key(PartitionKey.single("asia"))
            False
        """

    def resolve(self, now: dt.datetime | None = None, storage: Storage | None = None) -> Space:
        """The partitions there are at a moment; for the package itself."""

    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

# -- for the package itself ------------------------------------------------------------------------

def decode_definition(bytes: bytes) -> PartitionsDefinition:
    """Reads what pickling a definition wrote."""

def decode_space(bytes: bytes) -> Space:
    """Reads what pickling a space wrote."""

def check_per_dimension(multi_run: Sequence[str], single_run: Sequence[str]) -> None:
    """Refuses what `BackfillStrategy.per_dimension()` does not allow."""

def backfill_partitions(
    store: Store,
    id: str,
    layer: int,
    status: Sequence[str] | None,
    run_id: bool,
    errors: bool,
) -> ArrowTable:
    """The table of `CodeRepository.backfill_partitions`, for one layer of the plan."""

def backfill_runs(store: Store, id: str, status: Sequence[str] | None) -> ArrowTable:
    """The table of `CodeRepository.backfill_runs`."""

def backfills(
    store: Store, engine: Engine, status: Sequence[str] | None, limit: int | None
) -> ArrowTable:
    """The table of `CodeRepository.backfills`."""

def partition_status(
    store: Store, asset: str, space: Space, status: Sequence[str] | None
) -> ArrowTable:
    """The table of `CodeRepository.partition_status`."""

@final
class ArrowTable:
    """A table that Arrow libraries read over the PyCapsule interface: `pl.DataFrame(table)`."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...

@final
class Space:
    """All partitions of a definition at one moment."""

    @staticmethod
    def unpartitioned() -> Space:
        """The space of an asset without partitions: one, without a key."""

    @property
    def num_partitions(self) -> int: ...
    def dimensions(self) -> list[tuple[str, int, int]]:
        """Name, number of keys and stride of each dimension."""

    def labels(self, at: int) -> list[str]:
        """All keys of a dimension."""

    def locate(self, at: int, keys: Sequence[str]) -> list[int]:
        """Where keys of a dimension stand."""

    def all(self) -> Selection: ...
    def select_parts(
        self, parts: Sequence[tuple[str, tuple[str, str] | list[str], bool]]
    ) -> Selection:
        """A product: for each named dimension the part to take or, with `True`, to leave out."""

    def select_numbers(self, numbers: Sequence[int]) -> Selection:
        """The partitions with these numbers, in this order."""

    def select_range(self, range: PartitionKeyRange) -> Selection:
        """The partitions of a range (SEMANTICS 3)."""

    def select_keys(self, keys: list[PartitionKey]) -> Selection:
        """The partitions that keys stand for, in order, each once."""

    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class Selection:
    """Some partitions of a space, in order."""

    @property
    def num_partitions(self) -> int: ...
    @property
    def space(self) -> Space: ...
    def key(self, n: int) -> PartitionKey:
        """The n-th key."""

    def keys(self) -> list[PartitionKey]: ...
    def text(self, n: int) -> str:
        """The text of the n-th key."""

    def table(self) -> ArrowTable:
        """A row per partition."""

    def union(self, other: Selection) -> Selection: ...
    def intersection(self, other: Selection) -> Selection: ...
    def difference(self, other: Selection) -> Selection: ...
    def reversed(self) -> Selection:
        """The same partitions, from the end to the start."""

    def arranged(self, dimensions: list[str]) -> Selection:
        """The same by these dimensions; with a minus before a name, its last key comes first."""
    def time_window(self, dimension: str | None = None) -> tuple[dt.datetime, dt.datetime]:
        """From the start of the earliest window to the end of the last."""

    def translate(self, other: Space, asset: str) -> Selection:
        """The same keys in another space, which must have all of them; errors name the asset."""

    def check_in(self, other: Space, asset: str) -> None:
        """Refuses where another asset's space does not have all of them."""

    def only_in(self, other: Space) -> tuple[Selection, int]:
        """The keys that another space has too, and how many it has not."""

    def upstream(self, other: Space, mapping: PartitionMapping | None = None) -> Selection:
        """The partitions of an upstream that these need; by default dimension by dimension, by name."""

    def downstream(self, other: Space, mapping: PartitionMapping | None = None) -> Selection:
        """The partitions of a downstream that need one of these; by default by name."""

    def equals(self, other: Selection) -> bool:
        """Whether these are the same partitions of the same space, in the same order."""

@final
class PartitionMapping:
    """Which partitions of an upstream a partition needs, for `AssetDef.input` and `AssetDef.dep`.

    The asset that needs is the downstream. A mapping is checked against both definitions when a
    `CodeRepository` is made. What lies outside the upstream's partitions is left out. Mappings are
    immutable, comparable, hashable and picklable; a `repr` evaluates back.

    Example:
        >>> from rivers import PartitionMapping
        >>> PartitionMapping.multi({"day": PartitionMapping.time_window(-1)})
        PartitionMapping.multi({'day': PartitionMapping.time_window(-1)})
    """

    @staticmethod
    def identity() -> PartitionMapping:
        """The same keys, in dimensions of the same name; what only the upstream has is taken whole.

        This is what holds without a mapping. A key that the upstream does not have fails the run.
        """

    @staticmethod
    def all_partitions() -> PartitionMapping:
        """All partitions of the upstream."""

    @staticmethod
    def static_(pairs: Mapping[str, str | Sequence[str]]) -> PartitionMapping:
        """For each downstream key the upstream keys that it needs; a key that is not named needs none.

        Args:
            pairs: Downstream key to upstream key, or keys.

        Raises:
            PartitionDefinitionError: There is none.
        """

    @staticmethod
    def time_window(offset: int = 0) -> PartitionMapping:
        """The upstream's windows that overlap the downstream's window, moved by some windows.

        The grids may differ: from hours to days, a day needs its 24 hours; from days to hours, an
        hour needs the day that holds it. In a product the one time dimension is meant; others follow
        by name.

        Args:
            offset: How many windows of the downstream's grid; below 0 is earlier. A grid of even
                steps goes on before its first and after its last window; a cron schedule does where
                the upstream has the same one.
        """

    @staticmethod
    def specific_partitions(keys: Sequence[str]) -> PartitionMapping:
        """These partitions of the upstream, whatever the downstream's.

        Raises:
            PartitionDefinitionError: There is none.
        """

    @staticmethod
    def for_keys(keys: Sequence[str]) -> PartitionMapping:
        """The same key for these downstream keys; others need none.

        Raises:
            PartitionDefinitionError: There is none.
        """

    @staticmethod
    def subset() -> PartitionMapping:
        """The same keys, in dimensions of the same name, where the upstream has them."""

    @staticmethod
    def multi(
        dimensions: Mapping[str, PartitionMapping | tuple[str, PartitionMapping]],
    ) -> PartitionMapping:
        """Between two products, dimension by dimension.

        Args:
            dimensions: A dimension of the downstream to how the upstream's dimension of that name
                follows from it; or to a pair of another dimension of the upstream, and how. Those
                that are left out follow by name, and what only the upstream has is taken whole.

        Raises:
            PartitionDefinitionError: There is none, or a mapping is itself one of several dimensions.
        """

    @staticmethod
    def multi_to_single(dim: str, mapping: PartitionMapping | None = None) -> PartitionMapping:
        """Between a product and a single dimension, either way.

        Args:
            dim: The product's dimension that belongs to the single one. Others are taken whole where
                the upstream is the product, and do not matter where the downstream is.
            mapping: How the two follow from each other; by default the same keys.

        Raises:
            PartitionDefinitionError: The mapping is itself one of several dimensions.
        """

    @property
    def goes_back(self) -> bool:
        """Whether it leads to earlier partitions only, so that an asset may need its own."""

    def refusal(
        self, downstream: PartitionsDefinition | None, upstream: PartitionsDefinition | None
    ) -> str | None:
        """Why it cannot relate two definitions; `None` if it can."""

    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

def decode_mapping(bytes: bytes) -> PartitionMapping:
    """Reads what pickling wrote."""

@final
class StoredStrategy:
    """How the runs of an earlier plan are grouped, to group others so."""

@final
class Plan:
    """The runs that cover a selection."""

    def __new__(cls, selection: Selection, strategy: BackfillStrategy | StoredStrategy) -> Self: ...
    @staticmethod
    def in_layers(
        layers: Sequence[tuple[Selection, BackfillStrategy | StoredStrategy, Sequence[int]]],
        links: Sequence[tuple[int, int, int, PartitionMapping]],
    ) -> Plan:
        """A plan whose runs need what others make.

        Of each layer its partitions, how they are grouped, and places of its assets in the request; of
        each link the layer that needs, the one that makes it, the place of the asset that is needed, and
        which of its partitions.
        """

    @property
    def num_runs(self) -> int: ...
    @property
    def num_partitions(self) -> int:
        """Those of all layers."""

    @property
    def selection(self) -> Selection:
        """What the first layer covers."""

    @property
    def layers(self) -> list[tuple[Selection, StoredStrategy, list[int] | None]]:
        """Of each layer as `in_layers` takes it; assets are `None` where the one layer has all."""

    @property
    def strategy(self) -> str: ...
    def run(self, number: int) -> Selection:
        """The partitions of a run."""

    def assets_of(self, number: int) -> list[int] | None:
        """Places in the request of the assets that a run executes; `None`: all."""

@final
class Run:
    """A run while it is executed. Assets are named by their place in the request."""

    @property
    def number(self) -> int: ...
    @property
    def layer(self) -> int:
        """The layer of the plan that it belongs to."""

    @property
    def id(self) -> str: ...
    @property
    def tags(self) -> list[tuple[str, str]]: ...
    @property
    def partitions(self) -> Selection: ...
    @property
    def is_sound(self) -> bool:
        """Whether nothing has failed so far."""

    def fail(
        self, asset: int, error_type: str, message: str, traceback: str | None = None
    ) -> None: ...
    def retry(
        self,
        assets: Sequence[int],
        error_type: str,
        message: str,
        traceback: str | None,
        seconds: float,
        repeated: Sequence[int],
    ) -> None:
        """The assets failed and are tried again after so many seconds, and the repeated ones with them."""

    def executes(self, asset: int) -> bool:
        """Whether this attempt executes the asset: an earlier one may have."""

    def tries(self, asset: int) -> int:
        """How often the asset failed before and was to be tried again."""

    def defer(self, assets: Sequence[int], needs: Sequence[int]) -> bool:
        """Leaves assets to the next attempt, if they need one that is tried again; whether they do."""

    def skip(self, asset: int) -> None: ...
    def missed(self, asset: int) -> bool:
        """Whether the asset failed or was skipped as a whole."""

    def mark_failed(self, asset: int, key: PartitionKey, error_type: str, message: str) -> None:
        """Marks each partition of the key as failed."""

    def check_defined(self, asset: int, space: Space) -> None:
        """Fails the partitions that are not in an asset's space of today."""

    def survivors(self, asset: int) -> Selection | None:
        """What an asset's own marks leave over; `None`: all."""

    def enter(self, asset: int, needs: Sequence[int]) -> Selection | None:
        """What the marks of the assets it needs leave over for an asset; `None`: all."""

@final
class Worked:
    """A plan and a request on their way to a worker process."""

    def __new__(cls, space: bytes, plan: bytes, request: bytes) -> Self: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class Batch:
    """Runs in the hands of one worker; iterating executes them."""

    @property
    def key(self) -> int:
        """The backfill's number in the storage."""

    @property
    def worked(self) -> Worked: ...
    @property
    def program(self) -> Any:
        """What was submitted to execute the runs."""

    def __iter__(self) -> Self: ...
    def __next__(self) -> Run:
        """Ends the run before, if there is one, and begins the next."""

    def send(self, shared: SharedRuns, most: int) -> bool:
        """Has the next runs, at most so many, claimed by another process; `False`: none may start."""

    def earlier(self) -> bytes:
        """What is known of earlier attempts of the runs, for `WorkerBatch`."""

    def receive(self, report: bytes) -> None:
        """Takes in what became of the runs sent."""

    def lost(self) -> int:
        """How many of the runs sent had ended when the process died; all are to be begun again."""

    def close(self) -> None: ...

@final
class SharedRuns:
    """Runs that this process and a worker process share, in a file that both map."""

    def __new__(cls, path: str | PathLike[str]) -> Self: ...
    def set_step(self, step: int) -> None:
        """Says which step of the current run begins."""

    @property
    def step(self) -> int:
        """The step that the current run is at."""

@final
class WorkerSign:
    """Shows, as long as it exists, that a worker process is there: its owner is dead only without it."""

    def __new__(cls, path: str | PathLike[str]) -> Self: ...

@final
class WorkerBatch:
    """Shared runs in a worker process; iterating executes them."""

    def __new__(cls, worked: Worked, shared: SharedRuns, earlier: bytes) -> Self: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> Run: ...
    def report(self) -> bytes:
        """What became of them, for `Batch.receive`."""

@final
class Engine:
    """Runs the backfills of one storage in this process."""

    def __new__(
        cls,
        store: Store,
        max_concurrent_runs: int | None,
        tag_limits: Sequence[TagConcurrencyLimit],
        pools: Sequence[tuple[str, int]],
        lease_seconds: float,
    ) -> Self: ...
    def submit(
        self,
        submission: Submission,
        plan: Plan,
        program: object,
        workers: int | None,
        pools: Sequence[tuple[str, int]],
    ) -> tuple[int, str]:
        """Records a request and queues it: its number in the storage, and its id."""

    def resume(
        self, id: str, program: object, workers: int | None, pools: Sequence[tuple[str, int]]
    ) -> int: ...
    def take(self, patience: float) -> Batch | None:
        """The next batch for a worker; `None` if there is none for so many seconds."""

    def make_way(self, priority: int) -> None:
        """Nothing of a lower priority starts before the request that is about to be submitted."""

    def close_way(self) -> None:
        """It is not submitted after all."""

    def standing(self, id: str) -> dict[str, Any] | None:
        """A live backfill: what `Store.backfill` has of it that can change, and what it needs to be shown."""

    def wants_worker(self) -> bool:
        """Whether one more worker would find something to do."""

    def wait(self, key: int, patience: float | None = None) -> bool:
        """Waits for an end, looking for Ctrl-C; `False` when the seconds are over first."""

    def cancel(self, id: str) -> bool: ...
    def set_paused(self, id: str, paused: bool) -> None:
        """Has a backfill start nothing new, or go on."""

    def change(
        self,
        id: str,
        *,
        max_concurrency: int | None = None,
        priority: int | None = None,
        max_failures: float | None = None,
    ) -> None:
        """Changes what a backfill was asked with; `None` leaves it."""

    def abandon(self, key: int) -> None:
        """Stops at once and leaves it resumable."""

    def break_off(self, key: int, reason: str) -> None:
        """Stops what cannot be executed here; who waits is told why."""

    def orphans(self) -> list[tuple[str, bool]]:
        """Ids of the backfills and manual runs whose process is gone, and whether they are manual."""

    def await_ended(self, patience: float) -> None:
        """Waits until there is something to be told by `take_ended`, at most so many seconds."""

    def take_ended(self) -> list[int]:
        """Backfills that have ended, or stopped here, since the last time: each is told once."""

    def live(self) -> list[int]: ...
    @property
    def workers_file(self) -> Path | None:
        """What `WorkerSign` is made of in this engine's worker processes, if they need one."""

    def progress(self, key: int) -> tuple[int, int, int] | None:
        """Of a live backfill: completed and failed partitions, and runs in flight."""

    def close(self) -> None: ...

@final
class Store:
    """Where everything is recorded; records are dicts."""

    @staticmethod
    def embedded(path: str) -> Store: ...
    @staticmethod
    def schema(path: str) -> tuple[int, int]:
        """The version of a file's schema, and the newest one that is known here."""

    @staticmethod
    def memory() -> Store: ...
    @property
    def path(self) -> str: ...
    def backfill(self, id: str) -> dict[str, Any] | None: ...
    def backfills(
        self, asset: str | None = None, limit: int | None = None
    ) -> list[dict[str, Any]]: ...
    def numbered(self, key: int) -> dict[str, Any] | None:
        """A backfill by its number."""

    def interrupted(self) -> list[str]:
        """The backfills that have not ended and that no living process runs."""

    def rate(self, id: str) -> float | None:
        """Partitions a second that the backfill has ended lately; `None`: that is not known."""

    def seconds_per_partition(self, assets: Sequence[str]) -> float | None:
        """What the assets have taken for a partition lately; `None`: one has no history."""

    def check(self) -> list[str]:
        """What is wrong with the records, a sentence each."""

    def error(self, id: str) -> str | None:
        """What a person is told of a backfill that failed."""

    def last_error(self, id: str) -> str | None:
        """The failure of a backfill that was recorded last, in a line."""

    def causes(self, id: str) -> list[dict[str, Any]]:
        """Why a backfill's partitions failed, and how many for which reason."""

    def failed_with(self, id: str, error_type: str) -> list[Selection]:
        """The partitions that failed for a reason of this type, layer by layer."""

    def missed(self, key: int) -> list[str]:
        """The assets that a backfill's failures speak of."""

    def plan(self, key: int) -> Plan: ...
    def refuse_overlap(self, assets: list[str], plan: Plan) -> None:
        """Refuses a plan of which another backfill that has not ended holds partitions."""

    def uncompleted(self, id: str) -> list[Selection]:
        """What a rerun of the backfill executes, layer by layer."""

    def materialized(self, asset: str, space: Space) -> Selection: ...
    def ever_materialized(self, asset: str) -> list[Selection]:
        """What was ever materialized: a selection for each definition it happened under."""

    def run(self, id: str) -> dict[str, Any] | None: ...
    def runs(self, limit: int | None = None, status: str | None = None) -> list[dict[str, Any]]:
        """The latest runs: those in flight, then those that have ended."""

    def add_dynamic(self, name: str, keys: Sequence[str]) -> None: ...
    def delete_dynamic(self, name: str, key: str) -> bool: ...
    def dynamic(self, name: str) -> list[str]: ...
