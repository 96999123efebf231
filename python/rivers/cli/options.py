"""Every flag and argument that several commands share, or that limits a backfill."""

from typing import Annotated

import typer

# -- what a command is about -----------------------------------------------------------------------

StorageOption = Annotated[
    str | None,
    typer.Option(
        "--storage",
        envvar="RIVERS_STORAGE",
        metavar="PATH",
        help="File where backfills are recorded; .rivers/rivers.db by default.",
    ),
]
ModuleArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODULE[:REPO]",
        envvar="RIVERS_MODULE",
        help="A module or a .py file; after the colon the repository, if there are several.",
    ),
]
IdArgument = Annotated[
    str, typer.Argument(metavar="ID", help="Id of a backfill, the start of one, or 'latest'.")
]
StatusesOption = Annotated[
    list[str] | None, typer.Option(help="Only these statuses, separated by commas.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Check and plan; execute nothing.")]
DetachOption = Annotated[
    bool,
    typer.Option("--detach", help="Run in a separate process, which writes a log file."),
]

# -- limits of a backfill --------------------------------------------------------------------------

StartsOption = Annotated[
    float | None,
    typer.Option(
        "--max-starts-per-second",
        metavar="X",
        help="Maximum number of runs that start per second, such as 0.5 or 20.",
    ),
]
OverlapOption = Annotated[
    str,
    typer.Option(
        metavar="allow|refuse",
        help="Whether another backfill in progress may contain some of the same partitions.",
    ),
]
TimeoutOption = Annotated[
    float | None,
    typer.Option(metavar="SECONDS", help="Maximum duration of each call of a function."),
]
CanaryOption = Annotated[
    int | None,
    typer.Option(
        metavar="K", help="Run K partitions first and continue only if all of them succeed."
    ),
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
        help="Stop after N failed partitions, or when this share (below 1) of ended ones has failed.",
    ),
]
RetryOption = Annotated[
    int | None,
    typer.Option(metavar="N", help="Retry failing assets up to N times (0 disables retries)."),
]
UpstreamOption = Annotated[
    bool,
    typer.Option(
        "--include-upstream",
        help="Add the partitions that the selected ones need; with --only-missing, missing ones.",
    ),
]
DownstreamOption = Annotated[
    bool,
    typer.Option("--include-downstream", help="Add the partitions that need the selected ones."),
]
