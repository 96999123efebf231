"""Values in the memory of this process."""

from __future__ import annotations

import functools
import itertools
import pickle
from array import array
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING, Any

from rivers.exceptions import PartitionValidationError
from rivers.io.base import BaseIOHandler, InputContext, OutputContext
from rivers.io.frame_types import check_rule
from rivers.io.output_metadata import ConstantMetadata
from rivers.io.values import GroupValue, group, nothing_stored, ungroup, wanted_keys

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rivers._rivers import PartitionKey, Plan, Selection
    from rivers.io.base import NoteNone, NoteValues
    from rivers.io.frame_types import SchemaRule

_ABSENT = object()
_NO_VALUE = object()  # The function returned a `Materialization`.
_STORAGE = ConstantMetadata({"storage": "memory"})
"""The metadata of what is kept in memory."""
_MAX_LOOKED_UP = 100_000
"""Maximum number of partitions of which it is looked up whether each has a value."""
_MAX_PLANS = 64
"""Maximum number of times that the plan changes, or whether there are values, until keys are listed."""


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
    _loads_only_from_runs = True

    def __init__(self, *, schema: SchemaRule = "merge", record_size: bool = False) -> None:
        self.schema = check_rule(schema)
        self.record_size = record_size
        self._values: dict[tuple[str, PartitionKey | None], object] = {}
        self._noted: dict[str, _Noted] = {}
        self._has_values: set[str] = set()
        self._by_hand: set[tuple[str, PartitionKey | None]] = set()  # Stored outside of runs.
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
            self._list_noted(asset)
            self._has_values.add(asset)
            self._values.update(new)
            if not context.run_id:
                self._by_hand.update(new)
            elif self._by_hand:
                self._by_hand.difference_update(new)
        context._add_constant(_STORAGE)  # noqa: SLF001  (not for users)
        if self.record_size:
            with suppress(Exception):  # A value need not be picklable to be kept in memory.
                size = len(pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL))
                context.add_output_metadata({"size_bytes": size})

    def _note_no_value(self, context: OutputContext, age: float) -> None:  # noqa: ARG002
        """Forget what earlier runs returned; see `BaseIOHandler._note_no_value`."""
        asset = context.asset_name
        keys: Sequence[PartitionKey | None] = context.partitions or [None]
        with self._lock:
            self._list_noted(asset)
            self._has_values.add(asset)
            for key in keys:
                if (asset, key) not in self._by_hand:
                    self._values[asset, key] = _NO_VALUE

    def load_input(self, context: InputContext) -> object:
        """Return the value of one partition, or a dict of several; see `BaseIOHandler.load_input`.

        Raises:
            ExecutionError: If nothing is stored for one of the partitions.
        """
        wanted = wanted_keys(context)
        asset = context.asset_name
        with self._lock:
            self._list_noted(asset)
            stored = [self._values.get((asset, key), _ABSENT) for key in wanted]
            missing = [
                key
                for key, item in zip(wanted, stored, strict=True)
                if item is _ABSENT or item is _NO_VALUE
            ]
            is_kept = all(item is not _NO_VALUE for item in stored)
            if missing and is_kept and self._is_none(asset, missing):
                stored = [None if item is _ABSENT else item for item in stored]
                missing = []
        if missing:
            hint = "in this process, as its values are kept in memory"
            raise nothing_stored(context, missing, hint)
        return ungroup(context, stored, self.schema)

    def _held(self, asset: str, partitions: Selection) -> Selection:
        """Those of the partitions whose values are in memory; see `BaseIOHandler._held`."""
        with self._lock:
            self._list_noted(asset)
            noted = self._noted.get(asset)
            if not partitions.space.dimensions():
                is_held = (asset, None) in self._values or self._is_none(asset, [None])
                return partitions if is_held else partitions.difference(partitions)
            whole = noted.among(partitions) if noted else partitions.difference(partitions)
            left = partitions.difference(whole)
            keys = left.keys() if asset in self._has_values else []
            kept = [key for key in keys if (asset, key) in self._values]
        if not kept:
            return whole
        return whole.union(left if len(kept) == len(keys) else left.space.select_keys(kept))

    def forget(self) -> None:
        """Drop all values: a worker process keeps them for one run only."""
        with self._lock:
            self._values.clear()
            self._by_hand.clear()
            self._has_values.clear()
            for noted in self._noted.values():
                noted.forget()

    def _lost(self, asset: str, partitions: Selection) -> Selection:
        """Those whose values are not in memory; of many partitions, all or none."""
        if not self._is_ours:
            return partitions.difference(partitions)
        if partitions.num_partitions <= _MAX_LOOKED_UP:
            return partitions.difference(self._held(asset, partitions))
        with self._lock:
            noted = self._noted.get(asset)
            has_any = asset in self._has_values or (noted is not None and noted.has_noted)
        return partitions.difference(partitions) if has_any else partitions

    @property
    def _is_ours(self) -> bool:
        """Whether no subclass stores or loads in another way."""
        own, ours = type(self), InMemoryIOHandler
        return own.handle_output is ours.handle_output and own.load_input is ours.load_input

    def _known_facts(self) -> str | None:
        is_ours = type(self).handle_output is InMemoryIOHandler.handle_output
        return _STORAGE.json if is_ours else None

    def _none_recorder(self, asset: str, plan: Plan | None) -> NoteNone | None:
        """Keep the runs' numbers, 8 bytes each; their partitions are listed when they are needed."""
        if type(self).handle_output is not InMemoryIOHandler.handle_output:
            return None
        if plan is None:  # A worker process knows its only run.
            return self._noted_of(asset).note_this_run
        return functools.partial(self._note, asset, plan, values=None)

    def _value_recorder(self, asset: str, plan: Plan | None) -> NoteValues | None:
        """Keep the values by their runs' numbers; their partitions are listed when they are needed."""
        if not self._is_ours or self.record_size:
            return None
        if plan is None:
            return _drop
        return functools.partial(self._note, asset, plan)

    def _noted_of(self, asset: str) -> _Noted:
        with self._lock:
            return self._noted.setdefault(asset, _Noted())

    def _note(self, asset: str, plan: Plan, numbers: bytes, values: list[Any] | None) -> None:
        noted = self._noted_of(asset)
        with self._lock:
            if noted.is_full:
                self._list_noted(asset)
            noted.add(plan, numbers, values)

    def _list_noted(self, asset: str) -> None:
        """Store the values of the runs whose numbers were kept; needs the lock."""
        noted = self._noted.get(asset)
        if noted is None:
            return
        for keys, value in noted.take(as_whole=asset not in self._has_values):
            item = value if len(keys) == 1 else GroupValue(tuple(keys), value)
            self._values.update(((asset, key), item) for key in keys)
            if self._by_hand:
                self._by_hand.difference_update((asset, key) for key in keys)
            self._has_values.add(asset)

    def _is_none(self, asset: str, keys: Sequence[PartitionKey | None]) -> bool:
        noted = self._noted.get(asset)
        return noted is not None and noted.hold(keys)


def _drop(numbers: bytes, values: list[Any]) -> None:
    """Takes what runs of a worker process returned: it is lost with them."""


class _Noted:
    """What an asset returned, by the numbers of the runs, in the order in which it did.

    A backfill of a million functions that return nothing needs 8 MB, and no time to list its keys.
    """

    def __init__(self) -> None:
        self._entries: list[tuple[Plan, array[int], list[Any] | None]] = []
        self._whole: list[Selection] = []
        self._in_this_run = False

    @property
    def is_full(self) -> bool:
        """Whether so many plans have been noted that their keys should be listed."""
        return len(self._entries) >= _MAX_PLANS

    @property
    def has_noted(self) -> bool:
        """Whether a run has been noted."""
        return bool(self._entries) or bool(self._whole) or self._in_this_run

    def add(self, plan: Plan, numbers: bytes, values: list[Any] | None) -> None:
        """Note runs of a plan, and their values; `None`: all of them returned `None`."""
        if self._entries:
            last_plan, last_numbers, last_values = self._entries[-1]
            if last_plan is plan and (last_values is None) == (values is None):
                last_numbers.frombytes(numbers)
                if last_values is not None and values is not None:
                    last_values.extend(values)
                return
        self._entries.append((plan, array("Q", numbers), values))

    def note_this_run(self, numbers: bytes) -> None:  # noqa: ARG002
        """Note that the run of a worker process returned `None`."""
        self._in_this_run = True

    def forget(self) -> None:
        """Forget the run of a worker process."""
        self._in_this_run = False

    def take(self, *, as_whole: bool) -> Iterator[tuple[Sequence[PartitionKey | None], object]]:
        """Yield the keys and the value of each run; keeps plans whose runs all returned `None` as they are.

        Args:
            as_whole: Whether that is possible: not if the handler has other values of the asset.
        """
        entries, self._entries = self._entries, []
        for plan, numbers, values in entries:
            whole = plan.selection
            is_whole = values is None and len(numbers) == plan.num_runs == whole.num_partitions
            if as_whole and is_whole and whole.space.dimensions():
                self._whole.append(whole)
                continue
            as_whole = False
            items = itertools.repeat(None) if values is None else values
            for selection, value in zip(map(plan.run, numbers), items, strict=False):
                keys = selection.keys() if selection.space.dimensions() else [None]
                yield keys, value

    def among(self, partitions: Selection) -> Selection:
        """Those of the partitions that belong to plans whose runs are all noted."""
        found = partitions.difference(partitions)
        for selection in self._whole:
            found = found.union(selection.same_in(partitions.space).intersection(partitions))
        return found

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
