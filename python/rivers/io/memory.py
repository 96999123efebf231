"""Values in the memory of this process."""

from __future__ import annotations

import functools
import pickle
from array import array
from contextlib import suppress
from sys import getrefcount
from threading import Lock
from typing import TYPE_CHECKING, Any

from rivers.exceptions import PartitionValidationError
from rivers.io.base import BaseIOHandler, InputContext, OutputContext
from rivers.io.frame_types import check_rule
from rivers.io.output_metadata import ConstantMetadata
from rivers.io.values import GroupValue, group, nothing_stored, ungroup, wanted_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rivers._rivers import PartitionKey, Plan, Selection
    from rivers.io.frame_types import SchemaRule

_ABSENT = object()
_STORAGE = ConstantMetadata({"storage": "memory"})
"""The metadata of what is kept in memory."""
_OWN_REFERENCES = 3
"""References to a list of numbers while nothing but this module has one."""
_MAX_PLANS = 64
"""Maximum number of plans of an asset whose runs are kept by number."""


class InMemoryIOHandler(BaseIOHandler):
    """Keeps values in the memory of this process, for as long as the handler lives.

    The default. Safe to use from several threads. A copy in another process starts empty. One value
    for several partitions stands for all of them; a dict that has the run's partitions as its keys is
    kept partition by partition. A parameter that is annotated as a frame, and takes several partitions
    whose values are frames, gets one frame. The metadata of a materialization has `storage`.

    Args:
        schema: What happens if the frames of such partitions differ in their columns: `"merge"` or
            `"strict"`; see `ParquetIOHandler`.
        record_size: Whether the metadata `size_bytes` is recorded: the size of the pickled value, which
            costs as much as pickling it.

    Raises:
        ConfigurationError: If `schema` is unknown.

    Example:
        >>> from rivers.io import InputContext, InMemoryIOHandler, OutputContext
        >>> handler = InMemoryIOHandler()
        >>> handler.handle_output(OutputContext("report"), {"rows": 3})
        >>> handler.load_input(InputContext("report", "mail"))
        {'rows': 3}
    """

    reach = "process"

    def __init__(self, *, schema: SchemaRule = "merge", record_size: bool = False) -> None:
        self.schema = check_rule(schema)
        self.record_size = record_size
        self._values: dict[tuple[str, PartitionKey | None], object] = {}
        self._nones: dict[str, _Nones] = {}
        self._has_values: set[str] = set()
        self._lock = Lock()

    def __repr__(self) -> str:
        return "InMemoryIOHandler()"

    def __reduce__(self) -> tuple[Any, ...]:
        return functools.partial(type(self), schema=self.schema, record_size=self.record_size), ()

    def handle_output(self, context: OutputContext, value: object) -> None:
        """Store a value; see `BaseIOHandler.handle_output`.

        Raises:
            PartitionValidationError: If a dict's keys are not exactly the run's partitions.
        """
        asset = context.asset_name
        new = {
            (asset, partition): item
            for partitions, item in group(context, value)
            for partition in partitions
        }
        with self._lock:
            self._list_nones(asset)
            self._has_values.add(asset)
            self._values.update(new)
        context._add_constant(_STORAGE)  # noqa: SLF001  (not for users)
        if self.record_size:
            with suppress(Exception):  # A value need not be picklable to be kept in memory.
                size = len(pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL))
                context.add_output_metadata({"size_bytes": size})

    def load_input(self, context: InputContext) -> object:
        """Return the value of one partition, or a dict of several; see `BaseIOHandler.load_input`.

        Raises:
            ExecutionError: If nothing is stored for one of the partitions.
        """
        wanted = wanted_keys(context)
        asset = context.asset_name
        with self._lock:
            self._list_nones(asset)
            stored = [self._values.get((asset, key), _ABSENT) for key in wanted]
            missing = [key for key, item in zip(wanted, stored, strict=True) if item is _ABSENT]
            if missing and self._is_none(asset, missing):
                stored = [None if item is _ABSENT else item for item in stored]
                missing = []
        if missing:
            hint = "in this process, as its values are kept in memory"
            raise nothing_stored(context, missing, hint)
        return ungroup(context, stored, self.schema)

    def _held(self, asset: str, partitions: Selection) -> Selection:
        """Those of the partitions whose values are in memory; see `BaseIOHandler._held`."""
        keys = partitions.keys()
        with self._lock:
            self._list_nones(asset)
            kept = [
                key for key in keys if (asset, key) in self._values or self._is_none(asset, [key])
            ]
        return partitions if len(kept) == len(keys) else partitions.space.select_keys(kept)

    def forget(self) -> None:
        """Drop all values: a worker process keeps them for one run only."""
        with self._lock:
            self._values.clear()
            self._has_values.clear()
            for nones in self._nones.values():
                nones.forget()

    def _has_any(self, asset: str) -> bool:
        """Whether there is a value for any partition of an asset."""
        with self._lock:
            return asset in self._has_values or (
                asset in self._nones and self._nones[asset].has_noted
            )

    def _lacking(self, asset: str, selection: Selection) -> Selection:
        """The partitions of an asset for which there is no value."""
        is_partitioned = bool(selection.space.dimensions())
        keys: list[PartitionKey | None] = [*selection.keys()] if is_partitioned else [None]
        with self._lock:
            self._list_nones(asset)
            lacking = [
                number
                for number, key in enumerate(keys)
                if (asset, key) not in self._values and not self._is_none(asset, [key])
            ]
        if len(lacking) == len(keys):
            return selection
        lacking_keys = [key for number in lacking if (key := keys[number]) is not None]
        found = selection.space.select_keys(lacking_keys) if lacking_keys else None
        return found or selection.difference(selection)

    def _none_recorder(self, asset: str, plan: Plan | None) -> Callable[[bytes], None] | None:
        """Keep the runs' numbers, 8 bytes each; their partitions are listed when they are needed."""
        if type(self).handle_output is not InMemoryIOHandler.handle_output:
            return None
        with self._lock:
            nones = self._nones.setdefault(asset, _Nones())
            if len(nones.plans) >= _MAX_PLANS:
                self._list_nones(asset)
            return nones.recorder(plan)

    def _list_nones(self, asset: str) -> None:
        """Store `None` for the partitions of the runs whose numbers were kept; needs the lock."""
        nones = self._nones.get(asset)
        if nones is None:
            return
        for keys in nones.take(as_whole=asset not in self._has_values):
            value = None if len(keys) == 1 else GroupValue(tuple(keys), None)  # type: ignore[arg-type]
            self._values.update(((asset, key), value) for key in keys)
            self._has_values.add(asset)

    def _is_none(self, asset: str, keys: Sequence[PartitionKey | None]) -> bool:
        nones = self._nones.get(asset)
        return nones is not None and nones.hold(keys)


class _Nones:
    """The runs in which an asset returned `None`.

    A backfill of a million functions that return nothing needs 8 MB, and no time to list its keys.
    """

    def __init__(self) -> None:
        self.plans: list[tuple[Plan, array[int]]] = []
        self._whole: list[Selection] = []
        self._in_this_run = False

    @property
    def has_noted(self) -> bool:
        """Whether a run has been noted."""
        noted = any(numbers for _, numbers in self.plans)
        return noted or bool(self._whole) or self._in_this_run

    def recorder(self, plan: Plan | None) -> Callable[[bytes], None]:
        """Return what notes the numbers of runs of a plan."""
        if plan is None:
            return self._note_this_run
        numbers = array("Q")
        self.plans.append((plan, numbers))
        return numbers.frombytes

    def _note_this_run(self, numbers: bytes) -> None:  # noqa: ARG002  (a worker knows its only run)
        self._in_this_run = True

    def forget(self) -> None:
        """Forget the run of a worker process."""
        self._in_this_run = False

    def take(self, *, as_whole: bool) -> Iterator[Sequence[PartitionKey | None]]:
        """Yield the keys of each run; keeps plans whose runs are all noted as they are.

        Args:
            as_whole: Whether that is possible: not if the handler has other values of the asset.
        """
        noted, self.plans = self.plans, []
        for plan, numbers in noted:
            if getrefcount(numbers) > _OWN_REFERENCES:  # A program may still note runs.
                self.plans.append((plan, numbers))
            taken = numbers[:]
            del numbers[: len(taken)]
            whole = plan.selection
            is_whole = len(taken) == plan.num_runs == whole.num_partitions
            if as_whole and is_whole and whole.space.dimensions():
                self._whole.append(whole)
                continue
            for selection in map(plan.run, taken):
                yield selection.keys() if selection.space.dimensions() else [None]

    def hold(self, keys: Sequence[PartitionKey | None]) -> bool:
        """Whether all of the keys are those of noted runs."""
        if self._in_this_run:
            return True
        left = [key for key in keys if key is not None]
        for selection in self._whole:
            left = [key for key in left if not _contains(selection, key)]
        return not left and None not in keys


def _contains(selection: Selection, key: PartitionKey) -> bool:
    try:
        named = selection.space.select_keys([key])
    except PartitionValidationError:
        return False
    return selection.intersection(named).num_partitions == 1
