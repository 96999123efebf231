"""All commands in one application, and what an error becomes: one paragraph and an exit code."""

import logging
import os
import sys

import typer

from rivers.cli.commands import backfill, check, control, database, inspect, status
from rivers.cli.display import say_error, warnings
from rivers.cli.settings import defaults
from rivers.exceptions import RiversError

WRONG_USAGE = 2

app = typer.Typer(
    name="rivers",
    help="Backfills of partitioned data assets: start them, watch them, run again what failed.",
    epilog="Example: rivers backfill flights.py --from 2024-01-01 --to 2024-01-31",
    no_args_is_help=True,
    # A bug of ours is shown as Python shows it; a user's mistake is never a traceback.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
backfill.register(app)
status.register(app)
inspect.register(app)
control.register(app)
check.register(app)
database.register(app)


def run() -> None:
    """Runs the command of `sys.argv`."""
    logging.getLogger("rivers").addHandler(warnings)
    try:
        app(default_map=defaults(typer.main.get_command(app)), prog_name="rivers")
    except RiversError as error:
        say_error(str(error))
        sys.exit(WRONG_USAGE)
    except BrokenPipeError:
        # Whoever read the output has seen enough; Python must not flush what is left at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
