"""What a shell completes: ids of backfills, assets, dimensions, statuses, files.

What cannot be read completes to nothing: an error in a completion would only disturb the line being typed.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import click
    from click.shell_completion import CompletionItem

    from rivers.repository.repository import CodeRepository

_MAX_IDS = 30
"""Number of the latest backfills whose ids are completed."""


def backfill_ids(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Completes the id of a backfill; the newest comes first."""
    del param
    with contextlib.suppress(Exception):
        from rivers.cli.settings import open_client  # noqa: PLC0415  (opened for this alone)

        views = open_client(ctx.params.get("storage")).list_views(limit=_MAX_IDS)
        items = [
            _item(view.backfill_id, help=f"{view.state}, {', '.join(view.assets)}")
            for view in views
            if view.backfill_id.startswith(incomplete)
        ]
        words = [_item(word) for word in ("latest",) if word.startswith(incomplete)]
        return words + items
    return []


def subjects(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completes the id of a backfill or, after a colon, the asset of a module."""
    module, colon, asset = incomplete.rpartition(":")
    if not colon:
        return backfill_ids(ctx, param, incomplete) or files(ctx, param, incomplete)
    with contextlib.suppress(Exception):
        from rivers.cli.load import import_repository  # noqa: PLC0415  (it imports the user's file)

        names = import_repository(module).assets
        return [_item(f"{module}:{name}") for name in names if name.startswith(asset)]
    return []


def files(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Leaves the name of a module to the shell, which knows files."""
    del ctx, param
    return [_item(incomplete, type="file")]


def statuses(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completes the statuses of backfills or, where a command shows those, of partitions."""
    del param
    words = ["completed", "failed", "canceled"]
    words += ["in_progress"] if ctx.info_name == "list" else ["pending", "running", "skipped"]
    return _completed(words, incomplete)


def strategies(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completes the kinds of strategies."""
    del ctx, param
    return _completed(["multi_run", "single_run", "chunked(100)"], incomplete)


def assets(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completes the assets of the module that was named."""
    del param
    with _repository(ctx) as repo:
        return _completed(repo.assets if repo else (), incomplete)
    return []


def dimensions(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completes `DIMENSION=`, of the assets of the module that was named."""
    del param
    with _repository(ctx) as repo:
        return _completed((f"{name}=" for name in _dimensions(repo)), incomplete)
    return []


def orders(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completes the orders of partitions, and the dimensions."""
    del param
    with _repository(ctx) as repo:
        return _completed(["definition", "reverse", *_dimensions(repo)], incomplete)
    return []


def _dimensions(repo: CodeRepository | None) -> list[str]:
    definitions = [asset.partitions_def for asset in repo.assets.values()] if repo else []
    names = (
        name
        for definition in definitions
        if definition is not None and not isinstance(definition, str)
        for name in definition.dimension_names()
    )
    return list(dict.fromkeys(names))


@contextlib.contextmanager
def _repository(ctx: click.Context) -> Iterator[CodeRepository | None]:
    """The repository of the module that was named, not connected to a storage; `None` if there is none."""
    repo = None
    with contextlib.suppress(Exception):
        from rivers.cli.load import import_repository  # noqa: PLC0415  (it imports the user's file)

        # A line that ends in an option without its value leaves the arguments unread.
        typed = ctx.params.get("module") or next(iter(ctx.args), None)
        module = typed or (ctx.default_map or {}).get("module")
        repo = None if module is None else import_repository(module)
    yield repo


def _completed(words: Iterable[str], incomplete: str) -> list[CompletionItem]:
    """The words that begin with the last of those that are separated by commas."""
    before, comma, last = incomplete.rpartition(",")
    return [_item(f"{before}{comma}{word}") for word in words if word.startswith(last)]


def _item(value: str, **options: str) -> CompletionItem:
    from click.shell_completion import CompletionItem  # noqa: PLC0415  (commands start faster without it)

    return CompletionItem(value, **options)
