"""What requests carry: their query and their body, checked before anything is read or changed."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

MAX_ROWS = 1_000_000
"""Maximum number of rows of a table in one response."""

MAX_SIDE = 4_096
"""Maximum width and height of a map, in cells."""

Text = Annotated[str, Field(min_length=1, max_length=1_000)]
Name = Annotated[str, Field(min_length=1, max_length=1_000, description="Name of a dimension.")]
BackfillState = Literal["in_progress", "completed", "failed", "canceled"]
PartitionState = Literal["pending", "running", "completed", "failed", "canceled", "skipped"]
AssetState = Literal[
    "missing", "materialized", "failed", "in_progress", "skipped", "stale", "early"
]
Format = Literal["json", "arrow"]
Where = Annotated[
    list[Annotated[str, Field(max_length=1_100, pattern=r"^[^\x00]+:\d{1,10}-\d{1,10}$")]],
    Field(
        max_length=32,
        description=(
            "Coordinates of a dimension, as `date:0-31`: the first one and the one behind the last. "
            "Repeated for several dimensions."
        ),
    ),
]
Count = Annotated[int, Field(ge=1, le=2**32 - 1)]


class Model(BaseModel):
    """A query or a body: only what is declared, and of the declared type."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Empty(Model):
    """Nothing."""


class BackfillsQuery(Model):
    """Which backfills are listed."""

    status: list[BackfillState] = Field(default=[], max_length=8)
    asset: Text | None = Field(default=None, description="Only backfills of this asset.")
    search: Text | None = Field(
        default=None, description="Only where an id, asset or tag has this text."
    )
    limit: int = Field(default=50, ge=1, le=1_000)
    format: Format = "json"


class PartitionsQuery(Model):
    """Which partitions of a backfill are listed."""

    status: list[PartitionState] = Field(default=[], max_length=8)
    limit: int = Field(default=100, ge=1, le=MAX_ROWS)
    format: Format = "json"


class RunsOfBackfillQuery(Model):
    """Which runs of a backfill are listed."""

    status: list[Literal["running", "completed", "failed", "canceled", "waiting"]] = Field(
        default=[], max_length=8
    )
    sort: Literal["run", "duration", "-duration", "-started_at"] = "run"
    limit: int = Field(default=100, ge=1, le=MAX_ROWS)
    format: Format = "json"


class TableQuery(Model):
    """In which form a table is returned."""

    format: Format = "json"


class RunsQuery(Model):
    """Which runs are listed."""

    status: Literal["running", "completed", "failed"] | None = None
    limit: int = Field(default=50, ge=1, le=1_000)


class LogQuery(Model):
    """How many log lines are returned."""

    limit: int = Field(default=500, ge=1, le=10_000, description="Maximum number, the last ones.")


class GridQuery(Model):
    """Which grid of a backfill is meant."""

    asset: Text | None = Field(
        default=None, description="Where assets have runs of their own: the asset that is meant."
    )


class LabelsQuery(GridQuery):
    """Which keys of a dimension are returned."""

    dimension: Name
    start: int = Field(default=0, ge=0, le=2**32 - 1)
    step: int = Field(default=1, ge=1, le=2**32 - 1)
    count: int = Field(default=100, ge=1, le=MAX_SIDE)


KeysText = Annotated[
    str,
    Field(
        max_length=2_000,
        description=(
            "Partitions as on the command line: `2024-01..2024-02`, `-7d..` or `today`, with dimensions "
            "`date=2024-03|region=us..eu`. A dimension that is left out has all its keys. "
            "`KEY..KEY` is a key that contains `..`."
        ),
    ),
]


class FindQuery(GridQuery):
    """Which partitions are located."""

    keys: KeysText = ""


class CellsQuery(GridQuery):
    """What a map shows."""

    rows: Name | None = Field(default=None, description="The dimension from top to bottom.")
    columns: Name | None = Field(default=None, description="The dimension from left to right.")
    where: Where = []
    width: int = Field(default=80, ge=1, le=MAX_SIDE)
    height: int = Field(default=24, ge=1, le=MAX_SIDE)
    format: Literal["json", "bytes"] = "json"


class BackfillCellsQuery(CellsQuery):
    """What a map of a backfill shows."""

    error_type: Text | None = Field(
        default=None,
        description=(
            "Only what failed with an error of this type counts as failed, and all else as completed."
        ),
    )
    error_message: str | None = Field(
        default=None,
        max_length=100_000,
        description="The message of a group of errors of that type.",
    )


class AssetPartitionsQuery(Model):
    """Which partitions of an asset are listed."""

    status: list[Literal["missing", "materialized", "failed", "in_progress", "skipped"]] = Field(
        default=[], max_length=8
    )
    limit: int = Field(default=100, ge=1, le=MAX_ROWS)
    format: Format = "json"


class PartQuery(GridQuery):
    """Partitions of a backfill."""

    where: Where = []
    states: list[PartitionState] = Field(default=[], max_length=8)


class Rectangle(Model):
    """A part of a grid, as coordinates: the size of a request does not grow with the part."""

    where: dict[Name, tuple[int, int]] = Field(
        default={},
        max_length=32,
        description="For each dimension, the first coordinate and the one behind the last.",
    )
    asset: Text | None = None


class CancelBody(Model):
    """How a backfill is canceled."""

    force_after: float | None = Field(default=None, ge=0, le=1e6, allow_inf_nan=False)


class ChangeBody(Model):
    """What of a backfill's limits is changed."""

    max_concurrency: int | None = Field(default=None, ge=1, le=2**31)
    priority: int | None = Field(default=None, ge=-(2**31), le=2**31 - 1)
    max_failures: int | float | None = Field(default=None, ge=0, le=2**53, allow_inf_nan=False)


class RerunBody(Rectangle):
    """What of a backfill is run again."""

    states: list[PartitionState] = Field(default=["failed", "canceled"], max_length=8)
    error_type: Text | None = None
    dry_run: bool = False


class Keys(Model):
    """Keys of a dimension: from one to another, each open if it is left out, or a list."""

    first: Text | None = None
    last: Text | None = None
    keys: list[Text] | None = Field(default=None, min_length=1, max_length=1_000)


class LaunchBody(Model):
    """A new backfill."""

    selection: list[Text] | None = Field(default=None, max_length=1_000)
    range: Annotated[dict[str, Keys], Field(max_length=32)] | KeysText | None = Field(
        default=None,
        description=(
            "The partitions, by default all: as text, or the keys of each dimension, where `partition` is a "
            "single one."
        ),
    )
    only_missing: bool = False
    only_stale: bool = False
    include_upstream: bool = False
    include_downstream: bool = False
    max_concurrency: int = Field(default=4, ge=1, le=2**31)
    tags: dict[Text, str] = Field(default={}, max_length=64)
    dry_run: bool = False


class ForgetBody(Model):
    """Partitions of an asset that are recorded as missing."""

    keys: KeysText | None = Field(
        default=None, description="The partitions; left out for an asset without partitions."
    )
    dry_run: bool = False


class ReportBody(ForgetBody):
    """Partitions of an asset that are recorded as materialized, and facts about them."""

    metadata: dict[Text, str | int | float | bool] = Field(default={}, max_length=64)


class SessionBody(Model):
    """The token of a link."""

    token: str = Field(min_length=1, max_length=500)
