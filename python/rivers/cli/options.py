"""Every flag and argument that several commands share, or that limits a backfill.

Each is a decorator; its parameter of the command's function has the name of the flag. Values are checked by
the type of an option, so that a message names the option.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rivers.cli import completion, parse

if TYPE_CHECKING:
    from collections.abc import Callable

FILE = click.Path(path_type=Path)
"""The type of an option that takes a path."""
COUNT = click.IntRange(min=1)
"""The type of an option that takes a number of rows or runs."""
SECONDS = click.FloatRange(min=0, min_open=True)
"""The type of an option that takes a duration."""
MAX_CANARY = 1_000
"""The largest canary, as `BackfillRequest` checks it."""
POLICIES = ("continue", "stop_on_failure")
"""What a failed partition may mean for the rest."""


class MaxFailures(click.ParamType[Any]):
    """A count such as 10 or a fraction such as 0.1."""

    name = "N|SHARE"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | None:
        """Parses a text; a message names the option."""
        from rivers._validation import check_max_failures  # noqa: PLC0415
        from rivers.exceptions import ConfigurationError  # noqa: PLC0415

        try:
            return check_max_failures(parse.parse_max_failures(str(value)) or 0)
        except ConfigurationError as error:
            self.fail(str(error).removeprefix("max_failures "), param, ctx)


# -- what a command is about -----------------------------------------------------------------------

storage_option = click.option(
    "--storage",
    envvar="RIVERS_STORAGE",
    metavar="PATH",
    help="Where backfills are recorded; found as in Python if it is left out.",
)
module_argument = click.argument(
    "module", metavar="MODULE[:REPO]", envvar="RIVERS_MODULE", shell_complete=completion.files
)
optional_module_argument = click.argument(
    "module", metavar="[MODULE[:REPO]]", required=False, shell_complete=completion.files
)
id_argument = click.argument(
    "backfill_id", metavar="[ID]", default="latest", shell_complete=completion.backfill_ids
)
assets_option = click.option(
    "--assets", "--select", "assets",
    multiple=True,
    metavar="NAMES",
    shell_complete=completion.assets,
    help="Assets, separated by commas; also a+, +a, 2+a, group:x, kind:x, tag:x.",
)  # fmt: skip
statuses_option = click.option(
    "--status",
    multiple=True,
    metavar="STATUS",
    shell_complete=completion.statuses,
    help="Only these statuses, separated by commas.",
)


def partitions_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options that name partitions; `chosen_partitions` reads them."""
    short_forms = ", or a time: 2024-01, today, -7d; open if left out."
    for option in (
        click.option(
            "--keys",
            type=FILE,
            metavar="FILE",
            help="A csv or Parquet table of partitions, a column per dimension; - for standard input: "
            "keys line by line, a table with tabs or commas, or JSON.",
        ),
        click.option(
            "--partitions",
            multiple=True,
            metavar="KEYS",
            help="Single partitions: 'a,b', or with dimensions 'date=2024-01-01|region=us,eu'.",
        ),
        click.option(
            "--range",
            "ranges",
            multiple=True,
            metavar="DIM=A..B|DIM=A,B",
            shell_complete=completion.dimensions,
            help="Keys of a dimension; may be repeated. A dimension left out has all its keys.",
        ),
        click.option("--to", "to_key", metavar="KEY", help=f"Last key of a range{short_forms}"),
        click.option(
            "--from", "from_key", metavar="KEY", help=f"First key of a range{short_forms}"
        ),
    ):
        command = option(command)
    return command


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
dry_run_option = click.option(
    "-n", "--dry-run", "dry_run", is_flag=True, help="Check and plan; execute nothing."
)
detach_option = click.option(
    "--detach", is_flag=True, help="Run in a separate process, which writes a log file."
)


def _set_verbosity(ctx: click.Context, param: click.Parameter, wanted: bool) -> bool:
    """Prints what the library logs, or only what went wrong."""
    from rivers.cli.display import output, warnings  # noqa: PLC0415

    del ctx
    if wanted and param.name == "verbose":
        logging.getLogger("rivers").setLevel(logging.INFO)
        warnings.setLevel(logging.INFO)
    elif wanted:
        output.quiet = True
        warnings.setLevel(logging.ERROR)
    return wanted


def verbosity_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds `-v`, which also prints what is logged as information, and `-q`, which prints only errors."""
    quiet = click.option(
        "-q", "--quiet", is_flag=True, expose_value=False, callback=_set_verbosity,
        help="Print nothing but errors and --json.",
    )  # fmt: skip
    verbose = click.option(
        "-v", "--verbose", is_flag=True, expose_value=False, callback=_set_verbosity,
        help="Print log lines of level INFO as well.",
    )  # fmt: skip
    return verbose(quiet(command))


# -- limits of a backfill --------------------------------------------------------------------------

starts_option = click.option(
    "--max-starts-per-second",
    type=SECONDS,
    metavar="X",
    help="Maximum number of runs that start per second, such as 0.5 or 20.",
)
overlap_option = click.option(
    "--overlap",
    type=click.Choice(["allow", "refuse"]),
    default="allow",
    help="Whether another backfill in progress may contain some of the same partitions.",
)
timeout_option = click.option(
    "--timeout",
    type=SECONDS,
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
    type=click.IntRange(1, MAX_CANARY),
    metavar="K",
    help="Run K partitions first and continue only if all of them succeed.",
)
order_option = click.option(
    "--order",
    default="definition",
    metavar="ORDER",
    shell_complete=completion.orders,
    help="definition, reverse (newest first), or dimensions, the slowest first: -date,region.",
)
max_failures_option = click.option(
    "--max-failures",
    type=MaxFailures(),
    metavar="N|SHARE",
    help="Stop after N failed partitions, or when this share (below 1) of ended ones has failed.",
)
retry_option = click.option(
    "--retry",
    type=click.IntRange(min=0),
    metavar="N",
    help="Retry failing assets up to N times (0 disables retries).",
)
new_concurrency_option = click.option(
    # The parameter must not have the name of the setting: the default for new backfills would apply.
    "--max-concurrency", "max_runs", type=COUNT, metavar="N",
    help="Maximum number of runs in flight; by default as it was.",
)  # fmt: skip
upstream_option = click.option(
    "--include-upstream",
    is_flag=True,
    help="Add the partitions that the selected ones need.",
)
downstream_option = click.option(
    "--include-downstream", is_flag=True, help="Add the partitions that need the selected ones."
)
notify_option = click.option(
    "--notify",
    multiple=True,
    metavar="URL|COMMAND",
    help="Post JSON to a URL, or run a command with it as standard input, when the backfill ends.",
)

keep_logs_option = click.option(
    "--keep-logs", is_flag=True, help="Keep the log lines of all partitions, for 'rivers log'."
)
log_format_option = click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    help="json: log lines of functions and of the package as JSON, from INFO on.",
)


def log_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options for log lines."""
    return keep_logs_option(log_format_option(command))
