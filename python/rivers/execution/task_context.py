"""The context that a task gets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic

from rivers.execution.call_log import CallLog
from rivers.execution.context import ConfigT, checked_name, only_key

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from rivers.execution.context import AssetExecutionContext
    from rivers.partitions.partition_context import MaybeNone, PartitionContext


class TaskExecutionContext(Generic[ConfigT]):
    """A task's view of the run of its graph asset; `TaskExecutionContext[Model]` has a `config`.

    A task gets it by annotating a parameter with this class. Make one by hand to call a task's function
    in a unit test.

    Args:
        task_name: Name of the task.
        tags: The task's tags.
        partition: The partitions of the call; `None` without partitions.

    Example:
        >>> import rivers as rs
        >>> @rs.Task(tags={"team": "data"})
        ... def described(context: rs.TaskExecutionContext) -> str:
        ...     return f"{context.task_name} of {context.tags['team']}"
        >>> @rs.Asset.from_graph
        ... def description():
        ...     return described()
        >>> repo = rs.CodeRepository([description]).resolve(rs.Storage.memory())
        >>> repo.materialize().success, repo.load_node("description")
        (True, 'described of data')
    """

    __slots__ = ("_asset", "_partition", "_tags", "_task_name")

    def __init__(
        self,
        task_name: str,
        tags: Mapping[str, str] | Iterable[str] | None = None,
        partition: PartitionContext | None = None,
    ) -> None:
        self._task_name = checked_name("task_name", task_name)
        self._tags = tags or None
        self._partition = partition
        self._asset: AssetExecutionContext[Any] | None = None

    @property
    def task_name(self) -> str:
        """The task's name."""
        return self._task_name

    @property
    def tags(self) -> Mapping[str, str] | Iterable[str] | None:
        """The task's tags, as they were declared; `None` if it has none."""
        return self._tags

    @property
    def config(self) -> ConfigT:
        """The validated configuration of the graph asset; `None` if no task takes one."""
        return None if self._asset is None else self._asset.config  # type: ignore[return-value]

    @property
    def log(self) -> logging.Logger:
        """The logger `rivers.tasks.<name>` of the standard library; see `AssetExecutionContext.log`."""
        lines = CallLog() if self._asset is None else self._asset._call_log()  # noqa: SLF001  (they share it)
        return lines.logger(f"rivers.tasks.{self._task_name}")

    @property
    def has_partition_key(self) -> bool:
        """Whether the graph asset is partitioned."""
        return self.partition is not None

    @property
    def partition(self) -> PartitionContext | MaybeNone:
        """The partitions of this call; `None` if the graph asset is not partitioned."""
        return self._partition if self._asset is None else self._asset.partition

    @property
    def partition_key(self) -> str:
        """The text of the one partition: `us`, or `date=2024-01-01|region=us`.

        Raises:
            PartitionValidationError: The run has several partitions, or none.
        """
        if self._asset is not None:
            return self._asset.partition_key
        return only_key(self._partition, f"the task {self._task_name!r}")

    @property
    def partition_time_window(self) -> tuple[datetime, datetime] | MaybeNone:
        """The half-open window `[start, end)` that the partitions cover; `None` if there is none."""
        partition = self.partition
        return None if partition is None else partition.time_window()

    def __repr__(self) -> str:
        return f"TaskExecutionContext(task_name={self._task_name!r})"


def context_of_task(
    task_name: str,
    tags: Mapping[str, str] | Iterable[str] | None,
    asset: AssetExecutionContext[Any] | None,
) -> TaskExecutionContext[Any]:
    """The context of a task in a run of its graph asset; without one, where the asset is called."""
    context: TaskExecutionContext[Any] = TaskExecutionContext(task_name, tags)
    context._asset = asset  # noqa: SLF001  (it is no argument of users)
    return context
