"""What an IO handler is, and the rules that all of them share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast
from uuid import uuid4

from rivers.exceptions import ExecutionError, PartitionValidationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rivers._rivers import PartitionKey

Reach: TypeAlias = Literal["process", "machine", "anywhere"]
"""From where a stored value can be loaded: its process, its machine, or any machine."""

NAMED_IN_ERRORS = 5
"""How many partitions an error message names before it says how many more there are."""


@dataclass(frozen=True, slots=True)
class OutputContext:
    """What a handler is told about a value that it shall keep.

    Attributes:
        asset: The asset whose function returned the value.
        partitions: The partitions to store, one value per dimension each; empty for an asset
            without partitions.
        run_id: The run that computed the value.
        metadata: The asset's metadata.
        tags: The run's tags.
        failed: The run's partitions that its function marked as failed. Nothing is stored for
            them; what a value holds for them is left out.

    Example:
        >>> from rivers.io import OutputContext
        >>> OutputContext(asset="report", partitions=[], run_id="r1").asset
        'report'
    """

    asset: str
    partitions: list[PartitionKey]
    run_id: str
    metadata: dict[str, Any] = field(default_factory=dict)
    tags: list[tuple[str, str]] = field(default_factory=list)
    failed: list[PartitionKey] = field(default_factory=list)

    @property
    def run_partitions(self) -> list[PartitionKey]:
        """All partitions of the run: those to store, then those that failed."""
        return [*self.partitions, *self.failed]


@dataclass(frozen=True, slots=True)
class InputContext:
    """What a handler is told about a value that is wanted.

    Attributes:
        asset: The upstream asset, whose value is wanted.
        partitions: The upstream's partitions that are wanted; empty if it has none.
        downstream: The asset that takes the value, if one does.
        run_id: The run that takes the value, if one does.
        metadata: The upstream asset's metadata.

    Example:
        >>> from rivers.io import InputContext
        >>> InputContext(asset="report", partitions=[]).downstream is None
        True
    """

    asset: str
    partitions: list[PartitionKey]
    downstream: str | None = None
    run_id: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


class BaseIOHandler(ABC):
    """Keeps what assets return and gives it to the assets that follow.

    An executor may call one handler from several threads, and a copy of it in another process.

    Attributes:
        reach: From where a stored value can be loaded: `"process"` (only the process that stored
            it), `"machine"` (any process of that machine) or `"anywhere"`. An executor whose workers
            are further apart refuses an input that comes from another run. A handler over a folder
            that all machines mount can be given `"anywhere"`.

    Example:
        >>> from rivers.io import BaseIOHandler, OutputContext
        >>> class Printing(BaseIOHandler):
        ...     def handle_output(self, context, value):
        ...         print(context.asset, "=", value)
        ...
        ...     def load_input(self, context):
        ...         return 42
        >>> Printing().handle_output(OutputContext("answer", [], "r1"), 42)
        answer = 42
    """

    reach: Reach = "machine"

    @abstractmethod
    def handle_output(self, context: OutputContext, value: object) -> None:
        """Keep a value.

        Args:
            context: Whose value it is.
            value: What the asset's function returned. In a run of several partitions, a `dict`
                with a value for each of them, or one value that stands for all of them.
        """

    @abstractmethod
    def load_input(self, context: InputContext) -> object:
        """Return the value that is wanted.

        Args:
            context: Whose value, and for which partitions.

        Raises:
            ExecutionError: If nothing is stored for one of the partitions.
        """


@dataclass(frozen=True, slots=True)
class GroupValue:
    """One value that stands for several partitions; `token` tells it from any other."""

    partitions: tuple[PartitionKey, ...]
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


def labels(partitions: Sequence[object]) -> str:
    """Return how an error message names several partitions, however many there are."""
    named = ", ".join(label(partition) for partition in partitions[:NAMED_IN_ERRORS])
    more = len(partitions) - NAMED_IN_ERRORS
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
            f"asset {context.asset!r} returned a dict with keys that are not partitions of its run:"
            f" {labels(unknown)}; the run has {labels(run)}"
        )
        raise PartitionValidationError(msg)
    if lacking := [partition for partition in context.partitions if partition not in values]:
        msg = (
            f"asset {context.asset!r} returned a dict with no value for {labels(lacking)};"
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
    """Yield what to store, and for which partitions; leaves out None.

    An asset without partitions has None as its only one. A value for several partitions comes as
    a `GroupValue`.
    """
    values = by_partition(context, value)
    if values is not None:
        yield from (([key], item) for key, item in values.items() if item is not None)
    elif value is None:
        return
    elif not context.run_partitions:
        yield [None], value
    elif len(context.partitions) == 1:
        yield context.partitions, value
    elif context.partitions:
        yield context.partitions, GroupValue(tuple(context.partitions), value)


def ungroup(context: InputContext, stored: Sequence[object]) -> object:
    """Return what an asset gets for the values stored of the wanted partitions, in their order.

    One partition: its value. Several: the one value that stands for just these if there is one,
    else a dict, with text as its keys where the partitions have but one dimension.
    """
    first = stored[0]
    if isinstance(first, GroupValue) and len(stored) == len(first.partitions):
        tokens = {item.token if isinstance(item, GroupValue) else None for item in stored}
        if tokens == {first.token}:
            return first.value
    values = [item.value if isinstance(item, GroupValue) else item for item in stored]
    return values[0] if len(values) == 1 else keyed(context.partitions, values)


def keyed(partitions: Sequence[PartitionKey], values: Sequence[object]) -> dict[Any, object]:
    """Return a dict from partitions to values; keys are text where there is one dimension."""
    keys = [single_key(p) if dimensions(p) is None else p for p in partitions]
    return dict(zip(keys, values, strict=True))


def nothing_stored(
    context: InputContext, partitions: Sequence[PartitionKey | None], hint: str
) -> ExecutionError:
    """Return the error for an input that is not there."""
    where = "" if None in partitions else f" for partition {labels(partitions)}"
    taker = "" if context.downstream is None else f", which {context.downstream!r} takes as input"
    return ExecutionError(
        f"nothing is stored of asset {context.asset!r}{where}{taker}; materialize it first ({hint})"
    )
