"""Which run a log record belongs to, for records of any logger, in the threads of this process.

Worker processes send theirs with these attributes already.
"""

from __future__ import annotations

import logging
from contextvars import ContextVar
from typing import TYPE_CHECKING
from weakref import WeakSet

from rivers.execution.context import log_extra

if TYPE_CHECKING:
    from rivers._rivers import Run
    from rivers.execution.runner import Program
    from rivers.execution.steps import Step

_current: ContextVar[tuple[Step, Run] | None] = ContextVar("rivers_current_step", default=None)


class RunFilter(logging.Filter):
    """Adds `backfill`, `asset`, `partition` and `run` to the records of functions that a run executes.

    Add it to a handler: then the records of every logger have these attributes, `None` outside of runs. What
    `context.log` logs has them without a filter.

    Example:
        >>> import logging, rivers as rs
        >>> from rivers.execution.log_context import RunFilter
        >>> handler = logging.StreamHandler()
        >>> handler.addFilter(RunFilter())
        >>> handler.setFormatter(logging.Formatter("%(asset)s %(partition)s: %(message)s"))
    """

    def __init__(self) -> None:
        super().__init__()
        filters.add(self)

    def filter(self, record: logging.LogRecord) -> bool:
        """Adds the attributes; every record passes."""
        if "run" not in record.__dict__:
            current = _current.get()
            nothing = dict.fromkeys(("backfill", "asset", "partition", "run"))
            added = nothing if current is None else log_extra(*current)
            record.__dict__.update({**added, **record.__dict__})
        return True


filters: WeakSet[RunFilter] = WeakSet()
"""The filters that exist: following runs costs time, which is only spent if there are any."""


def follow(program: Program) -> None:
    """Has a program that is executed in this process tell the filters which step it executes."""
    if filters:
        program.on_step = _enter
        program.direct = None  # Rust does not say which step it executes.


def _enter(step: Step, run: Run) -> None:
    _current.set((step, run))
