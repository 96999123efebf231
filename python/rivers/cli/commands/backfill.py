"""The commands that execute partitions: backfill, rerun, resume."""

import os
import shlex
import signal
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click
from rich.markup import escape

from rivers.cli import display, exit_codes, parse
from rivers.cli.detach import announce, start_detached
from rivers.cli.display import count, errors, output
from rivers.cli.load import find_backfill, load_repository
from rivers.cli.options import (
    FILE,
    canary_option,
    detach_option,
    downstream_option,
    dry_run_option,
    executor_option,
    id_argument,
    max_failures_option,
    module_argument,
    order_option,
    overlap_option,
    retry_option,
    starts_option,
    storage_option,
    timeout_option,
    upstream_option,
)
from rivers.cli.settings import open_storage
from rivers.exceptions import ConfigurationError, StorageError

if TYPE_CHECKING:
    from rivers.planning.request import FailurePolicy, Order, Overlap
    from rivers.repository.repository import CodeRepository
    from rivers.status.results import BackfillResult

_MIN_SHOWN_ESTIMATE = 0.1
"""Seconds below which an estimate is not shown."""

_SHORT_FORMS = ", or a time: 2024-01, today, -7d; open if left out."


@click.command(
    epilog="Example: rivers backfill flights.py --range date=2024-01-01..2024-01-31 "
    "--range region=us,eu --strategy date=multi,region=single"
)
@module_argument
@click.option(
    "--assets",
    multiple=True,
    metavar="NAMES",
    help="Assets, separated by commas; all partitioned ones by default.",
)
@click.option("--from", "from_key", metavar="KEY", help=f"First key of a range{_SHORT_FORMS}")
@click.option("--to", "to_key", metavar="KEY", help=f"Last key of a range{_SHORT_FORMS}")
@click.option(
    "--range",
    "ranges",
    multiple=True,
    metavar="DIM=A..B|DIM=A,B",
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
    help="A csv or Parquet table of partitions, a column per dimension.",
)
@click.option(
    "--strategy",
    metavar="STRATEGY",
    help="multi_run, single_run, chunked(100), or date=multi,region=single.",
)
@click.option(
    "--max-concurrency",
    type=int,
    default=4,
    show_default=True,
    metavar="N",
    envvar="RIVERS_MAX_CONCURRENCY",
    help="Maximum number of runs in flight.",
)
@click.option(
    "--on-failure",
    default="continue",
    show_default=True,
    metavar="POLICY",
    envvar="RIVERS_ON_FAILURE",
    help="continue or stop_on_failure.",
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
@upstream_option
@downstream_option
@click.option(
    "--tag", "tags", multiple=True, metavar="NAME=VALUE", help="Tag of each run; may be repeated."
)
@click.option(
    "--config", type=FILE, metavar="FILE", help="JSON file: a config object for each asset."
)
@dry_run_option
@detach_option
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
    max_failures: str | None,
    order: str,
    max_starts_per_second: float | None,
    overlap: str,
    canary: int | None,
    retry: int | None,
    timeout: float | None,
    executor: str | None,
    only_missing: bool,
    include_upstream: bool,
    include_downstream: bool,
    tags: tuple[str, ...],
    config: Path | None,
    dry_run: bool,
    detach: bool,
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

    where = parse.parse_executor(executor)
    with load_repository(module, open_storage(storage), where) as repo:
        chosen = _partitions(repo, names, from_key, to_key, ranges, partitions, keys, only_missing)
        _execute(repo, module, storage, partial(
            repo.backfill, names, strategy=grouping, failure_policy=cast("FailurePolicy", on_failure),
            max_concurrency=max_concurrency, tags=parse.parse_pairs("--tag", tags),
            config=values, dry_run=dry_run, only_missing=only_missing,
            include_upstream=include_upstream, include_downstream=include_downstream,
            max_failures=parse.parse_max_failures(max_failures),
            order=cast("Order", parse.parse_order(order)),
            max_starts_per_second=max_starts_per_second, overlap=cast("Overlap", overlap), canary=canary,
            retry=None if retry is None else RetryPolicy(retry), timeout=timeout,
            **chosen,
        ))  # fmt: skip


@click.command(epilog="Example: rivers rerun latest flights.py")
@id_argument
@module_argument
@click.option(
    "--error-type",
    metavar="TYPE",
    help="Only what failed with this error type; see 'rivers errors'.",
)
@dry_run_option
@executor_option
@detach_option
@storage_option
def rerun(
    backfill_id: str,
    module: str,
    error_type: str | None,
    dry_run: bool,
    executor: str | None,
    detach: bool,
    storage: str | None,
) -> None:
    """Execute what failed or was canceled again.

    It is a new backfill, with the options of the earlier one.

    ID is the id of a backfill, the start of one, or 'latest'.
    MODULE is a module or a .py file; after a colon the repository in it, if there are several.
    """
    if detach:
        _detach(storage, dry_run)
        return
    with load_repository(module, open_storage(storage), parse.parse_executor(executor)) as repo:
        found = _find(repo, backfill_id)
        again = partial(repo.rerun_backfill, found, dry_run=dry_run, error_type=error_type)
        _execute(repo, module, storage, again)


@click.command(epilog="Example: rivers resume 0190f7 flights.py")
@id_argument
@module_argument
@executor_option
@detach_option
@storage_option
def resume(
    backfill_id: str, module: str, executor: str | None, detach: bool, storage: str | None
) -> None:
    """Continue a backfill whose process died.

    ID is the id of a backfill, the start of one, or 'latest'.
    MODULE is a module or a .py file; after a colon the repository in it, if there are several.
    """
    if detach:
        _detach(storage)
        return
    # The library's warning about a dead process is the reason for this command.
    display.warnings.is_quiet = True
    with load_repository(module, open_storage(storage), parse.parse_executor(executor)) as repo:
        found = _find(repo, backfill_id)
        _execute(repo, module, storage, partial(repo.resume_backfill, found))


def _find(repo: "CodeRepository", given: str) -> str:
    """Returns the id of the backfill that is meant, among those of a repository's storage."""
    from rivers.client import BackfillClient  # noqa: PLC0415

    return find_backfill(BackfillClient(repo.storage), given).backfill_id


def _detach(storage: str | None, dry_run: bool = False) -> None:
    if dry_run:
        raise ConfigurationError("give --detach or --dry-run, not both")
    start_detached(storage)


def _partitions(
    repo: "CodeRepository",
    names: list[str] | None,
    from_key: str | None,
    to_key: str | None,
    ranges: tuple[str, ...],
    partitions: tuple[str, ...],
    keys: Path | None,
    only_missing: bool,
) -> dict[str, Any]:
    """Returns the selected partitions as the argument of `backfill()` that fits how they were named."""
    from rivers.partitions import PartitionKeyRange  # noqa: PLC0415
    from rivers.repository.internals import partition_definition  # noqa: PLC0415

    is_range = from_key is not None or to_key is not None
    given = {
        "--from and --to": is_range,
        "--range": bool(ranges),
        "--partitions": bool(partitions),
        "--keys": keys is not None,
    }
    ways = [way for way, is_given in given.items() if is_given]
    if len(ways) > 1 or not (ways or only_missing):
        what = f"not {' with '.join(ways)}" if ways else "or --only-missing for all that is missing"
        raise ConfigurationError(f"name the partitions in one way, with {_either(given)}; {what}")
    if is_range:
        return {"partition_range": PartitionKeyRange.single(from_key, to_key)}
    if ranges:
        return {"partition_range": parse.parse_range(ranges)}
    if keys is not None:
        return {"partition_keys": parse.read_table(keys)}
    definition = partition_definition(repo, names)
    if partitions:
        return {"partition_keys": parse.parse_keys(partitions, definition.dimension_names())}
    return {"partition_keys": definition.select()}


def _either(ways: dict[str, bool]) -> str:
    *first, last = ways
    return f"{', '.join(first)} or {last}"


def _execute(
    repo: "CodeRepository", module: str, storage: str | None, start: Callable[[], "BackfillResult"]
) -> None:
    """Runs a backfill to its end, shows it, and exits with its code."""
    from rivers.cli.live_display import RunDisplay  # noqa: PLC0415  (this runs a backfill)
    from rivers.repository.internals import abandon, show_progress  # noqa: PLC0415

    shown = RunDisplay(lambda: repo.storage, announce)
    show_progress(repo, shown.begin)
    # SIGTERM, which asks a process to end, does what Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    code = None
    try:
        result = start()
        if result.is_dry_run:
            _print_plan(result)
            return
    except KeyboardInterrupt:
        code = exit_codes.INTERRUPTED
        # The second interrupt may come before the library waits for what is in flight.
        abandon(repo)
    except StorageError as error:
        if not shown.backfill_id:
            raise
        display.say_error(error)
        code = 1
    if not shown.backfill_id:
        errors.print("interrupted: nothing was started")
        raise click.exceptions.Exit(exit_codes.INTERRUPTED)
    raise click.exceptions.Exit(_conclude(repo, module, storage, shown.backfill_id, code))


def _print_plan(result: "BackfillResult") -> None:
    """Prints what a dry run has planned."""
    planned = f"{count(result.num_partitions, 'partition')} in {count(result.num_runs, 'run')}"
    seconds = result.estimate or 0.0
    about = f", about {display.duration(seconds)}" if seconds >= _MIN_SHOWN_ESTIMATE else ""
    output.print(f"dry run: {planned}{about}")
    if len(set(result.partitions_per_asset.values())) > 1:
        for name, partitions in result.partitions_per_asset.items():
            output.print(f"  {name}: {count(partitions, 'partition')}")


def _conclude(
    repo: "CodeRepository", module: str, storage: str | None, backfill_id: str, code: int | None
) -> int:
    """Prints how a backfill ended and the command that continues it; returns the exit code."""
    from rivers.client import BackfillClient  # noqa: PLC0415

    client = BackfillClient(repo.storage)
    view = client.get_view(backfill_id)
    if view is None:
        return 1  # The storage has been deleted meanwhile.
    # A backfill that this process has just left is resumable; that is said below.
    output.print(display.summary(replace(view, interrupted=False)), soft_wrap=True)
    error = client.get_error(backfill_id) if view.ended_at is not None else None
    if error is not None:
        output.print(f"first failure: {escape(error)}", soft_wrap=True)
    if view.status != "completed" and repo.storage.path != "memory":
        verb = "resume" if view.status == "in_progress" else "rerun"
        words = ["rivers", verb, backfill_id, module]
        words += ["--storage", storage] if storage and "RIVERS_STORAGE" not in os.environ else []
        label = "go on with" if verb == "resume" else "run the rest with"
        output.print(f"{label}: {escape(shlex.join(words))}", soft_wrap=True)
    return exit_codes.of_status(view.status) if code is None else code


COMMANDS = {"backfill": backfill, "rerun": rerun, "resume": resume}
