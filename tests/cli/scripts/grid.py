"""The assets that the tests of the command line run: some wait, some fail."""

import time
from pathlib import Path

from pydantic import BaseModel

import rivers as rs

DAYS = rs.PartitionsDefinition.daily("2024-01-01", end="2024-01-11")
GRID = rs.PartitionsDefinition.multi(
    {"date": DAYS, "region": rs.PartitionsDefinition.static_(["us", "eu", "asia"])}
)


class Settings(BaseModel):
    bad: list[str] = []


@rs.Asset(partitions_def=DAYS)
def daily(context: rs.AssetExecutionContext[Settings]):
    if context.partition_key in context.config.bad:
        raise ValueError(f"no data for {context.partition_key}")


@rs.Asset(partitions_def=GRID)
def grid():
    pass


@rs.Asset(partitions_def=DAYS)
def slow(context):
    """Waits until there is a file `gate` in the working directory."""
    Path(f"started-{context.partition_key}").touch()
    deadline = time.monotonic() + 60
    while not Path("gate").exists() and time.monotonic() < deadline:
        time.sleep(0.01)


repo = rs.CodeRepository([daily, grid, slow])
