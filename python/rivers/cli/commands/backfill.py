"""The commands that execute partitions: backfill, rerun, resume."""

import json
import logging
import os
import shlex
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click
from rich.markup import escape

from rivers.cli import completion, display, exit_codes, parse
from rivers.cli.chosen_partitions import chosen_partitions
from rivers.cli.detach import announce, start_detached
from rivers.cli.display import count, errors, output
from rivers.cli.load import load_for_backfill, load_repository, looks_like_module
from rivers.cli.options import (
    COUNT,
    FILE,
    POLICIES,
    assets_option,
    canary_option,
    detach_option,
    downstream_option,
    dry_run_option,
    executor_option,
    id_argument,
    json_option,
    max_failures_option,
    module_argument,
    new_concurrency_option,
    optional_module_argument,
    order_option,
    overlap_option,
    retry_option,
    starts_option,
    storage_option,
    timeout_option,
    upstream_option,
    verbosity_options,
)
from rivers.cli.settings import open_storage
from rivers.cli.status_json import status_json
from rivers.exceptions import ConfigurationError, StorageError

if TYPE_CHECKING:
    from rivers.planning.request import FailurePolicy, Order, Overlap
    from rivers.repository.repository import CodeRepository
    from rivers.status.results import BackfillResult

_MIN_SHOWN_ESTIMATE = 0.1
"""Seconds below which an estimate is not shown."""

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


_SHORT_FORMS = ", or a time: 2024-01, today, -7d; open if left out."


@click.command(
    epilog="Example: rivers backfill flights.py --range date=2024-01-01..2024-01-31 "
    "--range region=us,eu --strategy date=multi,region=single"
)
@module_argument
@assets_option
@click.option("--from", "from_key", metavar="KEY", help=f"First key of a range{_SHORT_FORMS}")
@click.option("--to", "to_key", metavar="KEY", help=f"Last key of a range{_SHORT_FORMS}")
@click.option(
    "--range",
    "ranges",
    multiple=True,
    metavar="DIM=A..B|DIM=A,B",
    shell_complete=completion.dimensions,
    help="Keys of a dimension; may be repeated. A dimension left out has all its keys.",
)
@click.option(
    "--partitions",
    multiple=True,
    metavar="KEYS",
    help="Single partitions: 'a,b', or with dimensions 'date=2024-01-01|region=us,eu'.",
)
@click.option(
    "--keys",
    type=FILE,
    metavar="FILE",
    help="A csv or Parquet table of partitions, a column per dimension; - for standard input: "
    "keys line by line, a table with tabs or commas, or JSON.",
)
@click.option(
    "--strategy",
    metavar="STRATEGY",
    shell_complete=completion.strategies,
    help="multi_run, single_run, chunked(100), or date=multi,region=single.",
)
@click.option(
    "--max-concurrency",
    type=COUNT,
    default=4,
    show_default=True,
    metavar="N",
    envvar="RIVERS_MAX_CONCURRENCY",
    help="Maximum number of runs in flight.",
)
@click.option(
    "--on-failure",
    type=click.Choice(POLICIES),
    default="continue",
    show_default=True,
    envvar="RIVERS_ON_FAILURE",
    help="Whether runs still start after a failure.",
)
@max_failures_option
@order_option
@starts_option
@overlap_option
@canary_option
@retry_option
@timeout_option
@executor_option
@click.option(
    "--only-missing",
    is_flag=True,
    help="Leave out materialized partitions; without a selection, of all partitions.",
)
@click.option(
    "--only-stale",
    is_flag=True,
    help="Leave out partitions that are materialized and up to date; like --only-missing.",
)
@upstream_option
@downstream_option
@click.option(
    "--tag", "tags", multiple=True, metavar="NAME=VALUE", help="Tag of each run; may be repeated."
)
@click.option(
    "--config", type=FILE, metavar="FILE", help="JSON file: a config object for each asset."
)
@notify_option
@log_options
@dry_run_option
@detach_option
@json_option
@verbosity_options
@storage_option
def backfill(
    module: str,
    assets: tuple[str, ...],
    from_key: str | None,
    to_key: str | None,
    ranges: tuple[str, ...],
    partitions: tuple[str, ...],
    keys: Path | None,
    strategy: str | None,
    max_concurrency: int,
    on_failure: str,
    max_failures: float | None,
    order: str,
    max_starts_per_second: float | None,
    overlap: str,
    canary: int | None,
    retry: int | None,
    timeout: float | None,
    executor: str | None,
    only_missing: bool,
    only_stale: bool,
    include_upstream: bool,
    include_downstream: bool,
    tags: tuple[str, ...],
    config: Path | None,
    notify: tuple[str, ...],
    keep_logs: bool,
    log_format: str,
    dry_run: bool,
    detach: bool,
    as_json: bool,
    storage: str | None,
) -> None:
    """Execute partitions of assets, and watch them.

    MODULE is a module or a .py file; after a colon the repository in it, if there are several.

    At the end the command that runs the rest is shown, if some partitions failed or were canceled.
    """
    if detach:
        _detach(storage, dry_run)
        return
    names = parse.parse_names(assets)
    grouping = parse.parse_strategy(strategy)
    values = parse.read_config(config)
    from rivers.policies.retry import RetryPolicy  # noqa: PLC0415  (few commands need it)
    from rivers.repository.internals import partition_definition  # noqa: PLC0415

    with load_repository(module, open_storage(storage), parse.parse_executor(executor)) as repo:
        chosen = chosen_partitions(
            partial(partition_definition, repo, names), from_key, to_key, ranges, partitions, keys,
            can_be_all=only_missing or only_stale, all_of="--only-missing for all that is missing",
        )  # fmt: skip
        _execute(repo, module, storage, RunOptions(notify, keep_logs, log_format, as_json), partial(
            repo.backfill, names, strategy=grouping, failure_policy=cast("FailurePolicy", on_failure),
            max_concurrency=max_concurrency, tags=parse.parse_pairs("--tag", tags),
            config=values, dry_run=dry_run, only_missing=only_missing,
            only_stale=only_stale,
            include_upstream=include_upstream, include_downstream=include_downstream,
            max_failures=max_failures,
            order=cast("Order", parse.parse_order(order)),
            max_starts_per_second=max_starts_per_second, overlap=cast("Overlap", overlap), canary=canary,
            retry=None if retry is None else RetryPolicy(retry), timeout=timeout,
            **chosen,
        ))  # fmt: skip


@click.command(epilog="Example: rivers rerun latest --max-concurrency 8")
@id_argument
@optional_module_argument
@click.option(
    "--error-type",
    metavar="TYPE",
    help="Only what failed with this error type; see 'rivers errors'.",
)
@new_concurrency_option
@max_failures_option
@notify_option
@log_options
@dry_run_option
@executor_option
@detach_option
@json_option
@verbosity_options
@storage_option
@click.pass_context
def rerun(
    ctx: click.Context,
    backfill_id: str,
    module: str | None,
    error_type: str | None,
    max_runs: int | None,
    max_failures: float | None,
    notify: tuple[str, ...],
    keep_logs: bool,
    log_format: str,
    dry_run: bool,
    executor: str | None,
    detach: bool,
    as_json: bool,
    storage: str | None,
) -> None:
    """Execute what failed or was canceled again.

    It is a new backfill, with the options of the earlier one.

    ID is the id of a backfill, the start of one, 'latest' (the default) or '@2' for the latest but one.
    MODULE is the module or .py file that it was launched from, if it was launched elsewhere.
    """
    if detach:
        _detach(storage, dry_run)
        return
    backfill_id, module = _id_and_module(backfill_id, module)
    repo, found, module = load_for_backfill(
        backfill_id,
        module,
        parse.setting(ctx, "module"),
        storage,
        parse.parse_executor(executor),
    )
    with repo:
        again = partial(
            repo.rerun_backfill, found, dry_run=dry_run, error_type=error_type,
            max_concurrency=max_runs, max_failures=max_failures,
        )  # fmt: skip
        options = RunOptions(notify, keep_logs, log_format, as_json)
        _execute(repo, module, storage, options, again)


@click.command(epilog="Example: rivers resume 0190f7")
@id_argument
@optional_module_argument
@new_concurrency_option
@max_failures_option
@log_options
@executor_option
@detach_option
@json_option
@verbosity_options
@storage_option
@click.pass_context
def resume(
    ctx: click.Context,
    backfill_id: str,
    module: str | None,
    max_runs: int | None,
    max_failures: float | None,
    keep_logs: bool,
    log_format: str,
    executor: str | None,
    detach: bool,
    as_json: bool,
    storage: str | None,
) -> None:
    """Continue a backfill whose process died.

    ID is the id of a backfill, the start of one, 'latest' (the default) or '@2' for the latest but one.
    MODULE is the module or .py file that it was launched from, if it was launched elsewhere.
    """
    if detach:
        _detach(storage)
        return
    # The library's warning about a dead process is the reason for this command.
    display.warnings.is_quiet = True
    backfill_id, module = _id_and_module(backfill_id, module)
    repo, found, module = load_for_backfill(
        backfill_id,
        module,
        parse.setting(ctx, "module"),
        storage,
        parse.parse_executor(executor),
    )
    with repo:
        if max_runs is not None or max_failures is not None:
            repo.update_backfill(found, max_concurrency=max_runs, max_failures=max_failures)
        options = RunOptions((), keep_logs, log_format, as_json)
        _execute(repo, module, storage, options, partial(repo.resume_backfill, found))


def _id_and_module(backfill_id: str, module: str | None) -> tuple[str, str | None]:
    """Reads a single argument that is a module as one: the backfill is the latest then."""
    if module is None and looks_like_module(backfill_id):
        return "latest", backfill_id
    return backfill_id, module


def _detach(storage: str | None, dry_run: bool = False) -> None:
    if dry_run:
        raise ConfigurationError("give --detach or --dry-run, not both")
    start_detached(storage)


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


def _execute(
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
    output.print(f"dry run: {planned}{about}")
    if len(set(result.partitions_per_asset.values())) > 1:
        for name, partitions in result.partitions_per_asset.items():
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
    if as_json:
        display.write_json(json.dumps(status_json(view, error)))
        return exit_code
    # A backfill that this process has just left is resumable; that is said below.
    output.print(display.summary(replace(view, interrupted=False)), soft_wrap=True)
    if error is not None:
        output.print(f"first failure: {escape(error)}", soft_wrap=True)
    if view.status != "completed" and repo.storage.path != "memory":
        verb = "resume" if view.status == "in_progress" else "rerun"
        words = ["rivers", verb, backfill_id, module]
        words += ["--storage", storage] if storage and "RIVERS_STORAGE" not in os.environ else []
        label = "go on with" if verb == "resume" else "run the rest with"
        output.print(f"{label}: {escape(shlex.join(words))}", soft_wrap=True)
    return exit_code


COMMANDS = {"backfill": backfill, "rerun": rerun, "resume": resume}
