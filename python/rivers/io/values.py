"""Which value belongs to which partition, for all handlers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

from rivers.exceptions import ExecutionError, PartitionValidationError
from rivers.io.frame_types import as_annotated, as_frame, as_wanted, is_frame, wants_frame

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rivers._rivers import PartitionKey
    from rivers.io.contexts import InputContext, OutputContext
    from rivers.io.frame_types import SchemaRule

MAX_NAMED = 5
"""How many partitions an error message names before it says how many more there are."""

_NOT_STORED = "_rivers_not_stored"
"""The attribute of an error that has the partitions for which nothing is stored."""


@dataclass(frozen=True, slots=True)
class GroupValue:
    """One value that stands for several partitions; `token` tells it from any other."""

    partitions: Sequence[object]
    value: object
    token: str = field(default_factory=lambda: uuid4().hex)


def dimensions(partition: PartitionKey) -> dict[str, str] | None:
    """Return a partition's value in each dimension; None if it has but one, without a name."""
    keys: dict[str, list[str]] | None = getattr(partition, "keys", None)
    return None if keys is None else {name: values[0] for name, values in keys.items()}


def single_key(partition: PartitionKey) -> str:
    """Return the key of a partition that has but one dimension."""
    key: list[str] = cast("Any", partition).key
    return key[0]


def label(partition: object) -> str:
    """Return how an error message names a partition, or what was given in the place of one."""
    if hasattr(partition, "keys"):
        return repr(",".join(f"{name}={'+'.join(v)}" for name, v in partition.keys.items()))
    return repr("+".join(partition.key) if hasattr(partition, "key") else partition)


def label_of(partition: object | None) -> str:
    """Return how an error message calls what an asset returned for a partition, or without any."""
    return "its value" if partition is None else f"partition {label(partition)}"


def labels(partitions: Sequence[object]) -> str:
    """Return how an error message names several partitions, however many there are."""
    named = ", ".join(label(partition) for partition in partitions[:MAX_NAMED])
    more = len(partitions) - MAX_NAMED
    return f"{named} and {more} more" if more > 0 else named


def by_partition(
    context: OutputContext, value: object, *, dict_is_value: bool = True
) -> dict[PartitionKey, Any] | None:
    """Return a value per partition, if that is what the asset returned.

    Args:
        context: Whose value it is.
        value: What the asset's function returned.
        dict_is_value: Whether a dict can be a value in its own right. Then one whose keys are
            text is taken apart only if the run has several partitions and they are its keys.

    Returns:
        The values of `context.partitions`, in their order; None if `value` is the run's one value.

    Raises:
        PartitionValidationError: If keys are not the run's partitions, or some have no value.
    """
    run = context.run_partitions
    if not run or not isinstance(value, dict):
        return None
    kinds = tuple({type(partition) for partition in run})
    values = value
    if not any(isinstance(key, kinds) for key in value):
        texts = {single_key(p): p for p in run if dimensions(p) is None}
        if dict_is_value and (len(run) == 1 or not value or not value.keys() <= texts.keys()):
            return None
        values = {texts.get(key, key): item for key, item in value.items()}
    known = set(run)
    if unknown := [key for key in values if key not in known]:
        msg = (
            f"asset {context.asset_name!r} returned a dict with keys that are not partitions of its run:"
            f" {labels(unknown)}; the run has {labels(run)}"
        )
        raise PartitionValidationError(msg)
    if lacking := [partition for partition in context.partitions if partition not in values]:
        msg = (
            f"asset {context.asset_name!r} returned a dict with no value for {labels(lacking)};"
            f" return one for each partition, or mark those as failed"
        )
        raise PartitionValidationError(msg)
    return {partition: values[partition] for partition in context.partitions}


def wanted_keys(context: InputContext) -> Sequence[PartitionKey | None]:
    """Return the partitions to load; None is the only one of an asset that has none."""
    if context.partitions:
        return context.partitions
    return [None]


def group(
    context: OutputContext, value: object
) -> Iterable[tuple[Sequence[PartitionKey | None], object]]:
    """Yield what to store, and for which partitions.

    An asset without partitions has None as its only one. A value for several partitions comes as
    a `GroupValue`.
    """
    values = by_partition(context, value)
    if values is not None:
        yield from (([key], item) for key, item in values.items())
    elif not context.run_partitions:
        yield [None], value
    elif len(context.partitions) == 1:
        yield context.partitions, value
    elif context.partitions:
        yield context.partitions, GroupValue(tuple(context.partitions), value)


def ungroup(context: InputContext, stored: Sequence[object], rule: SchemaRule = "merge") -> object:
    """Return what an asset gets for the values stored of the wanted partitions, in their order.

    One partition: its value. Several: the one value that stands for just these if there is one; else
    one frame, if the parameter takes a frame and all values are frames; else a dict, with text as its
    keys where the partitions have but one dimension.
    """
    first = stored[0]
    if isinstance(first, GroupValue) and len(stored) == len(first.partitions):
        tokens = {item.token if isinstance(item, GroupValue) else None for item in stored}
        if tokens == {first.token}:
            return as_annotated(first.value, context.type_hint)
    values = [item.value if isinstance(item, GroupValue) else item for item in stored]
    if len(values) == 1:
        return as_annotated(values[0], context.type_hint)
    if wants_frame(context.type_hint) and all(item is None or is_frame(item) for item in values):
        return _one_frame(context, values, rule)
    return keyed(context.partitions, values)


def _one_frame(context: InputContext, values: Sequence[object], rule: SchemaRule) -> object:
    from rivers.io.schemas import combine  # noqa: PLC0415  (Polars is loaded where there are frames)

    labels = map(label_of, context.partitions)
    frames = [(named, as_frame(item)) for named, item in zip(labels, values, strict=True)]
    kept = [(named, frame) for named, frame in frames if frame is not None]
    return as_wanted(combine(context.asset_name, kept, rule).lazy(), context.type_hint)


def keyed(partitions: Sequence[PartitionKey], values: Sequence[object]) -> dict[Any, object]:
    """Return a dict from partitions to values; keys are text where there is one dimension."""
    keys = [single_key(p) if dimensions(p) is None else p for p in partitions]
    return dict(zip(keys, values, strict=True))


def nothing_stored(
    context: InputContext, partitions: Sequence[PartitionKey | None], hint: str
) -> ExecutionError:
    """Return the error for an input that is not there."""
    where = "" if None in partitions else f" for partition {labels(partitions)}"
    taker = context.downstream_asset
    takes = "" if taker is None else f", which {taker!r} takes as input"
    error = ExecutionError(
        f"nothing is stored of asset {context.asset_name!r}{where}{takes}; materialize it first ({hint}); "
        "if it returns a Materialization, it has no value, and can only be one of deps"
    )
    vars(error)[_NOT_STORED] = list(partitions)
    return error


def not_stored(error: BaseException) -> list[PartitionKey | None] | None:
    """Return the partitions that an error of `nothing_stored` names; None for any other error."""
    return vars(error).get(_NOT_STORED)
