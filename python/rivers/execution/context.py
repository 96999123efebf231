"""The context that a function gets: its asset, the run, its partitions, the configuration, a logger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic

from rivers._rivers import CallContext, PartitionKey
from rivers._text import did_you_mean, kind_of, listed, message_of, storable
from rivers.exceptions import ExecutionError, PartitionValidationError
from rivers.execution.call_log import CallLog
from rivers.execution.steps import Labels, Step
from rivers.io.output_metadata import OutputMetadata
from rivers.partitions.partition_context import MaybeNone, PartitionContext, context_of

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from typing import Any

    # For type checkers alone: `AssetExecutionContext` without a model needs no brackets then.
    from typing_extensions import TypeVar

    from rivers._rivers import Run, Selection
    from rivers.io.metadata_value import MetadataValue

    ConfigT = TypeVar("ConfigT", default=Any)
else:
    from typing import TypeVar

    ConfigT = TypeVar("ConfigT")


_new = CallContext.__new__

MARKED = "mark_partition_failed"
"""The error type of a partition that was marked as failed with a message, not an exception."""


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


class AssetExecutionContext(CallContext, Generic[ConfigT]):
    """A function's view of its run; `AssetExecutionContext[Model]` has a `config` of that model.

    A function gets it by naming a parameter `context` or annotating one with this class. Make one by
    hand to call an asset's function in a unit test.

    Args:
        asset_name: Name of the asset; of a multi-asset, of its function.
        tags: The asset's tags.
        kinds: The asset's kinds.
        group: The asset's group.
        code_version: The asset's code version.
        asset_metadata: The asset's metadata.
        partition: The partitions of the call; `None` for an asset without partitions.
        is_multi_asset: Whether the asset is a multi-asset.
        output_selection: The outputs that a multi-asset is to make.
        config: An instance of the function's config model.

    Example:
        >>> import pydantic, rivers as rs
        >>> class Settings(pydantic.BaseModel):
        ...     factor: int = 2
        >>> letters = rs.PartitionsDefinition.static_(["a", "b"])
        >>> @rs.Asset(partitions_def=letters)
        ... def scaled(context: rs.AssetExecutionContext[Settings]) -> str:
        ...     return context.partition_key * context.config.factor
        >>> repo = rs.CodeRepository([scaled]).resolve(rs.Storage.memory())
        >>> key = rs.PartitionKey.single("a")
        >>> result = repo.materialize(partition_key=key, config={"scaled": {"factor": 3}})
        >>> repo.load_node("scaled", partition_key=key)
        'aaa'

        In a unit test:

        >>> partition = rs.PartitionContext([key], letters)
        >>> scaled(rs.AssetExecutionContext("scaled", partition=partition, config=Settings()))
        'aa'
    """

    __slots__ = ("_first_mark", "_log", "_missing_inputs", "_partition")

    # Set when they are first needed: a run that needs none of them pays nothing.
    _partition: PartitionContext | None
    _log: CallLog
    _missing_inputs: Mapping[str, list[PartitionKey]]
    _first_mark: str

    def __init__(
        self,
        asset_name: str,
        tags: Mapping[str, str] | Iterable[str] | None = None,
        kinds: Sequence[str] | None = None,
        group: str | None = None,
        code_version: str | None = None,
        asset_metadata: Mapping[str, Any] | None = None,
        partition: PartitionContext | None = None,
        is_multi_asset: bool = False,
        output_selection: Sequence[str] | None = None,
        config: ConfigT | None = None,
    ) -> None:
        step = Step(
            name=checked_name("asset_name", asset_name),
            outputs=[],
            by_name=is_multi_asset,
            fn=_not_called,
            is_async=False,
            context_param=None,
            inputs=[],
            needs=[],
            definition=None if partition is None else partition.definition,
            config=config,
            metadata=dict(asset_metadata or {}),
            output_selection=list(output_selection or ()),
            labels=Labels(tags, [kinds] if isinstance(kinds, str) else kinds, group, code_version),
        )
        self._enter(step)
        self._partition = partition

    # -- the asset ---------------------------------------------------------------------------------

    @property
    def asset_name(self) -> str:
        """The asset's name; of a multi-asset, the name of its function."""
        return self._step.name

    @property
    def tags(self) -> Mapping[str, str] | Iterable[str] | None:
        """The asset's tags, as they were declared; `None` if it has none."""
        return self._step.labels.tags or None

    @property
    def kinds(self) -> list[str]:
        """The asset's kinds."""
        return list(self._step.labels.kinds or ())

    @property
    def group(self) -> str | None:
        """The asset's group; `None` if it has none."""
        return self._step.labels.group

    @property
    def code_version(self) -> str | None:
        """The asset's code version; `None` if it has none."""
        return self._step.labels.code_version

    @property
    def asset_metadata(self) -> dict[str, Any] | None:
        """The asset's metadata; `None` if it has none."""
        return self._step.metadata or None

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
    def config(self) -> ConfigT:
        """The validated configuration: an instance of the model that the context is annotated with.

        It is `None` if the context is annotated with no model.
        """
        return self._step.config  # type: ignore[no-any-return]

    # -- the run -----------------------------------------------------------------------------------

    @property
    def run_id(self) -> str | MaybeNone:
        """The run's id; `None` in a context that is made by hand."""
        return None if self._run is None else self._run.id

    @property
    def run_tags(self) -> list[tuple[str, str]]:
        """The run's tags."""
        return [] if self._run is None else self._run.tags

    @property
    def attempt(self) -> int:
        """The number of this attempt of the asset in the run, from 1; see `RetryPolicy`."""
        return 1 if self._run is None else self._run.failed_attempts(self._step.index) + 1

    @property
    def log(self) -> logging.Logger:
        """The logger `rivers.assets.<name>` of the standard library, for this call.

        Records go to the handlers that are set up, according to their levels, from worker processes
        too. They have the attributes `backfill`, `asset`, `partition` and `run`. If the call fails, the
        last 20 lines of any level are shown below the traceback in `backfill_errors()`.
        """
        return self._call_log().logger(f"rivers.assets.{self._step.name}")

    def _call_log(self) -> CallLog:
        log = getattr(self, "_log", None)
        if log is None:
            log = self._log = CallLog(self._log_extra)
        return log

    def _log_extra(self) -> dict[str, Any]:
        return {} if self._run is None else log_extra(self._step, self._run)

    def _last_lines(self) -> str:
        """The last lines that this call has logged, to be shown below a traceback."""
        log = getattr(self, "_log", None)
        return "" if log is None else log.text()

    # -- the partitions ----------------------------------------------------------------------------

    @property
    def has_partition_key(self) -> bool:
        """Whether the asset is partitioned."""
        return self._step.definition is not None

    @property
    def partition(self) -> PartitionContext | MaybeNone:
        """The partitions of this call; `None` if the asset is not partitioned."""
        if self._run is None:
            return self._partition
        if self._step.definition is None:
            return None
        return context_of(self._selection or self._run.partitions, self._step.definition)

    def _find_key(self) -> str:
        """The text of the one partition where there is no run, or the error that there is not exactly one."""
        if self._run is None or self._step.definition is None:
            return only_key(self.partition, f"the asset {self._step.name!r}")
        selection = self._selection or self._run.partitions
        raise PartitionValidationError(_several(selection.num_partitions))

    @property
    def partition_time_window(self) -> tuple[datetime, datetime] | MaybeNone:
        """The half-open window `[start, end)` that the partitions cover.

        It is `None` if the asset is not partitioned, or not by time; see `PartitionContext.time_window`.
        """
        partition = self.partition
        return None if partition is None else partition.time_window()

    @property
    def missing_inputs(self) -> dict[str, list[PartitionKey]]:
        """What does not exist of the inputs with `AssetDef.input(..., allow_missing=True)`.

        By parameter, the missing partitions of the upstream asset; the list is empty if it has no
        partitions. An input of which all exists is left out.

        Example:
            >>> import rivers as rs
            >>> days = rs.PartitionsDefinition.daily("2024-01-01", end="2024-01-04")
            >>> @rs.Asset(partitions_def=days)
            ... def sales(context: rs.AssetExecutionContext) -> int:
            ...     if context.partition_key == "2024-01-02":
            ...         raise ValueError("the till was broken")
            ...     return 10
            >>> @rs.Asset(deps=[rs.AssetDef.input("sales", allow_missing=True)])
            ... def report(context: rs.AssetExecutionContext, sales: dict[str, int]) -> str:
            ...     missing = [str(key) for key in context.missing_inputs["sales"]]
            ...     return f"{sum(sales.values())} without {missing}"
            >>> repo = rs.CodeRepository([sales, report]).resolve(rs.Storage.memory())
            >>> result = repo.backfill(
            ...     ["sales"],
            ...     partition_range=rs.PartitionKeyRange.single("2024-01-01", "2024-01-03"),
            ...     include_downstream=True,
            ... )
            >>> repo.load_node("report")
            "20 without ['2024-01-02']"
        """
        return dict(getattr(self, "_missing_inputs", {}))

    def mark_partition_failed(
        self, partition_key: PartitionKey | str, error: str | BaseException
    ) -> None:
        """Fails some partitions of the run; the others go on.

        Args:
            partition_key: The partition, of this run; a `str` for a single-dimension key. A key with
                several values fails all its partitions.
            error: The reason: a message or an exception. A later one replaces an earlier one.

        Raises:
            PartitionValidationError: The key is not one of this run's; the asset fails then.
        """
        if isinstance(error, BaseException):
            kind, message = kind_of(error), message_of(error)
        else:
            kind, message = MARKED, storable(str(error))
        key = partition_key
        if isinstance(key, str):
            key = PartitionKey.single(key)
        if self._run is None:
            _check_member(key, self._partition, self._step.name)
            return
        for output in self._step.outputs:
            self._run.mark_failed(output.index, key, kind, message)
        if self._step.hooks and self._marked_because() is None:
            self._first_mark = message if kind == MARKED else f"{kind}: {message}"

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
            output_name: The output of a multi-asset that has nothing; all of its outputs by default. Of
                one that is not selected, nothing is recorded.

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
        if self._run is None:
            _check_member(partition_key, self._partition, self._step.name)
            return
        outputs = self._step.outputs
        if output_name is not None:
            outputs = [output for output in outputs if output.name == output_name]
            others = self._step.other_outputs
            if not outputs and output_name not in others:
                known = [*(output.name for output in self._step.outputs), *others]
                msg = (
                    f"{self._step.name!r} has no output {output_name!r}; it has {listed(known)}"
                    f"{did_you_mean(str(output_name), known)}"
                )
                raise ExecutionError(msg)
        for output in outputs:
            self._run.mark_skipped(output.index, partition_key, storable(str(reason)))

    # -- what was produced -------------------------------------------------------------------------

    @property
    def output_metadata(self) -> dict[str, MetadataValue]:
        """The facts that this call has added about all of its partitions."""
        return {} if self._metadata is None else self._metadata.of_call(self.partition)

    def add_output_metadata(
        self, metadata: Mapping[str, Any], partition_key: PartitionKey | str | None = None
    ) -> None:
        """Adds facts about what the function produces; they are recorded with each materialization.

        An IO handler gets them as `OutputContext.output_metadata`, and may add its own. They are shown by
        `Storage.get_events_for_asset` and `partition_status(metadata=True)`. What a function adds that
        then fails is not recorded.

        Args:
            metadata: The facts by name: `str`, `int`, `float`, `bool`, `None` or a `MetadataValue`. A
                later one overrides an earlier one.
            partition_key: The partition of this run that they are about; a `str` for a single-dimension
                key. By default they are about all partitions, and for a multi-asset about each output.

        Raises:
            TypeError: A name is no `str`, or a value is of another type; the asset fails then.
            PartitionValidationError: The key is not one of this run's; the asset fails then.

        Example:
            >>> import rivers as rs
            >>> @rs.Asset
            ... def orders(context: rs.AssetExecutionContext) -> list[int]:
            ...     context.add_output_metadata({"rows": 3})
            ...     return [1, 2, 3]
            >>> storage = rs.Storage.memory()
            >>> _ = rs.CodeRepository([orders]).resolve(storage).materialize()
            >>> dict(storage.get_latest_materialization("orders").metadata)["rows"]
            '3'
        """
        added = self._metadata or OutputMetadata()
        added.add(metadata, partition_key, self.partition, f"the run of {self._step.name!r}")
        self._metadata = added

    def _marked_because(self) -> str | None:
        """Why a partition was marked as failed first, for the step's hooks; `None` if none was."""
        return getattr(self, "_first_mark", None)

    def __repr__(self) -> str:
        return f"AssetExecutionContext(asset_name={self._step.name!r})"


def context_of_run(step: Step, run: Run, selection: Selection | None) -> AssetExecutionContext[Any]:
    """The context of a step in a run.

    Args:
        step: The step.
        run: The run.
        selection: The partitions that the step is executed for; `None`: all of the run.
    """
    context: AssetExecutionContext[Any] = _new(AssetExecutionContext)
    context._enter(step, run, selection)  # noqa: SLF001  (made without `__init__`, which is for contexts by hand)
    return context


def checked_name(argument: str, name: str) -> str:
    """Returns a name that is given by hand, which must be a `str`."""
    if not isinstance(name, str):
        msg = f"{argument} must be a str, got {name!r}"
        raise TypeError(msg)
    return name


def _not_called() -> None:
    """Stands for the function in a context that is made by hand."""


def _several(count: int) -> str:
    return f"this run has {count} partitions, so there is no one partition_key; use context.partition.keys"


def only_key(partition: PartitionContext | None, what: str) -> str:
    """Returns the text of the one partition of a context.

    Raises:
        PartitionValidationError: There are several, or there is none; `what` says whose.
    """
    if partition is None:
        msg = f"{what} is not partitioned, so it has no partition_key"
        raise PartitionValidationError(msg)
    if len(partition.keys) != 1:
        raise PartitionValidationError(_several(len(partition.keys)))
    return str(partition.key)


def _check_member(key: PartitionKey, partition: PartitionContext | None, name: str) -> None:
    """Refuses a key that is not one of a context that is made by hand."""
    if partition is None or partition.definition is None:
        msg = f"the asset {name!r} is not partitioned, so it has no partition {key!s}"
        raise PartitionValidationError(msg)
    known = set(partition.keys)
    for each in PartitionContext([key], partition.definition).keys:
        if each not in known:
            msg = f"the partition {each!s} of {name!r} is not one of this run's"
            raise PartitionValidationError(msg)
