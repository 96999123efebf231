"""Values in the memory of this process."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from rivers.io.base import (
    BaseIOHandler,
    InputContext,
    OutputContext,
    group,
    nothing_stored,
    ungroup,
    wanted_keys,
)

if TYPE_CHECKING:
    from rivers._rivers import PartitionKey

_ABSENT = object()


class InMemoryIOHandler(BaseIOHandler):
    """Keeps values in the memory of this process, for as long as the handler lives.

    The default. Safe to use from several threads. A copy in another process starts empty.
    `None` is not kept: what was stored before stays. A run's one value stands for all of its
    partitions; a dict that has the run's partitions as its keys is kept partition by partition.

    Example:
        >>> from rivers.io import InputContext, InMemoryIOHandler, OutputContext
        >>> handler = InMemoryIOHandler()
        >>> handler.handle_output(OutputContext("report", [], "r1"), {"rows": 3})
        >>> handler.load_input(InputContext("report", []))
        {'rows': 3}
    """

    reach = "process"

    def __init__(self) -> None:
        self._values: dict[tuple[str, PartitionKey | None], object] = {}
        self._lock = Lock()

    def __repr__(self) -> str:
        return "InMemoryIOHandler()"

    def __reduce__(self) -> tuple[type[InMemoryIOHandler], tuple[()]]:
        return type(self), ()

    def handle_output(self, context: OutputContext, value: object) -> None:
        """Keep a value; see `BaseIOHandler.handle_output`.

        Raises:
            PartitionValidationError: If a dict's keys are not just the run's partitions.
        """
        new = {
            (context.asset, partition): item
            for partitions, item in group(context, value)
            for partition in partitions
        }
        with self._lock:
            self._values.update(new)

    def load_input(self, context: InputContext) -> object:
        """Return the value of one partition, or a dict of several; see `BaseIOHandler.load_input`.

        Raises:
            ExecutionError: If nothing is stored for one of the partitions.
        """
        wanted = wanted_keys(context)
        with self._lock:
            stored = [self._values.get((context.asset, key), _ABSENT) for key in wanted]
        lacking = [key for key, item in zip(wanted, stored, strict=True) if item is _ABSENT]
        if lacking:
            hint = "in this process, as its values are kept in memory; None is not kept"
            raise nothing_stored(context, lacking, hint)
        return ungroup(context, stored)

    def forget(self) -> None:
        """Drop all values: a worker process keeps them for one run only."""
        with self._lock:
            self._values.clear()
