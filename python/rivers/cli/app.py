"""The application of all commands; an error becomes one paragraph and an exit code."""

import importlib
import logging
import os
import sys
from typing import Any

import click

from rivers._text import did_you_mean
from rivers.cli.display import errors, output, say_error, warnings, write_error_json
from rivers.cli.exit_codes import INTERRUPTED, WRONG_USAGE
from rivers.exceptions import RiversError

_MODULE_OF = {
    "init": "init",
    "backfill": "backfill", "rerun": "rerun", "resume": "rerun",
    "assets": "assets", "materialize": "assets",
    "list": "status", "status": "status",
    "partitions": "inspect", "errors": "inspect", "grid": "inspect",
    "cancel": "control", "pause": "control", "unpause": "control", "set": "control",
    "report": "report", "forget": "report",
    "ui": "ui", "log": "log", "check": "check", "db": "database", "pools": "pools",
}  # fmt: skip
"""The module in `rivers.cli.commands` that has each command, in the order of the help."""


class _Commands(click.Group):
    """A group that imports the module of a command when that command is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Returns the names of all commands."""
        del ctx
        return list(_MODULE_OF)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Returns a command by its name; `None` if there is none."""
        del ctx
        if cmd_name not in _MODULE_OF:
            return None
        module = importlib.import_module(f"rivers.cli.commands.{_MODULE_OF[cmd_name]}")
        command: click.Command = module.COMMANDS[cmd_name]
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Finds the command that `args` begin with.

        Raises:
            UsageError: There is no such command; close spellings are named.
        """
        if args[0] not in _MODULE_OF and not args[0].startswith("-"):
            ctx.fail(f"there is no command {args[0]!r}{did_you_mean(args[0], _MODULE_OF)}")
        return super().resolve_command(ctx, args)


def _print_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        import rivers  # noqa: PLC0415  (its metadata is read for this option alone)

        click.echo(f"rivers {rivers.__version__}")
        ctx.exit()


@click.group(
    cls=_Commands,
    epilog="Example: rivers backfill flights.py --from 2024-01-01 --to 2024-01-31",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version,
    help="Show the version and exit.",
)  # fmt: skip
def app() -> None:
    """Run backfills of partitioned data assets, watch them, and rerun what failed."""


def _defaults() -> dict[str, Any]:
    """Returns the settings of pyproject.toml as the defaults of every command, as click takes them."""
    from rivers.storage.lookup import project_settings  # noqa: PLC0415

    settings = project_settings()
    # A rerun uses the module of the settings only if its backfill has none of its own.
    settings |= {"_module": settings["module"]} if "module" in settings else {}
    of_database = dict.fromkeys(("check", "migrate"), settings)
    return {name: settings | (of_database if name == "db" else {}) for name in _MODULE_OF}


def run() -> None:
    """Runs the command of `sys.argv`."""
    logging.getLogger("rivers").addHandler(warnings)
    try:
        _run()
    finally:
        if output.failure is not None:
            errors.print(
                f"[bold red]error:[/] the output cannot be written: {output.failure.strerror}"
            )
            sys.exit(1)


def _run() -> None:
    if "_RIVERS_COMPLETE" in os.environ:
        from rivers.cli import bash_completion  # noqa: PLC0415  (commands start faster without it)

        bash_completion.register()
    is_json = "--json" in sys.argv
    try:
        # Alone, click would end an interrupt with another exit code, and write no error as JSON.
        sys.exit(app(default_map=_defaults(), prog_name="rivers", standalone_mode=False) or 0)
    except RiversError as error:
        write_error_json(error, error.message) if is_json else say_error(error)
        sys.exit(WRONG_USAGE)
    except click.ClickException as error:
        write_error_json(error, error.format_message()) if is_json else error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # The reader of the output has closed it; Python must not flush the rest at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
