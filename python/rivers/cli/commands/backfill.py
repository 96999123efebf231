"""The commands that execute partitions: backfill, rerun, resume."""

import os
import shlex
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from rivers.cli import display, parse
from rivers.cli.detach import announce, start_detached
from rivers.cli.display import count, errors, output
from rivers.cli.live_display import RunDisplay
from rivers.cli.load import find_backfill, load_repository
from rivers.cli.options import (
    CanaryOption,
    DownstreamOption,
    MaxFailuresOption,
    OrderOption,
    OverlapOption,
    RetryOption,
    StartsOption,
    UpstreamOption,
)
from rivers.cli.settings import IdArgument, ModuleArgument, StorageOption, open_storage
from rivers.exceptions import ConfigurationError, StorageError
from rivers.partitions import PartitionKeyRange
from rivers.planning import request as submission
from rivers.policies.retry import RetryPolicy
from rivers.repository.repository import CodeRepository
from rivers.status.results import BackfillResult

EXIT_CODES = {"completed": 0, "failed": 1, "canceled": 1}
INTERRUPTED = 130

_WORTH_TELLING = 0.1
"""Seconds that an estimate must have."""

_SHORT = ", or a time: 2024-01, today, -7d; open if left out."

DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Check and plan; execute nothing.")]
DetachOption = Annotated[
    bool,
    typer.Option("--detach", help="Run in a process of its own, which writes a log file."),
]


def backfill(
    module: ModuleArgument,
    assets: Annotated[
        list[str] | None,
        typer.Option(help="Assets, separated by commas; all partitioned ones by default."),
    ] = None,
    from_key: Annotated[
        str | None, typer.Option("--from", metavar="KEY", help=f"First key of a range{_SHORT}")
    ] = None,
    to_key: Annotated[
        str | None, typer.Option("--to", metavar="KEY", help=f"Last key of a range{_SHORT}")
    ] = None,
    ranges: Annotated[
        list[str] | None,
        typer.Option(
            "--range",
            metavar="DIM=A..B|DIM=A,B",
            help="Keys of a dimension; once for each. All keys of those left out.",
        ),
    ] = None,
    partitions: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEYS",
            help="Single partitions: 'a,b', or with dimensions 'date=2024-01-01|region=us,eu'.",
        ),
    ] = None,
    keys: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="A csv or Parquet table of partitions, a column per dimension."
        ),
    ] = None,
    strategy: Annotated[
        str | None,
        typer.Option(help="multi_run, single_run, chunked(100), or date=multi,region=single."),
    ] = None,
    max_concurrency: Annotated[
        int, typer.Option(envvar="RIVERS_MAX_CONCURRENCY", help="Most runs at a time.")
    ] = 4,
    on_failure: Annotated[
        str, typer.Option(envvar="RIVERS_ON_FAILURE", help="continue or stop_on_failure.")
    ] = "continue",
    max_failures: MaxFailuresOption = None,
    order: OrderOption = "definition",
    max_starts_per_second: StartsOption = None,
    overlap: OverlapOption = "allow",
    canary: CanaryOption = None,
    retry: RetryOption = None,
    only_missing: Annotated[
        bool,
        typer.Option(
            "--only-missing", help="Leave out what is materialized; alone: of all partitions."
        ),
    ] = False,
    include_upstream: UpstreamOption = False,
    include_downstream: DownstreamOption = False,
    tags: Annotated[
        list[str] | None, typer.Option("--tag", metavar="NAME=VALUE", help="For each run.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="JSON: an object for each asset.")
    ] = None,
    dry_run: DryRunOption = False,
    detach: DetachOption = False,
    storage: StorageOption = None,
) -> None:
    """Execute partitions of assets, watch them, and tell how to run again what failed."""
    if detach:
        _detach(storage, dry_run)
        return
    names = parse.parse_names(assets)
    grouping = parse.parse_strategy(strategy)
    values = parse.read_config(config)
    with load_repository(module, open_storage(storage)) as repo:
        chosen = _partitions(repo, names, from_key, to_key, ranges, partitions, keys, only_missing)
        _execute(repo, module, storage, partial(
            repo.backfill, names, strategy=grouping, failure_policy=on_failure,
            max_concurrency=max_concurrency, tags=parse.parse_pairs("--tag", tags or ()),
            config=values, dry_run=dry_run, only_missing=only_missing,
            include_upstream=include_upstream, include_downstream=include_downstream,
            max_failures=parse.parse_max_failures(max_failures), order=parse.parse_order(order),
            max_starts_per_second=max_starts_per_second, overlap=overlap, canary=canary,
            retry=None if retry is None else RetryPolicy(retry), **chosen,
        ))  # fmt: skip


def rerun(
    backfill_id: IdArgument,
    module: ModuleArgument,
    error_type: Annotated[
        str | None,
        typer.Option(metavar="TYPE", help="Only what failed with it; 'rivers errors' tells them."),
    ] = None,
    dry_run: DryRunOption = False,
    detach: DetachOption = False,
    storage: StorageOption = None,
) -> None:
    """Execute again what failed or was canceled, as a new backfill."""
    if detach:
        _detach(storage, dry_run)
        return
    with load_repository(module, open_storage(storage)) as repo:
        found = find_backfill(repo.storage, backfill_id)["backfill_id"]
        again = partial(repo.rerun_backfill, found, dry_run=dry_run, error_type=error_type)
        _execute(repo, module, storage, again)


def resume(
    backfill_id: IdArgument,
    module: ModuleArgument,
    detach: DetachOption = False,
    storage: StorageOption = None,
) -> None:
    """Go on with a backfill whose process died, under its id."""
    if detach:
        _detach(storage)
        return
    # What the library says of backfills whose process died is why this is called.
    display.warnings.is_quiet = True
    with load_repository(module, open_storage(storage)) as repo:
        found = find_backfill(repo.storage, backfill_id)["backfill_id"]
        _execute(repo, module, storage, partial(repo.resume_backfill, found))


def _detach(storage: str | None, dry_run: bool = False) -> None:
    if dry_run:
        raise ConfigurationError("give --detach or --dry-run, not both")
    start_detached(storage)


def _partitions(
    repo: CodeRepository,
    names: list[str] | None,
    from_key: str | None,
    to_key: str | None,
    ranges: list[str] | None,
    partitions: list[str] | None,
    keys: Path | None,
    only_missing: bool,
) -> dict[str, Any]:
    """The one way in which partitions were named, as the argument of `backfill()`."""
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
    definition = submission.select_assets(repo._graph, names)[0].definition  # noqa: SLF001
    if definition is None:  # Such an asset is not selected.
        raise AssertionError
    if partitions:
        return {"partition_keys": parse.parse_keys(partitions, definition.dimensions)}
    return {"partition_keys": definition.select()}


def _either(ways: dict[str, bool]) -> str:
    *first, last = ways
    return f"{', '.join(first)} or {last}"


def _execute(
    repo: CodeRepository, module: str, storage: str | None, start: Callable[[], BackfillResult]
) -> None:
    """Runs it to its end, tells of it, and leaves with its exit code."""
    shown = RunDisplay(lambda: repo.storage._store, announce)  # noqa: SLF001
    repo._shown_by = shown.begin  # noqa: SLF001
    # What ends a process politely ends it as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    code = None
    try:
        result = start()
        if result.is_dry_run:
            planned = (
                f"{count(result.num_partitions, 'partition')} in {count(result.num_runs, 'run')}"
            )
            seconds = result.estimate or 0.0
            about = f", about {display.duration(seconds)}" if seconds >= _WORTH_TELLING else ""
            output.print(f"dry run: {planned}{about}")
            if len(set(result.partitions_per_asset.values())) > 1:
                for name, partitions in result.partitions_per_asset.items():
                    output.print(f"  {name}: {count(partitions, 'partition')}")
            return
    except KeyboardInterrupt:
        code = INTERRUPTED
        # The second interrupt may come before the library waits for what is in flight.
        repo.abandon()
    except StorageError as error:
        if not shown.backfill_id:
            raise
        display.say_error(str(error))
        code = 1
    if not shown.backfill_id:
        errors.print("interrupted: nothing was started")
        raise typer.Exit(INTERRUPTED)
    raise typer.Exit(_conclude(repo, module, storage, shown.backfill_id, code))


def _conclude(
    repo: CodeRepository, module: str, storage: str | None, backfill_id: str, code: int | None
) -> int:
    """Tells how a backfill ended and what can be done next; the exit code."""
    store = repo.storage._store  # noqa: SLF001
    record = store.backfill(backfill_id)
    if record is None:
        return 1  # Someone has taken the storage away.
    output.print(display.summary(record), soft_wrap=True)
    error = store.error(backfill_id)
    if error is not None:
        output.print(f"first failure: {escape(error)}", soft_wrap=True)
    if record["status"] != "completed" and store.path != "memory":
        verb = "resume" if record["status"] == "in_progress" else "rerun"
        words = ["rivers", verb, backfill_id, module]
        words += ["--storage", storage] if storage and "RIVERS_STORAGE" not in os.environ else []
        label = "go on with" if verb == "resume" else "run the rest with"
        output.print(f"{label}: {escape(shlex.join(words))}", soft_wrap=True)
    return EXIT_CODES.get(record["status"], 1) if code is None else code


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command(
        epilog="Example: rivers backfill flights.py --range date=2024-01-01..2024-01-31 "
        "--range region=us,eu --strategy date=multi,region=single"
    )(backfill)
    app.command(epilog="Example: rivers rerun latest flights.py")(rerun)
    app.command(epilog="Example: rivers resume 0190f7 flights.py")(resume)
