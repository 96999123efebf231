"""Loads what a step's function receives: one value, or a dict by key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rivers._rivers import Space
from rivers.exceptions import ExecutionError
from rivers.io.base import InputContext
from rivers.io.frame_types import is_frame, wants_frame
from rivers.io.values import keyed, not_stored
from rivers.partitions.partition_context import context_of

if TYPE_CHECKING:
    from rivers._rivers import PartitionKey, Run, Selection
    from rivers.execution.skips import LeftOut
    from rivers.execution.steps import Step, StepInput

    MissingInputs = dict[str, list[PartitionKey]]
    """By parameter, the partitions of the upstream that do not exist."""

_NOT_FOUND = (ExecutionError, LookupError, FileNotFoundError)
"""What a user's handler raises if nothing is stored."""


def arguments_of(
    step: Step, run: Run, selection: Selection | None, left_out: LeftOut | None = None
) -> tuple[dict[str, Any], MissingInputs]:
    """The values that a step's function receives, by parameter, and what is missing of them.

    Args:
        step: The step.
        run: The run.
        selection: The partitions that the function is called for; `None`: all of the run's.
        left_out: By upstream, skipped partitions that the function does without.

    Raises:
        ExecutionError: Nothing is stored for a partition that may not be missing.
    """
    arguments: dict[str, Any] = {}
    missing: MissingInputs = {}
    for wanted in step.inputs:
        needed = _needed(wanted, step, run, selection)
        # A run of several partitions takes a dict, even if only one of them is left.
        several = wanted.gives_several or (step.partitioned and run.partitions.num_partitions > 1)
        skipped = left_out.get(wanted.parameter) if left_out else None
        if needed is not None and skipped is not None:
            needed = needed.difference(skipped)
            if not needed.num_partitions:
                arguments[wanted.parameter] = _nothing(wanted) if several else None
                continue
        if needed is None and skipped is not None:
            arguments[wanted.parameter] = None
            continue
        needs_none = needed is not None and not needed.num_partitions
        if needs_none or (
            wanted.space is None
            and wanted.mapping is not None
            and not _needs_whole(wanted, step, run, selection)
        ):
            if wanted.has_default:
                continue
            is_empty = several and needs_none and _is_ours(wanted)
            arguments[wanted.parameter] = _nothing(wanted) if is_empty else None
        elif not wanted.allow_missing:
            arguments[wanted.parameter] = _load(wanted, step, run, needed, several=several)
        else:
            value, absent = _load_existing(wanted, step, run, needed, several=several)
            if absent is not None:
                missing[wanted.parameter] = absent
            if value is not None or absent is None or not wanted.has_default:
                arguments[wanted.parameter] = value
    return arguments, missing


def _needed(
    wanted: StepInput, step: Step, run: Run, selection: Selection | None
) -> Selection | None:
    """The upstream's partitions that those of the run need; `None` if it has no partitions."""
    if wanted.space is None:
        return None
    if step.partitioned:
        return (selection or run.partitions).upstream(wanted.space, wanted.mapping)
    if wanted.mapping is None:
        return wanted.space.all()
    return Space.unpartitioned().all().upstream(wanted.space, wanted.mapping)


def _needs_whole(wanted: StepInput, step: Step, run: Run, selection: Selection | None) -> bool:
    """Whether the run needs an upstream without partitions; under `for_keys`, not every run does."""
    whole = Space.unpartitioned()
    own = (selection or run.partitions) if step.partitioned else whole.all()
    return own.upstream(whole, wanted.mapping).num_partitions > 0


def _load(
    wanted: StepInput, step: Step, run: Run, needed: Selection | None, *, several: bool
) -> object:
    """The value of an input: a dict by key if it can be of several partitions, even if it is of one."""
    if not wanted.has_value:
        return None
    value = wanted.handler.load_input(_context(wanted, step, run, needed))
    if several and needed is not None and needed.num_partitions == 1:
        return _as_several(wanted, needed, value)
    return value


def _context(wanted: StepInput, step: Step, run: Run, needed: Selection | None) -> InputContext:
    """What a handler learns of an input."""
    return InputContext(
        asset_name=wanted.parameter,
        downstream_asset=step.name,
        asset_metadata=wanted.metadata,
        partition=None if needed is None else context_of(needed, wanted.definition),
        type_hint=wanted.type_hint,
        run_id=run.id,
    )


def _as_several(wanted: StepInput, needed: Selection, value: object) -> object:
    """What a handler would return for several partitions, given what it returned for one."""
    if not _is_ours(wanted):
        return value  # A user's handler decides what it returns for any number of partitions.
    if wanted.handler._gives_one_frame:  # noqa: SLF001  (not for users)
        return _nothing(wanted) if value is None else value
    if wants_frame(wanted.type_hint) and (value is None or is_frame(value)):
        return _nothing(wanted) if value is None else value
    return keyed(needed.keys(), [value])


def _is_ours(wanted: StepInput) -> bool:
    """Whether a value is loaded as the library's handlers do."""
    return type(wanted.handler).load_input.__module__.startswith("rivers.")


def _nothing(wanted: StepInput) -> object:
    """What a handler would return for several partitions if there were none: no rows, or no keys."""
    if not wanted.has_value:
        return None
    if wanted.handler._gives_one_frame or wants_frame(wanted.type_hint):  # noqa: SLF001
        import polars as pl  # noqa: PLC0415  (loaded only where there are frames)

        from rivers.io.frame_types import as_wanted  # noqa: PLC0415

        return as_wanted(pl.LazyFrame(), wanted.type_hint)
    return {}


def _load_existing(
    wanted: StepInput, step: Step, run: Run, needed: Selection | None, *, several: bool
) -> tuple[object, list[PartitionKey] | None]:
    """The value of an input of which partitions may be missing, and these; `None`: none is missing."""
    missing = _absent(wanted, step, run, needed)
    if not missing:
        try:
            return _load(wanted, step, run, needed, several=several), None
        except _NOT_FOUND as error:
            named = not_stored(error)
            if named is not None:
                missing = [key for key in named if key is not None]
            elif type(wanted.handler).__module__.startswith("rivers."):
                raise  # The library's handlers name the partitions; this is another problem.
            else:
                missing = [] if needed is None else _not_found(wanted, step, run, needed)
            if needed is not None and not missing:
                raise
    if needed is None:
        return None, missing
    left = needed.difference(needed.space.select_keys(missing)) if missing else needed
    if left.num_partitions and missing:
        return _load(wanted, step, run, left, several=several), missing
    return (_nothing(wanted) if several else None), missing


def _absent(
    wanted: StepInput, step: Step, run: Run, needed: Selection | None
) -> list[PartitionKey]:
    """The partitions of which a handler of the library has nothing, although it loads them."""
    is_own = type(wanted.handler).load_input.__module__.startswith("rivers.")
    if needed is None or not wanted.has_value or not is_own:
        return []
    return wanted.handler._absent(_context(wanted, step, run, needed))  # noqa: SLF001


def _not_found(wanted: StepInput, step: Step, run: Run, needed: Selection) -> list[PartitionKey]:
    """The partitions that a user's handler does not find."""
    missing = []
    for key in needed.keys():  # noqa: SIM118  (no dict)
        try:
            _load(wanted, step, run, needed.space.select_keys([key]), several=False)
        except _NOT_FOUND:
            missing.append(key)
    return missing
