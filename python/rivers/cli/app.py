"""The application of all commands; an error becomes one paragraph and an exit code."""

import logging
import os
import sys
from typing import Annotated

import typer

from rivers.cli.commands import backfill, check, control, database, inspect, status
from rivers.cli.display import say_error, warnings
from rivers.cli.exit_codes import WRONG_USAGE
from rivers.cli.settings import defaults
from rivers.exceptions import RiversError

_HELP = "Run backfills of partitioned data assets, watch them, and rerun what failed."

app = typer.Typer(
    name="rivers",
    epilog="Example: rivers backfill flights.py --from 2024-01-01 --to 2024-01-31",
    no_args_is_help=True,
    # Plain help: the modules for boxes and Markdown take longer to import than all others.
    rich_markup_mode=None,
    # A bug of rivers is shown as Python shows it; a user's mistake is never a traceback.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        import rivers  # noqa: PLC0415  (its metadata is read for this option alone)

        sys.stdout.write(f"rivers {rivers.__version__}\n")
        raise typer.Exit


@app.callback(help=_HELP)
def _main(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Holds the options that stand before a command."""


for commands in (backfill, status, inspect, control, check, database):
    commands.register(app)


def run() -> None:
    """Runs the command of `sys.argv`."""
    logging.getLogger("rivers").addHandler(warnings)
    try:
        app(default_map=defaults(typer.main.get_command(app)), prog_name="rivers")
    except RiversError as error:
        say_error(error)
        sys.exit(WRONG_USAGE)
    except BrokenPipeError:
        # The reader of the output has closed it; Python must not flush the rest at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
