"""The context that functions get: the run, its partitions, the configuration, a logger."""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Generic

from rivers._rivers import PartitionKey
from rivers._text import listed, message_of, storable
from rivers.exceptions import ExecutionError
from rivers.partitions.partition_context import PartitionContext, context_of

if TYPE_CHECKING:
    from typing import Any

    # For type checkers alone: `AssetExecutionContext` without a model needs no brackets then.
    from typing_extensions import TypeVar

    from rivers._rivers import Run, Selection
    from rivers.execution.steps import Step

    ConfigT = TypeVar("ConfigT", default=Any)
else:
    from typing import TypeVar

    ConfigT = TypeVar("ConfigT")


MARKED = "mark_partition_failed"
"""The error type of a partition that was marked as failed with a message, not an exception."""
_LINES = 20
"""Number of log lines of a failed call that are kept."""
_MAX_LINE_LENGTH = 500
"""Maximum number of characters of each."""


class _Log(logging.Logger):
    """A logger that keeps the last records, and passes on those that the logger of its name would log."""

    def __init__(self, logger: logging.Logger, lines: deque[logging.LogRecord]) -> None:
        super().__init__(logger.name)
        self.parent = logger
        self._lines = lines

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802  (the standard library's name)
        """Every level is kept."""
        del level
        return True

    def handle(self, record: logging.LogRecord) -> None:
        """Keeps a record, and passes it on if it is logged."""
        self._lines.append(record)
        if self.parent is not None and self.parent.isEnabledFor(record.levelno):
            self.parent.handle(record)


def _text(record: logging.LogRecord) -> str:
    try:
        return storable(record.getMessage())[:_MAX_LINE_LENGTH]
    except Exception:  # noqa: BLE001  (arguments of a user can fail to show themselves)
        return storable(str(record.msg))[:_MAX_LINE_LENGTH]


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
    def is_multi_asset(self) -> bool:
        """Whether the asset is a multi-asset: one function that makes several assets."""
        return self._step.by_name

    @property
    def output_selection(self) -> list[str]:
        """The outputs of a multi-asset that the run makes, in declared order; `[]` for other assets.

        Without a selection these are all of its outputs.
        """
        return list(self._step.output_selection)

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

        Records go to the handlers that are set up, according to their levels. If the call fails, the
        last 20 lines of any level are shown below the traceback in `backfill_errors()`.
        """
        if self._lines is None:
            self._lines = deque(maxlen=_LINES)
        return _Log(logging.getLogger(f"rivers.asset.{self._step.name}"), self._lines)

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
        return context_of(self._partitions(), self._step.definition)

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
            kind, message = MARKED, storable(str(error))
        if isinstance(key, str):
            key = PartitionKey.single(key)
        for output in self._step.outputs:
            self._run.mark_failed(output.index, key, kind, message)

    def skip_partition(
        self, partition_key: PartitionKey | str, reason: str, *, output_name: str | None = None
    ) -> None:
        """Skips some partitions of the run, for which there is nothing to produce; the others go on.

        They count as completed; see `rivers.Skip`, which skips all partitions of a call. What the function
        returns for them is not stored.

        Args:
            partition_key: The partition, of this run; a `str` for a single-dimension key. A key with several
                values skips all its partitions.
            reason: Why there is nothing to produce. A later one replaces an earlier one.
            output_name: The output of a multi-asset that has nothing; all of its outputs by default.

        Raises:
            PartitionValidationError: The key is not one of this run's; the asset fails then.
            ExecutionError: The asset has no such output.

        Example:
            >>> import rivers as rs
            >>> @rs.Asset(partitions_def=rs.PartitionsDefinition.static_(["monday", "sunday"]))
            ... def trades(context: rs.AssetExecutionContext) -> dict:
            ...     context.skip_partition("sunday", "the exchange is closed")
            ...     return {rs.PartitionKey.single("monday"): 7}
            >>> repo = rs.CodeRepository([trades]).resolve(rs.Storage.memory())
            >>> repo.backfill(
            ...     partition_keys=[rs.PartitionKey.single(["monday", "sunday"])],
            ...     strategy=rs.BackfillStrategy.single_run(),
            ... ).completed
            2
        """
        if isinstance(partition_key, str):
            partition_key = PartitionKey.single(partition_key)
        outputs = self._step.outputs
        if output_name is not None:
            outputs = [output for output in outputs if output.name == output_name]
            if not outputs:
                names = listed(output.name for output in self._step.outputs)
                msg = (
                    f"{self._step.name!r} has no output {output_name!r} in this run; it has {names}"
                )
                raise ExecutionError(msg)
        for output in outputs:
            self._run.mark_skipped(output.index, partition_key, storable(str(reason)))
