"""The command that executes partitions: backfill."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from rivers.cli import completion, parse
from rivers.cli.chosen_partitions import chosen_partitions
from rivers.cli.detach import start_detached
from rivers.cli.launch import RunOptions, execute
from rivers.cli.load import load_repository
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
    json_option,
    log_options,
    max_failures_option,
    module_argument,
    notify_option,
    order_option,
    overlap_option,
    partitions_options,
    retry_option,
    starts_option,
    storage_option,
    timeout_option,
    upstream_option,
    verbosity_options,
)
from rivers.cli.settings import open_storage

if TYPE_CHECKING:
    from rivers.planning.request import FailurePolicy, Order, Overlap


@click.command(
    epilog="Example: rivers backfill flights.py --range date=2024-01-01..2024-01-31 "
    "--range region=us,eu --strategy date=multi,region=single"
)
@module_argument
@assets_option
@partitions_options
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
    help="Leave out materialized partitions, also of what --include-upstream adds; without a selection, "
    "of all partitions.",
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
        start_detached(storage, dry_run=dry_run, reads_input=keys == Path("-"))
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
        execute(repo, module, storage, RunOptions(notify, keep_logs, log_format, as_json), partial(
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


COMMANDS = {"backfill": backfill}
