"""The flags that hold a backfill in check."""

from typing import Annotated

import typer

StartsOption = Annotated[
    float | None,
    typer.Option(
        "--max-starts-per-second", metavar="X", help="Most runs that start in a second: 0.5, 20."
    ),
]
OverlapOption = Annotated[
    str,
    typer.Option(
        metavar="allow|refuse",
        help="Whether another backfill that has not ended may hold the same partitions.",
    ),
]
CanaryOption = Annotated[
    int | None,
    typer.Option(metavar="K", help="So many partitions first; the rest if they complete."),
]
OrderOption = Annotated[
    str,
    typer.Option(
        metavar="ORDER",
        help="definition, reverse (newest first), or dimensions, the slowest first: -date,region.",
    ),
]
MaxFailuresOption = Annotated[
    str | None,
    typer.Option(
        "--max-failures",
        metavar="N|SHARE",
        help="Stop when so many partitions have failed; below 1: such a part of those that have ended.",
    ),
]
RetryOption = Annotated[
    int | None,
    typer.Option(metavar="N", help="Try assets that raise again, so often; 0: not at all."),
]
UpstreamOption = Annotated[
    bool,
    typer.Option(
        "--include-upstream", help="Also what the partitions need; with --only-missing: if missing."
    ),
]
DownstreamOption = Annotated[
    bool, typer.Option("--include-downstream", help="Also what needs the partitions.")
]
