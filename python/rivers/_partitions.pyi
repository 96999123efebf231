"""Stub of the binding: partition keys, definitions and mappings. `rivers` exports them."""

import datetime as dt
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, Self, TypeAlias, final, overload
from zoneinfo import ZoneInfo

import polars as pl
from typing_extensions import disjoint_base

from rivers._planning import Space
from rivers.partitions import PartitionKeyRange
from rivers.partitions.dynamic_keys import DynamicKeySource
from rivers.partitions.key_range import RangeEnd, RangePart
from rivers.partitions.partition_set import Exclude, PartitionSet

_Excluded: TypeAlias = dt.date | str | PartitionKey | tuple[dt.date | str, dt.date | str]
_Part: TypeAlias = RangePart | re.Pattern[str] | Exclude

@disjoint_base
class PartitionKey:
    """The name of a partition: the value of its one dimension, or a value for each of several.

    `single` and `multi` make keys: a `PartitionKey.Single` or a `PartitionKey.Multi`, both of which
    are `PartitionKey`s. Called with a `str` or a list, `PartitionKey` makes what `single` makes, and
    with a dict what `multi` makes. A key with several values in a dimension represents several
    partitions: the product of its values.

    Keys are equal if they represent the same partitions: the order of values and of dimensions does
    not matter. They are immutable, hashable and picklable. `str()` returns a readable text
    (`date=2024-01-01|region=us`), `repr()` an expression that evaluates to the key, with values and
    dimensions sorted, and `to_json()` a text to store.

    Example:
        >>> from rivers import PartitionKey
        >>> key = PartitionKey.multi({"date": "2024-01-01", "region": "us"})
        >>> key == PartitionKey.multi({"region": ["us"], "date": ["2024-01-01"]})
        True
        >>> str(key), isinstance(key, PartitionKey.Multi)
        ('date=2024-01-01|region=us', True)
        >>> key
        PartitionKey({"date": "2024-01-01", "region": "us"})
    """

    @overload
    def __new__(cls, key: str | list[str] | tuple[str, ...]) -> PartitionKey.Single: ...
    @overload
    def __new__(
        cls, key: Mapping[str, str | list[str] | tuple[str, ...]]
    ) -> PartitionKey.Multi: ...
    @property
    def key(self) -> list[str]:
        """The values; only a `PartitionKey.Single` has this attribute."""

    @property
    def keys(self) -> dict[str, list[str]]:
        """The values by dimension; only a `PartitionKey.Multi` has this attribute."""

    def __getitem__(self, dimension: str, /) -> str:
        """The value of a dimension; only a `PartitionKey.Multi` has dimensions with names."""

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

        def __getitem__(self, dimension: str, /) -> str:
            """Returns the value of a dimension: `key["date"]`.

            Raises:
                KeyError: The key has no such dimension; it is a `PartitionValidationError`, too.
                PartitionValidationError: The key has several values of it; `keys` has them all.

            Example:
                >>> from rivers import PartitionKey
                >>> PartitionKey.multi({"date": "2024-01-01", "region": "us"})["region"]
                'us'
            """

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
            PartitionKey({"date": "2024-01-01", "region": ["eu", "us"]})
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
            PartitionKey("us")
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

@disjoint_base
class PartitionsDefinition:
    """The partitions of an asset: those of one dimension, or the product of several.

    `static_`, `daily`, `hourly`, `time_window`, `dynamic` and `multi` make definitions. Each is an
    instance of the class of its kind: `PartitionsDefinition.Static`, `.TimeWindow` (also for `daily` and
    `hourly`), `.Dynamic` or `.Multi`, whose attributes say what was defined. A definition
    computes with partitions without listing them, so its size does not matter; keys are built only
    when they are read. Definitions are immutable, comparable, hashable and picklable.

    Time windows are half-open, `[start, end)`, in UTC unless `timezone=` names a zone; a partition's key is
    the formatted start of its window. Without an `end`, the last partition is the window that
    contains the current time. The plan of a backfill is fixed when it is submitted.

    Example:
        >>> from rivers import PartitionsDefinition
        >>> days = PartitionsDefinition.daily("2024-01-01", end="2024-01-03")
        >>> regions = PartitionsDefinition.static_(["us", "eu"])
        >>> both = PartitionsDefinition.multi({"date": days, "region": regions})
        >>> len(both.get_partition_keys())
        4
        >>> isinstance(days, PartitionsDefinition.TimeWindow), days.cron_schedule
        (True, '0 0 * * *')
    """

    @final
    class Static(PartitionsDefinition):
        """A fixed list of keys: what `static_` makes."""

        @property
        def keys(self) -> list[str]:
            """The keys, in order."""

    @final
    class TimeWindow(PartitionsDefinition):
        """A grid of time windows: what `daily`, `hourly` and `time_window` make."""

        @property
        def cron_schedule(self) -> str | None:
            """The cron schedule of the windows' starts; `None` if they have none.

            `daily("2024-01-01")` has the schedule `0 0 * * *`; weeks, months, quarters and years have one,
            too. An interval has none, unless it is a day or an hour and has a `fmt` of its own.
            """

        @property
        def interval_seconds(self) -> float | None:
            """The length of each window in seconds; `None` for a schedule, and for `daily` and `hourly`.

            Days and hours with a `fmt` of their own have both a schedule and a length.
            """

        @property
        def start(self) -> dt.datetime:
            """The start of the grid: aware if the definition has a time zone, otherwise naive UTC."""

        @property
        def end(self) -> dt.datetime | None:
            """The end before which every window starts; `None` if there is none."""

        @property
        def fmt(self) -> str:
            """The format of the keys."""

    @final
    class Multi(PartitionsDefinition):
        """A product of named dimensions: what `multi` makes."""

        @property
        def dimensions(self) -> list[tuple[str, PartitionsDefinition]]:
            """The name and the definition of each dimension, in order."""

    @final
    class Dynamic(PartitionsDefinition):
        """Keys that a storage has: what `dynamic` makes."""

        @property
        def name(self) -> str:
            """The name under which the storage keeps the keys."""

    @staticmethod
    def static_(keys: Iterable[str]) -> PartitionsDefinition.Static:
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
            [PartitionKey("us"), PartitionKey("eu")]
        """

    @staticmethod
    def daily(
        start: dt.date | str,
        end: dt.date | str | None = None,
        fmt: str | None = None,
        *,
        timezone: str | ZoneInfo | None = None,
        exclude: Iterable[_Excluded] | None = None,
    ) -> PartitionsDefinition.TimeWindow:
        """Defines one partition per day.

        Args:
            start: Start of the first window: a datetime, a date, or a text such as `"2024-01-31"` or
                `"2024-01-31T06:00"`, on the wall clock of `timezone`. An aware datetime needs a
                `timezone`. With a time of day, every window starts at it.
            end: Every window starts before it; `None`: the last window contains the current time.
            fmt: Format of the keys, in the codes of `strftime`; by default `"%Y-%m-%d"`. `%q` is the
                quarter, `%G-W%V` the ISO week, `%z` the offset from UTC, and `%.3f` fractions of a
                second.
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
    ) -> PartitionsDefinition.TimeWindow:
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
    ) -> PartitionsDefinition.TimeWindow:
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
    ) -> PartitionsDefinition.TimeWindow:
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
    ) -> PartitionsDefinition.TimeWindow:
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
    ) -> PartitionsDefinition.TimeWindow:
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
        interval_seconds: float | None = None,
        end: dt.date | str | None = None,
        fmt: str | None = None,
        *,
        timezone: str | ZoneInfo | None = None,
        exclude: Iterable[_Excluded] | None = None,
    ) -> PartitionsDefinition.TimeWindow:
        """Defines one partition per window of a cron schedule or of a fixed length.

        Exactly one of `cron_schedule` and `interval_seconds` is required.

        Args:
            start: Start of the grid, as in `daily`. With a schedule, the first window starts at the
                first time of the schedule that is not before `start`.
            cron_schedule: A cron expression of the windows' starts: minute, hour, day, month and
                weekday; a sixth field in front of them is the second. Or one of `@hourly`, `@daily`,
                `@midnight`, `@weekly` (Sunday), `@monthly`, `@quarterly`, `@yearly` and `@annually`.
            interval_seconds: Length of each window in seconds of elapsed time, exact to the nanosecond.
                The first window starts at `start`. `fmt` must show fractions of a second, as `"%.3f"`
                does.
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
    def multi(dimensions: Mapping[str, PartitionsDefinition]) -> PartitionsDefinition.Multi:
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
    def dynamic(name: str) -> PartitionsDefinition.Dynamic:
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
            [PartitionKey("ada"), PartitionKey("bob")]
        """

    def dimension_names(self) -> list[str]:
        """Names of the dimensions of a product, in order, otherwise `[]`; internal to the package."""

    def get_partition_keys(
        self, *, storage: DynamicKeySource | None = None, now: dt.datetime | None = None
    ) -> list[PartitionKey]:
        """Returns all keys in definition order, one partition each.

        Args:
            storage: The storage that has the keys of dynamic dimensions; only they need it.
            now: The time that a time dimension without an `end` reaches, an aware datetime or a naive one
                in UTC; by default the current time.

        Raises:
            PartitionDefinitionError: There are more than 2**63 partitions.
            DynamicPartitionsError: A dimension is dynamic and `storage` is missing.
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
            DynamicPartitionsError: As for `get_partition_keys`.
            StorageError: As for `get_partition_keys`.

        Example:
            >>> from rivers import PartitionsDefinition
            >>> PartitionsDefinition.daily("2024-01-01", end="2025-01-01").to_polars().shape
            (366, 2)
        """

    def __len__(self) -> int:
        """Returns the number of partitions; a time dimension without an end extends to the present.

        Raises:
            DynamicPartitionsError: The keys live in a storage; `get_partition_keys(storage=)` has them.

        Example:
            >>> from rivers import PartitionsDefinition
            >>> days = PartitionsDefinition.daily("2024-01-01", end="2025-01-01")
            >>> len(days), "2024-02-29" in days, days[0], days[-1]
            (366, True, PartitionKey("2024-01-01"), PartitionKey("2024-12-31"))
        """

    def __bool__(self) -> Literal[True]: ...
    def __iter__(self) -> Iterator[PartitionKey]: ...
    def __contains__(self, key: object, /) -> bool:
        """Returns whether there is such a partition: a key, a text, a dict of dimensions or a date."""

    @overload
    def __getitem__(self, at: int, /) -> PartitionKey: ...
    @overload
    def __getitem__(self, at: slice[str | dt.date, RangeEnd, None], /) -> PartitionSet: ...
    @overload
    def __getitem__(self, at: slice[None, str | dt.date, None], /) -> PartitionSet: ...
    @overload
    def __getitem__(self, at: slice[int | None, int | None, int | None], /) -> list[PartitionKey]:
        """Returns the key at a position, the keys at a slice of positions, or a set of partitions.

        As in a `PartitionKeyRange`, both ends of a slice of keys are part of the set.

        Raises:
            IndexError: There is no such position.

        Example:
            >>> from rivers import PartitionsDefinition
            >>> days = PartitionsDefinition.daily("2024-01-01", end="2025-01-01")
            >>> len(days["2024-02":"2024-02"].keys()), days[:2]
            (29, [PartitionKey("2024-01-01"), PartitionKey("2024-01-02")])
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
            DynamicPartitionsError: As for `get_partition_keys`.
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

@disjoint_base
class PartitionMapping:
    """Which partitions of an upstream a partition needs, for `AssetDef.input` and `AssetDef.dep`.

    The asset that has the input is the downstream. A `CodeRepository` checks each mapping against both
    definitions when it is constructed. Keys that the upstream does not have are left out. Each mapping is
    an instance of the class of its kind, such as `PartitionMapping.TimeWindow`, whose attributes are the
    arguments. Mappings are immutable, comparable, hashable and picklable, and their `repr` evaluates
    back.

    Example:
        >>> from rivers import PartitionMapping
        >>> PartitionMapping.multi({"day": PartitionMapping.time_window(-1)})
        PartitionMapping.multi({"day": PartitionMapping.time_window(offset=-1)})
    """

    @final
    class Identity(PartitionMapping):
        """The same keys: what `identity` makes."""

    @final
    class AllPartitions(PartitionMapping):
        """All partitions of the upstream: what `all_partitions` makes."""

    @final
    class Static(PartitionMapping):
        """Upstream keys by downstream key: what `static_` makes."""

        @property
        def mapping(self) -> dict[str, str | list[str]]:
            """The upstream key of each downstream key, or a list if it does not have exactly one."""

    @final
    class TimeWindow(PartitionMapping):
        """The windows at some offsets: what `time_window` makes."""

        @property
        def offset(self) -> int | None:
            """The offset of the only window; `None` if there are several."""

        @property
        def start_offset(self) -> int:
            """The offset of the first window."""

        @property
        def end_offset(self) -> int:
            """The offset of the last window."""

    @final
    class SpecificPartitions(PartitionMapping):
        """The same partitions for all: what `specific_partitions` makes."""

        @property
        def partition_keys(self) -> list[str]:
            """The upstream keys, sorted."""

    @final
    class ForKeys(PartitionMapping):
        """An upstream without partitions, for some partitions: what `for_keys` makes."""

        @property
        def selectors(self) -> list[PartitionKey | PartitionKeyRange]:
            """The keys and ranges that name downstream partitions, in the order given."""

    @final
    class Subset(PartitionMapping):
        """The same keys, if the upstream has them: what `subset` makes."""

    @final
    class Multi(PartitionMapping):
        """Between two products: what `multi` makes."""

        @property
        def dimension_mappings(self) -> dict[str, tuple[str, PartitionMapping]]:
            """By upstream dimension, the downstream dimension and the mapping between the two."""

    @final
    class MultiToSingle(PartitionMapping):
        """Between a product and a single dimension: what `multi_to_single` makes."""

        @property
        def dimension_name(self) -> str:
            """The dimension of the product."""

        @property
        def partition_mapping(self) -> PartitionMapping:
            """The mapping between the two dimensions."""

    @staticmethod
    def identity() -> PartitionMapping.Identity:
        """Maps to the same keys, in dimensions of the same name; the default without a mapping.

        The upstream must have each key of the downstream, now or once the key exists: a list of keys is
        among the upstream's, in any order; time windows have the same keys and lie on the upstream's
        grid, which may start or end at another time, or be finer. All keys of a dimension that only the
        upstream has are needed. A partition that the upstream does not have, because it begins later or
        has ended, is refused when it is selected.
        """

    @staticmethod
    def all_partitions() -> PartitionMapping.AllPartitions:
        """Maps to all partitions of the upstream."""

    @staticmethod
    def static_(mapping: Mapping[str, str | Sequence[str]]) -> PartitionMapping.Static:
        """Maps each downstream key to the upstream keys listed for it; unlisted keys need none.

        Args:
            mapping: The upstream key, or keys, of each downstream key.

        Raises:
            MappingDefinitionError: `mapping` is empty.
            TypeError: `mapping` has another form.
        """

    @staticmethod
    def time_window(
        offset: int | None = None,
        *,
        start_offset: int | None = None,
        end_offset: int | None = None,
    ) -> PartitionMapping.TimeWindow:
        """Maps to the upstream's windows that overlap the windows at some offsets from the downstream's.

        The grids may differ: a day needs the 24 hours it contains, and an hour needs the day that
        contains it. The downstream's grid continues before its first and after its last window, so that
        windows of an upstream that began earlier or ends later are reached; those that do not exist are
        left out. In a product, the mapping applies to the one time dimension; the others are matched by
        name.

        Args:
            offset: Number of windows of the downstream's grid; negative is earlier. By default 0.
            start_offset: Instead of `offset`, the offset of the first of several windows; by default 0.
            end_offset: Instead of `offset`, the offset of the last window; by default 0.

        Raises:
            MappingDefinitionError: `start_offset` is greater than `end_offset`.
            TypeError: `offset` is given together with one of the others.

        Example:
            >>> from rivers import PartitionMapping
            >>> last_seven_days = PartitionMapping.time_window(start_offset=-6)
            >>> last_seven_days
            PartitionMapping.time_window(start_offset=-6, end_offset=0)
        """

    @staticmethod
    def specific_partitions(partition_keys: Sequence[str]) -> PartitionMapping.SpecificPartitions:
        """Maps every partition to the same partitions of the upstream.

        Args:
            partition_keys: The upstream's keys.

        Raises:
            MappingDefinitionError: `partition_keys` is empty.
            TypeError: `partition_keys` is not a list of `str`.
        """

    @staticmethod
    def for_keys(
        selectors: Sequence[PartitionKey | PartitionKeyRange],
    ) -> PartitionMapping.ForKeys:
        """Maps some partitions to an upstream without partitions; the others do not need it.

        A parameter gets the upstream's value in each run of which at least one partition is named. In
        other runs it gets `None`, or its default.

        Args:
            selectors: Keys and ranges that name partitions of the downstream. Ranges follow its order.

        Raises:
            MappingDefinitionError: `selectors` is empty.
            TypeError: `selectors` is not a list of keys and ranges.

        Example:
            >>> from rivers import PartitionKey, PartitionKeyRange, PartitionMapping
            >>> weekend = PartitionKeyRange.single("2024-01-06", "2024-01-07")
            >>> PartitionMapping.for_keys([PartitionKey.single("2024-01-01"), weekend]).selectors[0]
            PartitionKey("2024-01-01")
        """

    @staticmethod
    def subset() -> PartitionMapping.Subset:
        """Maps to the same keys, in dimensions of the same name, if the upstream has them."""

    @staticmethod
    def multi(
        dimension_mappings: Mapping[str, PartitionMapping | tuple[str, PartitionMapping]],
    ) -> PartitionMapping.Multi:
        """Maps between two products, dimension by dimension.

        Args:
            dimension_mappings: For a dimension of the upstream, the mapping to it from the downstream's
                dimension of that name; or a pair of another dimension of the downstream and the mapping
                from it. A dimension of the downstream can determine several of the upstream. Omitted
                dimensions are matched by name. All keys of a dimension that only the upstream has are
                needed.

        Raises:
            MappingDefinitionError: `dimension_mappings` is empty, a mapping is itself `multi`,
                `multi_to_single` or `for_keys`.
            TypeError: `dimension_mappings` has another form.

        Example:
            >>> from rivers import PartitionMapping
            >>> PartitionMapping.multi({"month": ("day", PartitionMapping.time_window())})
            PartitionMapping.multi({"month": ("day", PartitionMapping.time_window(offset=0))})
        """

    @staticmethod
    def multi_to_single(
        dimension_name: str, partition_mapping: PartitionMapping | None = None
    ) -> PartitionMapping.MultiToSingle:
        """Maps between a product and a single dimension, in either direction.

        Args:
            dimension_name: The product's dimension that corresponds to the single one. If the upstream
                is the product, all keys of its other dimensions are needed.
            partition_mapping: The mapping between the two; by default `identity()`.

        Raises:
            MappingDefinitionError: `partition_mapping` is itself `multi`, `multi_to_single` or
                `for_keys`.
        """

    @property
    def goes_back(self) -> bool:
        """Whether it maps to earlier partitions only, so that an asset may depend on itself."""

    def simplified(self) -> PartitionMapping:
        """Returns the mapping, or `identity()` if it is equivalent; internal to the package."""

    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

def mapping_refusal(
    mapping: PartitionMapping,
    downstream: PartitionsDefinition | None,
    upstream: PartitionsDefinition | None,
    names: tuple[str, str],
) -> str | None:
    """Why `mapping` cannot relate the two definitions of assets with these names; `None` if it can."""

def decode_mapping(bytes: bytes) -> PartitionMapping:
    """Reads a pickled mapping."""
