"""Stub of the binding: partition keys, definitions and mappings. `rivers` exports them."""

import datetime as dt
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self, TypeAlias, final
from zoneinfo import ZoneInfo

import polars as pl
from typing_extensions import disjoint_base

from rivers._planning import Space
from rivers.partitions.dynamic_keys import DynamicKeySource
from rivers.partitions.key_range import RangePart
from rivers.partitions.partition_set import Exclude, PartitionSet

_Excluded: TypeAlias = dt.date | str | PartitionKey | tuple[dt.date | str, dt.date | str]
_Part: TypeAlias = RangePart | re.Pattern[str] | Exclude

@disjoint_base
class PartitionKey:
    """The name of a partition: the value of its one dimension, or a value for each of several.

    `single` and `multi` make keys: a `PartitionKey.Single` or a `PartitionKey.Multi`, both of which
    are `PartitionKey`s. A key with several values in a dimension represents several partitions: the
    product of its values.

    Keys are equal if they represent the same partitions: the order of values and of dimensions does
    not matter. They are immutable, hashable and picklable. `str()` returns a readable text
    (`date=2024-01-01|region=us`), `repr()` an expression that evaluates to the key, and `to_json()` a
    text to store.

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
        """The values; only a `PartitionKey.Single` has this attribute."""

    @property
    def keys(self) -> dict[str, list[str]]:
        """The values by dimension; only a `PartitionKey.Multi` has this attribute."""

    @final
    class Single(PartitionKey):
        """A key of a definition with one dimension: one value, or several.

        Example:
            >>> from rivers import PartitionKey
            >>> PartitionKey.single("us").key
            ['us']
        """

        def __new__(cls, key: str | list[str] | tuple[str, ...]) -> Self: ...
        @property
        def key(self) -> list[str]:
            """The distinct values in the order given; a single partition has one."""

    @final
    class Multi(PartitionKey):
        """A key of a definition with named dimensions: one value or several for each.

        Example:
            >>> from rivers import PartitionKey
            >>> PartitionKey.multi({"date": "2024-01-01", "region": ["us", "eu"]}).keys
            {'date': ['2024-01-01'], 'region': ['us', 'eu']}
        """

        def __new__(cls, keys: Mapping[str, str | list[str] | tuple[str, ...]]) -> Self: ...
        @property
        def keys(self) -> dict[str, list[str]]:
            """The distinct values by dimension, in the order given."""

    @staticmethod
    def single(key: str | list[str] | tuple[str, ...]) -> PartitionKey.Single:
        """Makes a key of a definition with one dimension.

        Args:
            key: The value, or several values: a key with two values represents two partitions.

        Raises:
            PartitionDefinitionError: There is no value, or a value is empty or contains `|` or `,`.
            TypeError: A value is not a `str`.

        Example:
            >>> from rivers import PartitionKey
            >>> PartitionKey.single("us") == PartitionKey.single(["us"])
            True
        """

    @staticmethod
    def multi(keys: Mapping[str, str | list[str] | tuple[str, ...]]) -> PartitionKey.Multi:
        """Makes a key of a definition with named dimensions; it must name each of them.

        Args:
            keys: The value of each dimension, or several values: the key represents their product.

        Raises:
            PartitionDefinitionError: There is no dimension, a dimension has no value, a value is empty
                or contains `|` or `,`, or a name is empty or contains `|`, `,` or `=`.
            TypeError: `keys` is not a dict, or a value is not a `str`.

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
            PartitionDefinitionError: `text` has another form.

        Example:
            >>> from rivers import PartitionKey
            >>> PartitionKey.from_json('{"single": ["us"]}')
            PartitionKey.single('us')
        """

    def to_json(self) -> str:
        """Returns the key as JSON, which `from_json` reads.

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
    """The partitions of an asset: those of one dimension, or the product of several.

    `static_`, `daily`, `hourly`, `time_window`, `dynamic` and `multi` make definitions. A definition
    computes with partitions without listing them, so its size does not matter; keys are built only
    when they are read. Definitions are immutable, comparable, hashable and picklable.

    Time windows are half-open, `[start, end)`, on a naive wall-clock grid, and a partition's key is
    the formatted start of its window. Without an `end`, the last partition is the window that
    contains the current time. The plan of a backfill is fixed when it is submitted.

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
        """Defines a fixed list of keys, in the order given.

        Args:
            keys: The keys.

        Raises:
            PartitionDefinitionError: There is no key, or a key is given twice, is empty, or contains
                `|` or `,`.
            TypeError: `keys` is a single `str`, or a key is not a `str`.

        Example:
            >>> from rivers import PartitionsDefinition
            >>> PartitionsDefinition.static_(["us", "eu"]).get_partition_keys()
            [PartitionKey.single('us'), PartitionKey.single('eu')]
        """

    @staticmethod
    def daily(
        start: dt.date | str,
        end: dt.date | str | None = None,
        fmt: str | None = None,
        *,
        timezone: str | ZoneInfo | None = None,
        exclude: Iterable[_Excluded] | None = None,
    ) -> PartitionsDefinition:
        """Defines one partition per day.

        Args:
            start: Start of the first window: a datetime, a date, or a text such as `"2024-01-31"` or
                `"2024-01-31T06:00"`, on the wall clock of `timezone`. An aware datetime needs a
                `timezone`. With a time of day, every window starts at it.
            end: Every window starts before it; `None`: the last window contains the current time.
            fmt: Format of the keys, in the codes of `strftime`; by default `"%Y-%m-%d"`. `%q` is the
                quarter, `%G-W%V` the ISO week.
            timezone: The zone whose wall clock the windows follow, such as `"America/New_York"`; by
                default UTC. Where its clock changes, days have 23 or 25 hours. A day that starts at a
                time which the clock skips starts when the clock changes; a skipped day has no
                partition.
            exclude: What is not a partition, such as holidays: dates and texts like `"2024-12"` (all
                windows that start then), keys, datetimes, and `(from, to)` pairs (all windows that
                start in this half-open window). The other windows do not change.

        Raises:
            PartitionDefinitionError: `start`, `end` or an item of `exclude` is not a date or time,
                `start` or `end` has a time zone without a `timezone`, `end` is not after `start`, a
                key in this `fmt` does not determine its window, or there is no such zone.
            TypeError: `start` or `end` has another type.

        Example:
            >>> from rivers import PartitionsDefinition
            >>> days = PartitionsDefinition.daily("2024-02-28", end="2024-03-01")
            >>> [str(key) for key in days.get_partition_keys()]
            ['2024-02-28', '2024-02-29']
            >>> new_york = PartitionsDefinition.daily(
            ...     "2024-03-08",
            ...     end="2024-03-13",
            ...     timezone="America/New_York",
            ...     exclude=["2024-03-11"],
            ... )
            >>> [str(key) for key in new_york.get_partition_keys()]
            ['2024-03-08', '2024-03-09', '2024-03-10', '2024-03-12']
        """

    @staticmethod
    def hourly(
        start: dt.date | str,
        end: dt.date | str | None = None,
        fmt: str | None = None,
        *,
        timezone: str | ZoneInfo | None = None,
        exclude: Iterable[_Excluded] | None = None,
    ) -> PartitionsDefinition:
        """Defines one partition per hour.

        Args:
            start: Start of the first window, as in `daily`.
            end: Every window starts before it; `None`: the last window contains the current time.
            fmt: Format of the keys; by default `"%Y-%m-%dT%H:%M"`.
            timezone: The zone whose wall clock the windows follow, as in `daily`. An hour that occurs
                twice has two keys, which end with their offsets from UTC; a skipped hour has none.
            exclude: What is not a partition, as in `daily`.

        Raises:
            PartitionDefinitionError: As for `daily`.
            TypeError: As for `daily`.

        Example:
            >>> from rivers import PartitionsDefinition
            >>> hours = PartitionsDefinition.hourly("2024-01-01T22:00", end="2024-01-02")
            >>> [str(key) for key in hours.get_partition_keys()]
            ['2024-01-01T22:00', '2024-01-01T23:00']
            >>> new_york = PartitionsDefinition.hourly(
            ...     "2024-11-03T00:00", end="2024-11-03T03:00", timezone="America/New_York"
            ... )
            >>> for key in new_york.get_partition_keys():
            ...     print(key)
            2024-11-03T00:00
            2024-11-03T01:00-04:00
            2024-11-03T01:00-05:00
            2024-11-03T02:00
        """

    @staticmethod
    def weekly(
        start: dt.date | str,
        end: dt.date | str | None = None,
        fmt: str | None = None,
        *,
        first_day: str = "monday",
        timezone: str | ZoneInfo | None = None,
        exclude: Iterable[_Excluded] | None = None,
    ) -> PartitionsDefinition:
        """Defines one partition per week.

        Args:
            start: The first window is the first week that starts at or after it.
            end: Every window starts before it; `None`: the last window contains the current time.
            fmt: Format of the keys, by default `"%Y-%m-%d"`, the first day of the week. ISO weeks are
                `"%G-W%V"`.
            first_day: The day on which weeks start, in lower case.
            timezone: The zone whose wall clock the windows follow, as in `daily`.
            exclude: What is not a partition, as in `daily`.

        Raises:
            PartitionDefinitionError: As for `daily`; or `first_day` is not a day of the week.
            TypeError: As for `daily`.

        Example:
            >>> from rivers import PartitionsDefinition
            >>> weeks = PartitionsDefinition.weekly("2024-01-01", end="2024-01-16")
            >>> [str(key) for key in weeks.get_partition_keys()]
            ['2024-01-01', '2024-01-08', '2024-01-15']
        """

    @staticmethod
    def monthly(
        start: dt.date | str,
        end: dt.date | str | None = None,
        fmt: str | None = None,
        *,
        timezone: str | ZoneInfo | None = None,
        exclude: Iterable[_Excluded] | None = None,
    ) -> PartitionsDefinition:
        """Defines one partition per month.

        Args:
            start: The first window is the first month that starts at or after it.
            end: Every window starts before it; `None`: the last window contains the current time.
            fmt: Format of the keys; by default `"%Y-%m"`.
            timezone: The zone whose wall clock the windows follow, as in `daily`.
            exclude: What is not a partition, as in `daily`.

        Raises:
            PartitionDefinitionError: As for `daily`.
            TypeError: As for `daily`.

        Example:
            >>> from rivers import PartitionsDefinition
            >>> months = PartitionsDefinition.monthly("2024-01-01", end="2024-04-01")
            >>> [str(key) for key in months.get_partition_keys()]
            ['2024-01', '2024-02', '2024-03']
        """

    @staticmethod
    def quarterly(
        start: dt.date | str,
        end: dt.date | str | None = None,
        fmt: str | None = None,
        *,
        first_month: int = 1,
        timezone: str | ZoneInfo | None = None,
        exclude: Iterable[_Excluded] | None = None,
    ) -> PartitionsDefinition:
        """Defines one partition per quarter.

        Args:
            start: The first window is the first quarter that starts at or after it.
            end: Every window starts before it; `None`: the last window contains the current time.
            fmt: Format of the keys; by default `"%Y-Q%q"`. If it has `%q`, its codes are those of the
                business year: with `first_month=4`, April 2024 starts `2024-Q1`, and January 2025
                `2024-Q4`.
            first_month: The month, 1 to 12, in which the business year starts.
            timezone: The zone whose wall clock the windows follow, as in `daily`.
            exclude: What is not a partition, as in `daily`.

        Raises:
            PartitionDefinitionError: As for `daily`; or `first_month` is not a month.
            TypeError: As for `daily`.

        Example:
            >>> from rivers import PartitionsDefinition
            >>> quarters = PartitionsDefinition.quarterly("2024-01-01", end="2024-08-01")
            >>> [str(key) for key in quarters.get_partition_keys()]
            ['2024-Q1', '2024-Q2', '2024-Q3']
        """

    @staticmethod
    def yearly(
        start: dt.date | str,
        end: dt.date | str | None = None,
        fmt: str | None = None,
        *,
        first_month: int = 1,
        timezone: str | ZoneInfo | None = None,
        exclude: Iterable[_Excluded] | None = None,
    ) -> PartitionsDefinition:
        """Defines one partition per year.

        Args:
            start: The first window is the first year that starts at or after it.
            end: Every window starts before it; `None`: the last window contains the current time.
            fmt: Format of the keys; by default `"%Y"`, the year in which the window starts.
            first_month: The month, 1 to 12, in which the business year starts.
            timezone: The zone whose wall clock the windows follow, as in `daily`.
            exclude: What is not a partition, as in `daily`.

        Raises:
            PartitionDefinitionError: As for `daily`; or `first_month` is not a month.
            TypeError: As for `daily`.

        Example:
            >>> from rivers import PartitionsDefinition
            >>> years = PartitionsDefinition.yearly("2023-01-01", end="2025-01-01", first_month=7)
            >>> [str(key) for key in years.get_partition_keys()]
            ['2023', '2024']
        """

    @staticmethod
    def time_window(
        start: dt.date | str,
        cron_schedule: str | None = None,
        interval_seconds: int | None = None,
        end: dt.date | str | None = None,
        fmt: str | None = None,
        *,
        timezone: str | ZoneInfo | None = None,
        exclude: Iterable[_Excluded] | None = None,
    ) -> PartitionsDefinition:
        """Defines one partition per window of a cron schedule or of a fixed length.

        Exactly one of `cron_schedule` and `interval_seconds` is required.

        Args:
            start: Start of the grid, as in `daily`. With a schedule, the first window starts at the
                first time of the schedule that is not before `start`.
            cron_schedule: A cron expression of the windows' starts: minute, hour, day, month and
                weekday; a sixth field in front of them is the second. Or one of `@hourly`, `@daily`,
                `@midnight`, `@weekly` (Sunday), `@monthly`, `@quarterly`, `@yearly` and `@annually`.
            interval_seconds: Length of each window in seconds of elapsed time; the first starts at
                `start`.
            end: Every window starts before it; `None`: the last window contains the current time.
            fmt: Format of the keys; by default `"%Y-%m-%dT%H:%M:%S"`.
            timezone: The zone of the schedule, as in `daily`. A time of the schedule that occurs twice
                starts two windows if the repeated time is at least as long as the shortest distance
                between two times of the schedule; otherwise it starts one, the first time.
            exclude: What is not a partition, as in `daily`.

        Raises:
            PartitionDefinitionError: As for `daily`; or both or neither of `cron_schedule` and
                `interval_seconds` are given, or the one given is not valid.
            TypeError: As for `daily`.

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
        """Defines the product of named dimensions; the first varies slowest.

        Args:
            dimensions: Definitions by name: static, time windows or dynamic; any number of them.

        Raises:
            PartitionDefinitionError: There is no dimension, a name is empty or contains `|`, `,` or
                `=`, or a dimension is itself a `multi` definition.
            TypeError: `dimensions` is not a dict of definitions.

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
        """Defines partitions whose keys are registered in the storage at run time.

        Keys are ordered by registration, and ranges follow that order. `Storage.add_dynamic_partitions`
        registers keys.

        Args:
            name: The name under which the storage keeps the keys.

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
        """Names of the dimensions of a `multi` definition, in order; `[]` for other kinds."""

    def get_partition_keys(
        self, *, storage: DynamicKeySource | None = None, now: dt.datetime | None = None
    ) -> list[PartitionKey]:
        """Returns all keys in definition order, one partition each.

        Args:
            storage: The storage that has the keys of dynamic dimensions; only they need it.
            now: The time that a time dimension without an `end` reaches, an aware datetime or a naive one
                in UTC; by default the current time.

        Raises:
            PartitionDefinitionError: A dimension is dynamic and `storage` is missing, or there are
                more than 2**63 partitions.
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
        """Selects partitions by a part of each dimension, without listing them.

        A dimension without a part is selected as a whole.

        Args:
            parts: The part of the one dimension; for a `multi` definition, a dict of parts by name.
            dimensions: Parts by keyword. A part is a `(from, to)` range, a list of keys, a compiled
                regular expression that is searched in each key, or `rivers.exclude()` of one of
                these.

        Raises:
            ConfigurationError: Keywords are given, but the definition has no named dimensions.
            TypeError: A part has another form.

        Example:
            >>> import re
            >>> from rivers import PartitionsDefinition
            >>> regions = PartitionsDefinition.static_(["us", "eu-west", "eu-east"])
            >>> regions.select(re.compile("^eu-")).count()
            2
        """

    def to_polars(
        self, *, storage: DynamicKeySource | None = None, now: dt.datetime | None = None
    ) -> pl.DataFrame:
        """Returns all partitions as a table, in definition order.

        Args:
            storage: As in `get_partition_keys`.
            now: As in `get_partition_keys`.

        Returns:
            One row per partition and one column per dimension (`partition` where it has no name). A
            time dimension also has a column `<dimension>_start` with the starts of its windows.

        Raises:
            PartitionDefinitionError: As for `get_partition_keys`.
            StorageError: As for `get_partition_keys`.

        Example:
            >>> from rivers import PartitionsDefinition
            >>> PartitionsDefinition.daily("2024-01-01", end="2025-01-01").to_polars().shape
            (366, 2)
        """

    def validate_partition_key(
        self,
        key: PartitionKey,
        *,
        storage: DynamicKeySource | None = None,
        now: dt.datetime | None = None,
    ) -> bool:
        """Returns whether all partitions that the key represents belong to the definition.

        Args:
            key: The key.
            storage: As in `get_partition_keys`.
            now: As in `get_partition_keys`.

        Raises:
            PartitionDefinitionError: As for `get_partition_keys`.
            StorageError: As for `get_partition_keys`.
            TypeError: `key` is not a `PartitionKey`.

        Example:
            >>> from rivers import PartitionKey, PartitionsDefinition
            >>> regions = PartitionsDefinition.static_(["us", "eu"])
            >>> regions.validate_partition_key(PartitionKey.single("asia"))
            False
        """

    def resolve(
        self, now: dt.datetime | None = None, storage: DynamicKeySource | None = None
    ) -> Space:
        """Returns the partitions at the time `now`; internal to the package."""

    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

def decode_definition(bytes: bytes) -> PartitionsDefinition:
    """Reads a pickled definition."""

@final
class PartitionMapping:
    """Which partitions of an upstream a partition needs, for `AssetDef.input` and `AssetDef.dep`.

    The asset that has the input is the downstream. A `CodeRepository` checks each mapping against both
    definitions when it is constructed. Keys that the upstream does not have are left out. Mappings are
    immutable, comparable, hashable and picklable, and their `repr` evaluates back.

    Example:
        >>> from rivers import PartitionMapping
        >>> PartitionMapping.multi({"day": PartitionMapping.time_window(-1)})
        PartitionMapping.multi({'day': PartitionMapping.time_window(-1)})
    """

    @staticmethod
    def identity() -> PartitionMapping:
        """Maps to the same keys, in dimensions of the same name; the default without a mapping.

        All keys of a dimension that only the upstream has are needed. A key that the upstream does not
        have fails the run.
        """

    @staticmethod
    def all_partitions() -> PartitionMapping:
        """Maps to all partitions of the upstream."""

    @staticmethod
    def static_(pairs: Mapping[str, str | Sequence[str]]) -> PartitionMapping:
        """Maps each downstream key to the upstream keys listed for it; unlisted keys need none.

        Args:
            pairs: The upstream key, or keys, of each downstream key.

        Raises:
            PartitionDefinitionError: `pairs` is empty.
        """

    @staticmethod
    def time_window(offset: int = 0) -> PartitionMapping:
        """Maps to the upstream's windows that overlap the downstream's window, shifted by `offset`.

        The grids may differ: a day needs the 24 hours it contains, and an hour needs the day that
        contains it. In a product, the mapping applies to the one time dimension; the others are
        matched by name.

        Args:
            offset: Number of windows of the downstream's grid; negative is earlier. A grid of equal
                windows continues before its first and after its last window; a cron schedule does if
                the upstream has the same one.
        """

    @staticmethod
    def specific_partitions(keys: Sequence[str]) -> PartitionMapping:
        """Maps every partition to the same partitions of the upstream.

        Raises:
            PartitionDefinitionError: `keys` is empty.
        """

    @staticmethod
    def for_keys(keys: Sequence[str]) -> PartitionMapping:
        """Maps each of these downstream keys to the same upstream key; other keys need none.

        Raises:
            PartitionDefinitionError: `keys` is empty.
        """

    @staticmethod
    def subset() -> PartitionMapping:
        """Maps to the same keys, in dimensions of the same name, if the upstream has them."""

    @staticmethod
    def multi(
        dimensions: Mapping[str, PartitionMapping | tuple[str, PartitionMapping]],
    ) -> PartitionMapping:
        """Maps between two products, dimension by dimension.

        Args:
            dimensions: For a dimension of the downstream, the mapping to the upstream's dimension of
                that name; or a pair of another dimension of the upstream and the mapping to it.
                Omitted dimensions are matched by name. All keys of a dimension that only the upstream
                has are needed.

        Raises:
            PartitionDefinitionError: `dimensions` is empty, or a mapping is itself `multi` or
                `multi_to_single`.
        """

    @staticmethod
    def multi_to_single(dim: str, mapping: PartitionMapping | None = None) -> PartitionMapping:
        """Maps between a product and a single dimension, in either direction.

        Args:
            dim: The product's dimension that corresponds to the single one. If the upstream is the
                product, all keys of its other dimensions are needed.
            mapping: The mapping between the two; by default `identity()`.

        Raises:
            PartitionDefinitionError: `mapping` is itself `multi` or `multi_to_single`.
        """

    @property
    def goes_back(self) -> bool:
        """Whether it maps to earlier partitions only, so that an asset may depend on itself."""

    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

def mapping_refusal(
    mapping: PartitionMapping,
    downstream: PartitionsDefinition | None,
    upstream: PartitionsDefinition | None,
) -> str | None:
    """Why `mapping` cannot relate the two definitions; `None` if it can."""

def decode_mapping(bytes: bytes) -> PartitionMapping:
    """Reads a pickled mapping."""
