"""Values beside a file storage: what assets without a handler of their own use."""

from __future__ import annotations

import contextlib
import logging
import pickle
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from rivers._rivers import Space, ValueStore
from rivers.exceptions import StorageError
from rivers.io.base import BaseIOHandler, InputContext, OutputContext
from rivers.io.values import GroupValue, group, nothing_stored, ungroup

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from rivers._rivers import (
        NoneRecorder,
        PartitionKey,
        Plan,
        Selection,
        ValueLoader,
        ValueRecorder,
    )

    RunValues = dict[str, list[tuple[Selection, object]]]
    """What a run has stored: by asset, values and the partitions that each belongs to."""

_log = logging.getLogger("rivers")

_this_run: ContextVar[tuple[str, RunValues] | None] = ContextVar("rivers_this_run", default=None)
"""The id of the run that this thread or task executes, and what it has stored."""


class _NoValue:
    """Stands where a function stored its data itself: there is nothing to load."""


_PICKLED_NO_VALUE = pickle.dumps(_NoValue())


class StoredIOHandler(BaseIOHandler):
    """Keeps values in a file beside the storage, where each process of the machine finds them.

    Assets without an `io_handler` use it if the storage is a file. Values are pickled, written in groups
    before the outcomes of their runs are recorded, and replaced by the next run that succeeds. Large ones get
    a file of their own. Like `PickleIOHandler`, it runs code when it reads: protect the folder as you
    protect the storage.

    A value that cannot be pickled is passed on within its run, with a warning, and is missing afterwards.

    Args:
        values: The values beside a storage.
    """

    reach = "machine"
    _loads_only_from_runs = True
    _stores_at_once = True

    def __init__(self, values: ValueStore) -> None:
        self._values = values
        self._warned: set[str] = set()

    @classmethod
    def beside(cls, storage: str | PathLike[str]) -> StoredIOHandler:
        """The handler over the values beside the storage at a path.

        Args:
            storage: The file of the storage.
        """
        return cls(ValueStore(storage))

    def __repr__(self) -> str:
        return f"StoredIOHandler({str(self._values.folder)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).beside, (self._values.storage,)

    def handle_output(self, context: OutputContext, value: object) -> None:
        """Store a value; see `BaseIOHandler.handle_output`.

        Raises:
            PartitionValidationError: If a dict's keys are not exactly the run's partitions.
            StorageError: If a large value cannot be written.
        """
        whole = _selection_of(context)
        run_id = context.run_id
        stored = []
        for partitions, item in group(context, value):
            part = whole
            if len(partitions) != whole.num_partitions:
                part = whole.space.select_keys(list(partitions))  # type: ignore[arg-type]
            kept = item
            if isinstance(item, GroupValue):
                # The keys are not needed again, only how many there are.
                kept = GroupValue(range(len(partitions)), item.value, item.token)
            stored.append((part, kept))
            self._values.put(context.asset_name, run_id, part, self._pickled(context, kept))
        if run_id:
            _values_of(run_id).setdefault(context.asset_name, []).extend(stored)
        else:
            self._values.sync()

    def _note_no_value(self, context: OutputContext, age: float) -> None:  # noqa: ARG002
        """Store that there is nothing to load; see `BaseIOHandler._note_no_value`."""
        partitions = _selection_of(context)
        self._values.put(context.asset_name, context.run_id, partitions, _PICKLED_NO_VALUE)
        _values_of(context.run_id).setdefault(context.asset_name, []).append(
            (partitions, _NoValue())
        )

    def _pickled(self, context: OutputContext, value: object) -> bytes | None:
        try:
            return pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
        except Exception as error:  # noqa: BLE001  (pickling can raise anything)
            if context.asset_name not in self._warned:
                self._warned.add(context.asset_name)
                _log.warning(
                    "a value of the asset %r cannot be pickled (%s: %s): it is passed on within its run "
                    "and is missing afterwards; give the asset an io_handler that can store it",
                    context.asset_name, type(error).__name__, error,
                )  # fmt: skip
            return None

    def load_input(self, context: InputContext) -> object:
        """Return the value of one partition, or a dict of several; see `BaseIOHandler.load_input`.

        Raises:
            ExecutionError: If nothing is stored for one of the partitions.
            StorageError: If the file cannot be read, or was deleted.
        """
        wanted = _selection_of(context)
        asset = context.asset_name
        own = _own_values(context.run_id, asset)
        if own is not None and len(own) == 1 and own[0][0].equals(wanted):
            item = own[0][1]
            if isinstance(item, _NoValue):
                raise nothing_stored(context, _keys_of(wanted), f"in {self._values.folder}")
            return ungroup(context, [item] * wanted.num_partitions)
        if own is not None or not context.run_id:
            self._flush_for_reading()  # What other runs have stored is there already.
        found = self._values.load(asset, wanted)
        known: dict[PartitionKey | None, object] = {}
        for part, item in own or ():
            known.update(dict.fromkeys(_keys_of(part), item))
        if known:
            stored, missing = _with_known(_keys_of(wanted), found, known)
        else:
            stored = _unpickled(found)
            missing = [number for number, item in enumerate(found) if isinstance(item, bool)]
        missing += [number for number, item in enumerate(stored) if isinstance(item, _NoValue)]
        if missing:
            keys = _keys_of(wanted)
            raise nothing_stored(context, [keys[at] for at in missing], f"in {self._values.folder}")
        return ungroup(context, stored)

    def _flush_for_reading(self) -> None:
        """Write what waits to be written, so that it is found."""
        # What a full disk does not take is of runs that are not recorded; their backfill says why.
        with contextlib.suppress(StorageError):
            self._values.flush()

    def _held(self, asset: str, partitions: Selection) -> Selection:
        """Those of the partitions whose values are stored; see `BaseIOHandler._held`."""
        self._flush_for_reading()
        return self._values.available(asset, partitions)

    def _lost(self, asset: str, partitions: Selection) -> Selection:
        """Those that could not be pickled, or were in a file that is gone; see `BaseIOHandler._lost`."""
        if not self._is_plain:
            return partitions.difference(partitions)
        self._flush_for_reading()
        return self._values.lost(asset, partitions)

    def _none_recorder(self, asset: str, plan: Plan | None) -> NoneRecorder | None:
        """Note the runs' numbers; their partitions are written together as ranges."""
        if not self._is_plain:
            return None
        return self._values.none_recorder(asset, plan)

    def _value_recorder(self, asset: str, plan: Plan | None) -> ValueRecorder | None:
        """Store the values without a context; they are pickled at once, since they may be changed later."""
        del plan
        return self._values.recorder(asset) if self._is_plain else None

    def _value_loader(self, asset: str, space: Space | None) -> ValueLoader | None:
        """Load values that are stored one by one, without a context; see `BaseIOHandler._value_loader`."""
        if not self._is_plain:
            return None
        return self._values.loader(asset, space or Space.unpartitioned(), (_NoValue, GroupValue))

    @property
    def _is_plain(self) -> bool:
        """Whether no subclass stores or loads in another way."""
        own, ours = type(self), StoredIOHandler
        return own.handle_output is ours.handle_output and own.load_input is ours.load_input

    def sync(self) -> None:
        """Writes what was stored, so that it survives a loss of power."""
        self._values.sync()


def _values_of(run_id: str) -> RunValues:
    """What a run has stored; what the run before it had is dropped."""
    current = _this_run.get()
    if current is None or current[0] != run_id:
        current = run_id, {}
        _this_run.set(current)
    return current[1]


def _own_values(run_id: str | None, asset: str) -> list[tuple[Selection, object]] | None:
    """What a run itself has stored of an asset; `None`: nothing."""
    current = _this_run.get()
    if not run_id or current is None or current[0] != run_id:
        return None
    return current[1].get(asset)


def _selection_of(context: OutputContext | InputContext) -> Selection:
    partition = context.partition
    return Space.unpartitioned().all() if partition is None else partition._selected()  # noqa: SLF001


def _keys_of(selection: Selection) -> Sequence[PartitionKey | None]:
    return selection.keys() if selection.space.dimensions() else [None]


def _unpickled(found: Sequence[bytes | bool | None]) -> list[object]:
    """The values, where there are any; partitions with one value share it."""
    stored: list[object] = []
    last: bytes | None = None
    value: object = None
    for item in found:
        if isinstance(item, bytes):
            if item is not last:
                last, value = item, pickle.loads(item)  # noqa: S301  (see the docstring of the class)
            stored.append(value)
        else:
            stored.append(None)
    return stored


def _with_known(
    keys: Sequence[PartitionKey | None],
    found: Sequence[bytes | bool | None],
    known: dict[PartitionKey | None, object],
) -> tuple[list[object], list[int]]:
    """The values, those of this run before others; and the positions at which there is none."""
    rest = [None if key in known else item for key, item in zip(keys, found, strict=True)]
    stored = [known.get(key, item) for key, item in zip(keys, _unpickled(rest), strict=True)]
    return stored, [number for number, item in enumerate(rest) if isinstance(item, bool)]
