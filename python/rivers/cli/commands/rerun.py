"""The commands that execute partitions of an earlier backfill: rerun, resume."""

from functools import partial
from typing import TYPE_CHECKING

import click

from rivers.cli import display, parse
from rivers.cli.detach import start_detached
from rivers.cli.launch import RunOptions, execute
from rivers.cli.load import load_for_backfill, looks_like_module
from rivers.cli.options import (
    detach_option,
    dry_run_option,
    executor_option,
    id_argument,
    json_option,
    log_options,
    max_failures_option,
    new_concurrency_option,
    notify_option,
    optional_module_argument,
    storage_option,
    verbosity_options,
)

if TYPE_CHECKING:
    from rivers.repository.repository import CodeRepository


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
        start_detached(storage, dry_run=dry_run)
        return
    repo, found, module = _loaded(ctx, backfill_id, module, storage, executor)
    with repo:
        again = partial(
            repo.rerun_backfill, found, dry_run=dry_run, error_type=error_type,
            max_concurrency=max_runs, max_failures=max_failures,
        )  # fmt: skip
        options = RunOptions(notify, keep_logs, log_format, as_json)
        execute(repo, module, storage, options, again)


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
        start_detached(storage)
        return
    # The library's warning about a dead process is the reason for this command.
    display.warnings.is_quiet = True
    repo, found, module = _loaded(ctx, backfill_id, module, storage, executor)
    with repo:
        if max_runs is not None or max_failures is not None:
            repo.update_backfill(found, max_concurrency=max_runs, max_failures=max_failures)
        options = RunOptions((), keep_logs, log_format, as_json)
        execute(repo, module, storage, options, partial(repo.resume_backfill, found))


def _loaded(
    ctx: click.Context,
    backfill_id: str,
    module: str | None,
    storage: str | None,
    executor: str | None,
) -> "tuple[CodeRepository, str, str]":
    """Loads the repository that continues a backfill; the id may be left out, so that a module stands first.

    Returns:
        The repository, connected; the id of the backfill; the module.
    """
    if module is None and looks_like_module(backfill_id):
        backfill_id, module = "latest", backfill_id
    default = parse.setting(ctx, "module")
    return load_for_backfill(backfill_id, module, default, storage, parse.parse_executor(executor))


COMMANDS = {"rerun": rerun, "resume": resume}
