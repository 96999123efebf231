"""The context that functions get: the run, its partitions, the configuration, a logger."""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Generic

from rivers._rivers import PartitionKey
from rivers._text import message_of, storable
from rivers.exceptions import ExecutionError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from typing import Any

    # For type checkers alone: `AssetExecutionContext` without a model needs no brackets then.
    from typing_extensions import TypeVar

    from rivers._rivers import PartitionsDefinition, Run, Selection
    from rivers.execution.steps import Step

    ConfigT = TypeVar("ConfigT", default=Any)
else:
    from typing import TypeVar

    ConfigT = TypeVar("ConfigT")


_LINES = 20
"""Number of log lines of a failed call that are kept."""
_MAX_LINE_LENGTH = 500
"""Maximum number of characters of each."""


class _Log(logging.Logger):
    """A logger that keeps the last records, and passes on those that the logger of its name would log."""

    def __init__(
        self,
        logger: logging.Logger,
        lines: deque[logging.LogRecord],
        extra: Callable[[], dict[str, Any]],
    ) -> None:
        super().__init__(logger.name)
        self.parent = logger
        self._lines = lines
        self._extra = extra

    def makeRecord(self, *args: Any, **kwargs: Any) -> logging.LogRecord:  # noqa: N802  (as above)
        """Adds what describes the call."""
        record = super().makeRecord(*args, **kwargs)
        record.__dict__.update({**self._extra(), **record.__dict__})
        return record

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802  (the standard library's name)
        """Every level is kept."""
        del level
        return True

    def handle(self, record: logging.LogRecord) -> None:
        """Keeps a record, and passes it on if it is logged."""
        self._lines.append(record)
        if self.parent is not None and self.parent.isEnabledFor(record.levelno):
            self.parent.handle(record)


def log_extra(step: Step, run: Run) -> dict[str, Any]:
    """The attributes of the log records of a call: backfill, asset, partition and run.

    Args:
        step: The step that is executed.
        run: Its run.
    """
    return {
        "backfill": run.id.rpartition(".")[0],
        "asset": step.name,
        "partition": _partition_text(run.partitions) if step.partitioned else None,
        "run": run.id,
    }


def _partition_text(selection: Selection) -> str:
    count = selection.num_partitions
    return selection.text(0) + (f" and {count - 1} more" if count > 1 else "")


def _text(record: logging.LogRecord) -> str:
    try:
        return storable(record.getMessage())[:_MAX_LINE_LENGTH]
    except Exception:  # noqa: BLE001  (arguments of a user can fail to show themselves)
        return storable(str(record.msg))[:_MAX_LINE_LENGTH]


class PartitionContext:
    """The partitions that a function is called for.

    Example:
        >>> import rivers as rs
        >>> @rs.Asset(partitions_def=rs.PartitionsDefinition.daily("2024-01-01"))
        ... def day(context: rs.AssetExecutionContext) -> None:
        ...     print(context.partition.key, context.partition.time_window()[1])
        >>> repo = rs.CodeRepository([day]).resolve(rs.Storage.memory())
        >>> _ = repo.materialize(partition_key=rs.PartitionKey.single("2024-01-31"))
        2024-01-31 2024-02-01 00:00:00
    """

    __slots__ = ("_definition", "_keys", "_selection")

    def __init__(self, selection: Selection, definition: PartitionsDefinition | None) -> None:
        self._selection = selection
        self._definition = definition
        self._keys: list[PartitionKey] | None = None

    @property
    def keys(self) -> list[PartitionKey]:
        """All keys, one partition each, in definition order."""
        if self._keys is None:
            self._keys = self._selection.keys()
        return self._keys

    @property
    def key(self) -> PartitionKey:
        """The first key."""
        return self._selection.key(0)

    @property
    def definition(self) -> PartitionsDefinition | None:
        """The asset's partitions definition."""
        return self._definition

    def time_window(self, dimension: str | None = None) -> tuple[datetime, datetime]:
        """The half-open window `[start, end)` that the partitions cover, as naive datetimes.

        Args:
            dimension: The time dimension; may be left out if there is only one.

        Raises:
            PartitionValidationError: There is no such time dimension.
        """
        return self._selection.time_window(dimension)

    def __repr__(self) -> str:
        return f"<PartitionContext {_partition_text(self._selection)}>"


class AssetExecutionContext(Generic[ConfigT]):
    """A function's view of its run; `AssetExecutionContext[Model]` has a `config` of that model.

    A function gets it by naming a parameter `context` or annotating one with this class.

    Example:
        >>> import pydantic, rivers as rs
        >>> class Settings(pydantic.BaseModel):
        ...     factor: int = 2
        >>> @rs.Asset(partitions_def=rs.PartitionsDefinition.static_(["a", "b"]))
        ... def scaled(context: rs.AssetExecutionContext[Settings]) -> str:
        ...     return context.partition_key * context.config.factor
        >>> repo = rs.CodeRepository([scaled]).resolve(rs.Storage.memory())
        >>> result = repo.materialize(
        ...     partition_key=rs.PartitionKey.single("a"), config={"scaled": {"factor": 3}}
        ... )
        >>> repo.load_node("scaled", partition_key=rs.PartitionKey.single("a"))
        'aaa'
    """

    __slots__ = ("_lines", "_run", "_selection", "_step")

    def __init__(self, step: Step, run: Run, selection: Selection | None) -> None:
        self._step = step
        self._run = run
        self._selection = selection
        self._lines: deque[logging.LogRecord] | None = None

    @property
    def asset_name(self) -> str:
        """The asset's name; of a multi-asset, the step's."""
        return self._step.name

    @property
    def asset_metadata(self) -> dict[str, Any]:
        """The asset's metadata."""
        return self._step.metadata

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self._run.id

    @property
    def attempt(self) -> int:
        """The number of this attempt of the asset in the run, from 1; see `RetryPolicy`."""
        return self._run.failed_attempts(self._step.index) + 1

    @property
    def tags(self) -> list[tuple[str, str]]:
        """The run's tags."""
        return self._run.tags

    @property
    def config(self) -> ConfigT:
        """The validated configuration: an instance of the model the context is annotated with.

        Raises:
            ExecutionError: The context is annotated with no model.
        """
        if self._step.config is None:
            msg = (
                f"the asset {self._step.name!r} has no config: annotate its context with "
                "AssetExecutionContext[Model], where Model is a pydantic model"
            )
            raise ExecutionError(msg)
        return self._step.config  # type: ignore[no-any-return]

    @property
    def log(self) -> logging.Logger:
        """The logger `rivers.asset.<name>` of the standard library, for this call.

        Records go to the handlers that are set up, according to their levels, from worker processes
        too. They have the attributes `backfill`, `asset`, `partition` and `run`. If the call fails, the
        last 20 lines of any level are shown below the traceback in `backfill_errors()`.
        """
        if self._lines is None:
            self._lines = deque(maxlen=_LINES)
        logger = logging.getLogger(f"rivers.asset.{self._step.name}")
        return _Log(logger, self._lines, lambda: log_extra(self._step, self._run))

    def _last_lines(self) -> str:
        """The last lines that this call has logged, to be shown below a traceback."""
        if not self._lines:
            return ""
        lines = [f"  {record.levelname}: {_text(record)}\n" for record in self._lines]
        return f"\nThe last lines of its log:\n{''.join(lines)}"

    @property
    def has_partition_key(self) -> bool:
        """Whether the asset is partitioned."""
        return self._step.partitioned

    def _partitions(self) -> Selection:
        if not self._step.partitioned:
            msg = f"the asset {self._step.name!r} is not partitioned"
            raise ExecutionError(msg)
        return self._selection if self._selection is not None else self._run.partitions

    @property
    def partition(self) -> PartitionContext:
        """The partitions of this call.

        Raises:
            ExecutionError: The asset is not partitioned.
        """
        return PartitionContext(self._partitions(), self._step.definition)

    @property
    def partition_key(self) -> str:
        """The text of the one partition: `us`, or `date=2024-01-01|region=us`.

        Raises:
            ExecutionError: The run has several partitions, or the asset is not partitioned.
        """
        selection = self._partitions()
        if selection.num_partitions != 1:
            msg = (
                f"this run has {selection.num_partitions} partitions, so there is no one partition_key; "
                "use context.partition.keys"
            )
            raise ExecutionError(msg)
        return selection.text(0)

    def mark_partition_failed(self, key: PartitionKey | str, error: str | BaseException) -> None:
        """Fails some partitions of the run; the others go on.

        Args:
            key: The partition, of this run; a `str` for a single-dimension key. A key with several
                values fails all its partitions.
            error: The reason: a message or an exception. A later one replaces an earlier one.

        Raises:
            PartitionValidationError: The key is not one of this run's; the asset fails then.
        """
        if isinstance(error, BaseException):
            kind, message = type(error).__name__, message_of(error)
        else:
            kind, message = "mark_partition_failed", storable(str(error))
        if isinstance(key, str):
            key = PartitionKey.single(key)
        for output in self._step.outputs:
            self._run.mark_failed(output.index, key, kind, message)
