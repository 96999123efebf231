"""Every flag and argument that several commands share, or that limits a backfill.

Each is a decorator; its parameter of the command's function has the name of the flag.
"""

from pathlib import Path

import click

FILE = click.Path(path_type=Path)
"""The type of an option that takes a path."""
COUNT = click.IntRange(min=1)
"""The type of an option that takes a number of rows."""

# -- what a command is about -----------------------------------------------------------------------

storage_option = click.option(
    "--storage",
    envvar="RIVERS_STORAGE",
    metavar="PATH",
    help="File where backfills are recorded; .rivers/rivers.db by default.",
)
module_argument = click.argument("module", metavar="MODULE[:REPO]", envvar="RIVERS_MODULE")
id_argument = click.argument("backfill_id", metavar="ID")
statuses_option = click.option(
    "--status", multiple=True, metavar="STATUS", help="Only these statuses, separated by commas."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Check and plan; execute nothing.")
detach_option = click.option(
    "--detach", is_flag=True, help="Run in a separate process, which writes a log file."
)

# -- limits of a backfill --------------------------------------------------------------------------

starts_option = click.option(
    "--max-starts-per-second",
    type=float,
    metavar="X",
    help="Maximum number of runs that start per second, such as 0.5 or 20.",
)
overlap_option = click.option(
    "--overlap",
    default="allow",
    metavar="allow|refuse",
    help="Whether another backfill in progress may contain some of the same partitions.",
)
timeout_option = click.option(
    "--timeout",
    type=float,
    metavar="SECONDS",
    help="Maximum duration of each call of a function.",
)
executor_option = click.option(
    "--executor",
    metavar="WHERE",
    envvar="RIVERS_EXECUTOR",
    help="threads, processes, ray or ray:ADDRESS; by default what the repository says.",
)
canary_option = click.option(
    "--canary",
    type=int,
    metavar="K",
    help="Run K partitions first and continue only if all of them succeed.",
)
order_option = click.option(
    "--order",
    default="definition",
    metavar="ORDER",
    help="definition, reverse (newest first), or dimensions, the slowest first: -date,region.",
)
max_failures_option = click.option(
    "--max-failures",
    metavar="N|SHARE",
    help="Stop after N failed partitions, or when this share (below 1) of ended ones has failed.",
)
retry_option = click.option(
    "--retry",
    type=int,
    metavar="N",
    help="Retry failing assets up to N times (0 disables retries).",
)
upstream_option = click.option(
    "--include-upstream",
    is_flag=True,
    help="Add the partitions that the selected ones need; with --only-missing, missing ones.",
)
downstream_option = click.option(
    "--include-downstream", is_flag=True, help="Add the partitions that need the selected ones."
)
