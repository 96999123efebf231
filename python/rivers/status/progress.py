"""One live line on a terminal or in a notebook while a call waits for a backfill."""

from __future__ import annotations

import importlib
import os
import sys
import time
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from rich.progress import Progress

_REFRESH = 0.1
"""Seconds between two updates on a terminal."""
_NOTEBOOK_REFRESH = 0.5
"""Seconds between two updates in a notebook, where each is a message to a browser."""


def is_wanted() -> bool:
    """Whether standard error is a terminal and `RIVERS_PROGRESS` is not `0`."""
    return os.environ.get("RIVERS_PROGRESS", "1") != "0" and bool(
        sys.stderr and sys.stderr.isatty()
    )


def progress(
    request_id: str, total: int, look: Callable[[], tuple[int, int, int] | None]
) -> ProgressLine | NotebookLine:
    """Makes the display for this process; the arguments are those of `ProgressLine`."""
    return (NotebookLine if _in_notebook() else ProgressLine)(request_id, total, look)


def _in_notebook() -> bool:
    """Whether this is the process of a notebook and `RIVERS_PROGRESS` is not `0`."""
    module = sys.modules.get("IPython")
    shell = module.get_ipython() if module is not None else None
    return (
        getattr(shell, "kernel", None) is not None and os.environ.get("RIVERS_PROGRESS", "1") != "0"
    )


class ProgressLine:
    """Shows completed and failed partitions, rate and time left, if progress is wanted.

    Args:
        request_id: The id of the backfill or the manual run.
        total: Number of partitions.
        look: Returns completed and failed partitions and runs in flight; `None` once it has ended.
    """

    def __init__(
        self, request_id: str, total: int, look: Callable[[], tuple[int, int, int] | None]
    ) -> None:
        self._request_id = request_id
        self._total = total
        self._look = look
        self._progress: Progress | None = None

    def __enter__(self) -> Self:
        if is_wanted():
            # rich takes as long to import as the rest of the package, so import it only for a terminal.
            from rich import progress  # noqa: PLC0415
            from rich.console import Console  # noqa: PLC0415

            self._progress = progress.Progress(
                progress.TextColumn(self._request_id),
                progress.BarColumn(),
                progress.MofNCompleteColumn(),
                progress.TextColumn("[red]{task.fields[failed]:,} failed"),
                progress.TextColumn("{task.fields[rate]:,.0f}/s"),
                progress.TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._task = self._progress.add_task("backfill", total=self._total, failed=0, rate=0.0)
            self._progress.start()
            self._began = time.monotonic()
        return self

    def update_interval(self) -> float | None:
        """Returns the seconds until the next `update()`; `None` if there is nothing to show."""
        return None if self._progress is None else _REFRESH

    def update(self) -> None:
        """Reads the counts and shows them."""
        seen = self._look() if self._progress is not None else None
        if self._progress is None or seen is None:
            return
        completed, failed, _ = seen
        elapsed = max(time.monotonic() - self._began, 1e-9)
        ended = completed + failed
        self._progress.update(self._task, completed=ended, failed=failed, rate=ended / elapsed)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._progress is not None:
            self._progress.stop()


class NotebookLine:
    """Shows completed and failed partitions, rate and time left below a cell of a notebook.

    Args:
        request_id: The id of the backfill or the manual run.
        total: Number of partitions.
        look: As for `ProgressLine`.
    """

    def __init__(
        self, request_id: str, total: int, look: Callable[[], tuple[int, int, int] | None]
    ) -> None:
        self._request_id = request_id
        self._total = total
        self._look = look
        self._seen = (0, 0, 0)

    def __enter__(self) -> Self:
        # A notebook always has IPython, which has no types.
        shown: Any = importlib.import_module("IPython.display")
        self._html: Any = shown.HTML
        self._began = time.monotonic()
        self._handle: Any = shown.display(shown.HTML(self._text()), display_id=True)
        return self

    def update_interval(self) -> float:
        """Returns the seconds until the next `update()`."""
        return _NOTEBOOK_REFRESH

    def update(self) -> None:
        """Reads the counts and shows them."""
        seen = self._look()
        if seen is not None:
            self._seen = seen
            self._handle.update(self._html(self._text()))

    def _text(self) -> str:
        from rivers.status import html  # noqa: PLC0415  (Polars is loaded where a table is wanted)

        completed, failed, in_flight = self._seen
        rate = (completed + failed) / max(time.monotonic() - self._began, 1e-9)
        left = self._total - completed - failed
        text = f"{completed + failed:,}/{self._total:,}, {failed:,} failed, {in_flight:,} in flight"
        if rate and left:
            text += f", {rate:,.1f}/s, {left / rate:,.0f} s left"
        counts = {"completed": completed, "failed": failed}
        return html.facts({self._request_id: text}) + html.bar(counts, self._total)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            # The backfill has ended: the result is shown in place of the progress.
            self._handle.update(self._html(""))
