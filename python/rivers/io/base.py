"""What an IO handler is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from rivers.io.contexts import InputContext, OutputContext
from rivers.io.fields import field_values, remember_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rivers._rivers import PartitionKey, Plan, Selection, Space, ValueLoader, ValueRecorder

__all__ = ["BaseIOHandler", "InputContext", "OutputContext", "Reach"]

NoteNone: TypeAlias = "Callable[[bytes], object]"
"""Takes the numbers of runs that returned `None`, 8 bytes each."""
NoteValues: TypeAlias = "Callable[[bytes, list[Any]], object]"
"""Takes the numbers of runs of one partition, 8 bytes each, and their values, none of which is `None`."""

Reach: TypeAlias = Literal["process", "machine", "anywhere"]
"""From where a stored value can be loaded: its process, its machine, or any machine."""


class BaseIOHandler(ABC):
    """Stores what assets return, and loads it for the assets that follow.

    An executor may call one handler from several threads, and a copy of it in another process.

    Annotated attributes of a subclass are its fields: keyword arguments of the constructor, which
    pydantic validates and converts. A default is copied for each handler. Attributes without an
    annotation, and names that begin with `_`, are no fields, and nothing is read from the environment.
    A subclass may define an `__init__` of its own instead.

    Attributes:
        reach: From where a stored value can be loaded: `"process"` (only the process that stored
            it), `"machine"` (any process of that machine) or `"anywhere"`. An executor whose workers
            are further apart refuses an input that comes from another run. A handler over a folder
            that all machines mount can be given `"anywhere"`.

    Raises:
        ConfigurationError: If a field without a default is not given, a keyword names no field, or a
            value cannot be converted to its field's type.

    Example:
        >>> from rivers.io import BaseIOHandler, OutputContext
        >>> class Printing(BaseIOHandler):
        ...     prefix: str
        ...     width: int = 4
        ...
        ...     def handle_output(self, context, value):
        ...         print(f"{self.prefix} {context.asset_name} = {value:{self.width}}")
        ...
        ...     def load_input(self, context):
        ...         return 42
        >>> Printing(prefix=">", width="6").handle_output(OutputContext("answer"), 42)
        > answer =     42
    """

    reach: Reach = "machine"
    _gives_one_frame = False
    _loads_only_from_runs = False  # Only a run can have stored what it loads.
    _stores_at_once = (
        False  # Its recorders store each value when it is returned, and need the plan.
    )

    def __init__(self, **fields: Any) -> None:
        vars(self).update(field_values(type(self), BaseIOHandler, fields))

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        remember_fields(cls)

    @abstractmethod
    def handle_output(self, context: OutputContext, value: object) -> None:
        """Store a value.

        Args:
            context: Which asset and partitions it belongs to.
            value: What the asset's function returned. In a run of several partitions, a `dict`
                with a value for each of them, or one value that stands for all of them. `None` is
                a value, too; the method is not called for a function annotated `-> None`.
        """

    def handle_outputs(self, items: Sequence[tuple[OutputContext, object]]) -> None:
        """Store the values that several runs returned for one asset, together.

        A subclass may override it where storing many values at once is cheaper: one request, one
        transaction, or one wait for the disk. It is then called, in place of `handle_output`, with what an
        asset's function returned in the runs that a worker has executed within some 20 milliseconds (100 in
        a worker process), in the thread or process that executed them. The outcomes of these runs are
        recorded after it has returned.

        It may be called with any number of items. `handle_output` is still called for the rest: runs of
        several partitions, values that another asset takes in the same run, an `Output`, functions that
        yield, and backfills that end at a failure. So both have to store a value where `load_input` finds
        it.

        If it raises, each of the values is stored by `handle_output`, which may find some of them stored
        already, and only those runs fail for which that raises, too.

        Args:
            items: The values, and which asset and partition each belongs to. What is added to a context as
                metadata is recorded.

        Example:
            >>> from rivers.io import BaseIOHandler, OutputContext
            >>> class Rows(BaseIOHandler):
            ...     def __init__(self):
            ...         self.rows = {}
            ...
            ...     def handle_outputs(self, items):
            ...         self.rows.update((context.asset_name, value) for context, value in items)
            ...
            ...     def handle_output(self, context, value):
            ...         self.handle_outputs([(context, value)])
            ...
            ...     def load_input(self, context):
            ...         return self.rows[context.asset_name]
            >>> handler = Rows()
            >>> handler.handle_output(OutputContext("answer"), 42)
            >>> handler.rows
            {'answer': 42}
        """
        for context, value in items:
            self.handle_output(context, value)

    def _note_no_value(self, context: OutputContext, age: float) -> None:  # noqa: B027
        """Take note that an asset's function has stored its data itself: it returned a `Materialization`.

        What an earlier run stored no longer exists, but what the function itself has put in the handler's
        place does.

        Args:
            context: Which asset and partitions it is about.
            age: The seconds since before the function was called: what is older, it has not stored.
        """

    def _held(self, asset: str, partitions: Selection) -> Selection:
        """Those of an asset's materialized partitions whose values this process can load.

        Of what is kept in memory, rivers knows which backfill stored it, but not whether it is still there.
        A handler that reaches beyond its process holds what it stored.

        Args:
            asset: The name of the asset.
            partitions: Partitions for which it was materialized.
        """
        del asset
        return partitions.difference(partitions) if self.reach == "process" else partitions

    def _lost(self, asset: str, partitions: Selection) -> Selection:  # noqa: ARG002
        """Those of an asset's materialized partitions whose values are known to be gone.

        Args:
            asset: The name of the asset.
            partitions: Partitions for which runs materialized it.
        """
        return partitions.difference(partitions)

    def _without_file(self, asset: str, partitions: Selection) -> Selection:  # noqa: ARG002
        """Those of an asset's materialized partitions whose values are kept in files that do not exist.

        Where a handler cannot look cheaply, there are none. A function that returned a `Materialization`
        never had a file here: these are lost only if the handler's metadata says that it stored them.

        Args:
            asset: The name of the asset.
            partitions: Partitions for which runs materialized it.
        """
        return partitions.difference(partitions)

    def _absent(self, context: InputContext) -> list[PartitionKey]:  # noqa: ARG002
        """Return the partitions that `load_input` loads as nothing, though nothing was ever stored."""
        return []

    @abstractmethod
    def load_input(self, context: InputContext) -> object:
        """Return a stored value.

        Args:
            context: Which asset and partitions it belongs to.

        Raises:
            ExecutionError: If nothing is stored for one of the partitions.
        """

    def _known_facts(self) -> str | None:
        """Return what `handle_output` adds as metadata to each value, as JSON; `None` if it may differ."""
        return None

    def _none_recorder(
        self,
        asset: str,  # noqa: ARG002  (for handlers that override it)
        plan: Plan | None,  # noqa: ARG002
    ) -> NoteNone | None:
        """Return what is called, in place of `handle_output`, for runs that return `None`.

        Args:
            asset: The asset.
            plan: The plan of the runs; `None` in a worker process.

        Returns:
            `None` if `handle_output` is to be called.
        """
        return None

    def _value_loader(
        self,
        asset: str,  # noqa: ARG002  (for handlers that override it)
        space: Space | None,  # noqa: ARG002
    ) -> ValueLoader | None:
        """Return what loads values, in place of `load_input`, for runs that each need one partition.

        Args:
            asset: The asset.
            space: Its partitions; `None` if it has none.

        Returns:
            `None` if `load_input` is to be called.
        """
        return None

    def _value_recorder(
        self,
        asset: str,  # noqa: ARG002  (for handlers that override it)
        plan: Plan | None,  # noqa: ARG002
    ) -> NoteValues | ValueRecorder | None:
        """Return what is called, in place of `handle_output`, for runs that return plain values.

        It is called before the outcomes of the runs are reported. What steps of the same run take does not
        come from the handler.

        Args:
            asset: The asset.
            plan: The plan of the runs; `None` in a worker process.

        Returns:
            `None` if `handle_output` is to be called.
        """
        return None


def stores_groups(handler: BaseIOHandler) -> bool:
    """Whether a handler stores the values of several runs together."""
    own = type(handler)
    if own.handle_outputs is BaseIOHandler.handle_outputs:
        return False
    # A subclass that overrides only `handle_output` stores in another way than `handle_outputs` does.
    depths = [
        next(at for at, each in enumerate(own.__mro__) if name in vars(each))
        for name in ("handle_outputs", "handle_output")
    ]
    return depths[0] <= depths[1]
