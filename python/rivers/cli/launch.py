"""Runs a backfill for a command: shows it, and exits with its code."""

import json
import logging
import os
import shlex
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape

from rivers.cli import display, exit_codes
from rivers.cli.detach import announce
from rivers.cli.display import count, errors, output
from rivers.cli.status_json import status_json
from rivers.exceptions import StorageError

if TYPE_CHECKING:
    from rivers.repository.repository import CodeRepository
    from rivers.status.results import BackfillResult

_MIN_SHOWN_ESTIMATE = 0.1
"""Seconds below which an estimate is not shown."""


@dataclass(frozen=True)
class RunOptions:
    """How a backfill is shown and reported; the other options are those of `backfill()`.

    Attributes:
        notify: URLs and commands that learn of its end.
        keep_logs: Whether log lines of all partitions are kept.
        log_format: `text` or `json`.
        as_json: Whether the result is printed as JSON.
    """

    notify: tuple[str, ...]
    keep_logs: bool
    log_format: str
    as_json: bool


def _handle_logs(repo: "CodeRepository", options: RunOptions) -> None:
    """Has log lines kept or printed as JSON, if that was requested."""
    if not options.keep_logs and options.log_format != "json":
        return
    from rivers.cli import run_logs  # noqa: PLC0415
    from rivers.storage.location import StorageLocation  # noqa: PLC0415

    if options.keep_logs:
        folder = StorageLocation.parse(repo.storage.path).make_log_folder()
        run_logs.install(run_logs.KeptLogs(folder))
    if options.log_format == "json":
        # The display and its warnings are text, which would stand between the lines.
        output.quiet = True
        logging.getLogger("rivers").removeHandler(display.warnings)
        run_logs.install(run_logs.JsonHandler())


def execute(
    repo: "CodeRepository",
    module: str,
    storage: str | None,
    options: RunOptions,
    start: Callable[[], "BackfillResult"],
) -> None:
    """Runs a backfill to its end, shows it, and exits with its code."""
    from rivers.cli.live_display import RunDisplay  # noqa: PLC0415  (this runs a backfill)
    from rivers.repository import internals  # noqa: PLC0415

    # With --json only the result goes to standard output.
    out = errors if options.as_json and options.log_format == "text" else output
    shown = RunDisplay(lambda: repo.storage, announce, out)
    internals.show_progress(repo, shown.begin)
    internals.notify(repo, options.notify)
    _handle_logs(repo, options)
    # SIGTERM, which asks a process to end, does what Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    code = None
    try:
        result = start()
        if result.is_dry_run:
            _print_plan(result, options.as_json)
            return
    except KeyboardInterrupt:
        code = exit_codes.INTERRUPTED
        # The second interrupt may come before the library waits for what is in flight.
        internals.abandon(repo)
    except StorageError as error:
        if not shown.backfill_id:
            raise
        display.say_error(error)
        code = 1
    if not shown.backfill_id:
        errors.print("interrupted: nothing was started")
        raise click.exceptions.Exit(exit_codes.INTERRUPTED)
    raise click.exceptions.Exit(
        _conclude(repo, module, storage, shown.backfill_id, options.as_json, code)
    )


def _print_plan(result: "BackfillResult", as_json: bool) -> None:
    """Prints what a dry run has planned."""
    if as_json:
        display.write_json(json.dumps(result_json(result) | {"estimate": result.estimate}))
        return
    planned = f"{count(result.num_partitions, 'partition')} in {count(result.num_runs, 'run')}"
    seconds = result.estimate or 0.0
    about = f", about {display.duration(seconds)}" if seconds >= _MIN_SHOWN_ESTIMATE else ""
    of_assets = result.partitions_per_asset
    are_listed = len(set(of_assets.values())) > 1
    names = f" of {', '.join(of_assets)}" if of_assets and not are_listed else ""
    output.print(escape(f"dry run: {planned}{names}{about}"))
    if are_listed:
        for name, partitions in of_assets.items():
            output.print(f"  {name}: {count(partitions, 'partition')}")


def result_json(result: "BackfillResult") -> dict[str, Any]:
    """The attributes of a result that cost nothing, with their names in Python."""
    names = (
        "backfill_id", "status", "num_partitions", "num_runs", "completed", "failed", "canceled",
        "is_dry_run", "partitions_per_asset",
    )  # fmt: skip
    return {name: getattr(result, name) for name in names}


def _conclude(
    repo: "CodeRepository",
    module: str,
    storage: str | None,
    backfill_id: str,
    as_json: bool,
    code: int | None,
) -> int:
    """Prints how a backfill ended and the command that continues it; returns the exit code."""
    from rivers.client import BackfillClient  # noqa: PLC0415

    client = BackfillClient(repo.storage)
    view = client.get_view(backfill_id)
    if view is None:
        return 1  # The storage has been deleted meanwhile.
    error = client.get_error(backfill_id) if view.ended_at is not None else None
    exit_code = exit_codes.of_status(view.status) if code is None else code
    # What this process has just left is interrupted, although the process is still there.
    view = replace(view, interrupted=code is not None and view.status == "in_progress")
    if as_json:
        display.write_json(json.dumps(status_json(view, error)))
        return exit_code
    output.print(display.summary(view))
    if error is not None:
        output.print(f"first failure: {escape(error)}")
    if view.status != "completed" and repo.storage.path != "memory":
        verb = "resume" if view.status == "in_progress" else "rerun"
        words = ["rivers", verb, backfill_id, module]
        words += ["--storage", storage] if storage and "RIVERS_STORAGE" not in os.environ else []
        label = "go on with" if verb == "resume" else "run the rest with"
        output.print(f"{label}: {escape(shlex.join(words))}", soft_wrap=True)
    return exit_code
