"""Functions that yield their values one by one: each value is stored as it is yielded."""

from __future__ import annotations

import functools
import inspect
import itertools
import logging
import typing
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Container,
    Generator,
    Iterable,
    Iterator,
)
from typing import TYPE_CHECKING, Any

from rivers._rivers import PartitionKey
from rivers._text import listed, storable
from rivers.exceptions import ExecutionError, PartitionValidationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rivers._rivers import Run, Selection
    from rivers.execution.steps import Step, StepOutput

    Store = Callable[[StepOutput, Selection | None, Any], None]
    """Stores a value of an output for these partitions (`None`: those of the call)."""

_log = logging.getLogger("rivers")

END = object()
"""What a `Pull` returns when the generator has ended."""

_ITERATORS = (Iterator, Iterable, Generator, AsyncIterator, AsyncGenerator)


def _no_store(output: StepOutput, selection: Selection | None, value: Any) -> None:
    """Stores nothing: nothing more is added."""


def is_generator(value: object) -> bool:
    """Whether a function that yields returned this."""
    return inspect.isgenerator(value) or inspect.isasyncgen(value)


def item_hint(hint: Any) -> Any:
    """Returns the annotation of what is yielded, from that of a generator function's return value."""
    if typing.get_origin(hint) not in _ITERATORS or not typing.get_args(hint):
        return hint
    item = typing.get_args(hint)[0]
    pair = typing.get_args(item)
    return pair[1] if typing.get_origin(item) is tuple and pair[:1] == (PartitionKey,) else item


class Pull:
    """A call that returns the next value of a generator, or `END`: what the runner calls in place of a step.

    Attributes:
        fn: The call, without arguments.
        is_async: Whether its result has to be awaited.
    """

    __slots__ = ("fn", "is_async")

    def __init__(self, generator: Any) -> None:
        self.is_async = inspect.isasyncgen(generator)
        pull = anext if self.is_async else next
        self.fn: Callable[[], Any] = functools.partial(pull, generator, END)

    @staticmethod
    def closing(generator: Any) -> Pull:
        """The call that ends a generator before its time."""
        pull = Pull(generator)
        pull.fn = generator.aclose if pull.is_async else generator.close
        return pull


class YieldedPartitions:
    """What the function of one asset yields: a value per partition, in order or with its key.

    Args:
        step: The step of the asset.
        run: The run.
        entered: The partitions that the function was called for.
        store: Stores a value.
    """

    def __init__(self, step: Step, run: Run, entered: Selection, store: Store) -> None:
        self._step = step
        self._run = run
        self._space = entered.space
        self._store = store
        self._entered = entered.keys()
        self._among = set(self._entered)
        self._position = 0
        self._stored: set[PartitionKey] = set()
        self._has_keys: bool | None = None
        self._num_surplus = 0

    def add(self, item: Any) -> None:
        """Stores what was yielded.

        Raises:
            ExecutionError: It is for none of the partitions that still need a value.
        """
        has_key = isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], PartitionKey)  # noqa: PLR2004
        if self._has_keys is None:
            self._has_keys = has_key
        if self._has_keys is not has_key:
            msg = (
                f"the asset {self._step.name!r} yielded some values with a PartitionKey and some without: "
                "yield (PartitionKey, value) for each partition, or one value per partition in order"
            )
            raise ExecutionError(msg)
        keys = self._keys_of(item[0]) if has_key else self._next_key()
        left = [key for key in keys if not self._is_left_out(key)]
        if left:  # The others were marked as failed, or skipped.
            value = item[1] if has_key else item
            self._store(self._step.outputs[0], self._space.select_keys(left), value)
        self._stored.update(keys)

    def _is_left_out(self, key: PartitionKey) -> bool:
        return self._run.leaves_out(self._step.index, key)

    def _next_key(self) -> list[PartitionKey]:
        while self._position < len(self._entered):
            key = self._entered[self._position]
            self._position += 1
            if not self._is_left_out(key):
                return [key]
        self._num_surplus += 1
        return []

    def _keys_of(self, key: PartitionKey) -> list[PartitionKey]:
        try:
            keys = self._space.select_keys([key]).keys()
        except PartitionValidationError as error:
            msg = f"the asset {self._step.name!r} yielded a key that is no partition: {error}"
            raise ExecutionError(msg) from None
        for own in keys:
            if own not in self._among and not self._is_left_out(own):
                msg = (
                    f"the asset {self._step.name!r} yielded {own}, which is not one of this run's "
                    f"partitions (there are {len(self._entered)})"
                )
                raise ExecutionError(msg)
            if own in self._stored:
                msg = f"the asset {self._step.name!r} yielded {own} twice"
                raise ExecutionError(msg)
        return keys

    def rest(self) -> list[PartitionKey]:
        """The partitions without a value that were neither marked as failed nor skipped."""
        pending = (key for key in self._entered if key not in self._stored)
        return [key for key in pending if not self._is_left_out(key)]

    def problem(self) -> ExecutionError | None:
        """What is wrong with the number of values, once the generator has ended."""
        if self._num_surplus:
            _log.warning(
                "the asset %r yielded %d values more than the %d partitions of its run; they are dropped",
                self._step.name, self._num_surplus, len(self._entered),
            )  # fmt: skip
        rest = self.rest()
        if not rest:
            return None
        return ExecutionError(
            f"the asset {self._step.name!r} yielded no value for {listed(map(str, rest))}: "
            f"its run has {len(self._entered)} partitions, and each needs a value"
        )

    def has_stored(self) -> bool:
        """Whether a value was stored."""
        return bool(self._stored)

    def keep(self) -> None:
        """Has the next attempt do without the partitions whose values are stored.

        Values without keys belong to partitions by their order, which another set of partitions would change:
        there the next attempt yields all again.
        """
        if not self._has_keys:
            return
        made = [key for key in self._entered if key in self._stored and not self._is_left_out(key)]
        if made:
            self._run.keep_yielded(self._step.index, self._space.select_keys(made))

    def fail_rest(self, error_type: str, message: str, traceback: str) -> None:
        """Fails the partitions without a value."""
        for key in self.rest():
            self._run.mark_failed(self._step.index, key, error_type, message, traceback)

    def skip_rest(self, reason: object) -> None:
        """Skips the partitions without a value."""
        for key in self.rest():
            self._run.mark_skipped(self._step.index, key, storable(str(reason)))


class YieldedOutputs:
    """What the function of a multi-asset yields: the name and the value of each output.

    Args:
        step: The step of the multi-asset.
        run: The run.
        selection: The partitions that the function was called for; `None`: all.
        store: Stores a value.

    Attributes:
        values: What was yielded, by output, if the step has hooks to be given it.
    """

    def __init__(
        self, step: Step, run: Run, selection: Selection | None, store: Store = _no_store
    ) -> None:
        self.values: dict[str, Any] = {}
        self._step = step
        self._run = run
        self._selection = selection
        self._store = store
        self._outputs = {output.name: output for output in step.outputs}
        self._stored: dict[str, None] = {}
        self._failing: list[int] | None = None

    @classmethod
    def before(
        cls,
        output: StepOutput,
        step: Step,
        run: Run,
        selection: Selection | None = None,
        *,
        goes_on: bool = False,
    ) -> YieldedOutputs:
        """What is stored of a function that returned its outputs, when this one could not be.

        Args:
            output: The output.
            step: The step of the multi-asset.
            run: The run.
            selection: The partitions that the function was called for; `None`: all.
            goes_on: Whether the outputs after this one are stored nevertheless.
        """
        stored = cls(step, run, selection)
        before = itertools.takewhile(lambda other: other is not output, step.outputs)
        stored._stored = {other.name: None for other in before}
        if goes_on:
            stored._failing = [output.index]
        return stored

    def add(self, item: tuple[str, Any]) -> None:
        """Stores the value of an output."""
        name, value = item
        self._store(self._outputs[name], self._selection, value)
        self._stored[name] = None
        if self._step.hooks:
            self.values[name] = value

    def _rest(self) -> list[int]:
        if self._failing is not None:
            return self._failing
        return [output.index for name, output in self._outputs.items() if name not in self._stored]

    def problem(self) -> ExecutionError | None:
        """Which outputs are missing, once the generator has ended."""
        try:
            check_outputs(self._step, self._run, self._selection, self._stored)
        except ExecutionError as error:
            return error
        return None

    def has_stored(self) -> bool:
        """Whether a value was stored."""
        return bool(self._stored)

    def keep(self) -> None:
        """Has the next attempt do without the outputs whose values are stored."""
        for name in self._stored:
            index = self._outputs[name].index
            entered = self._run.partitions if self._selection is None else self._selection
            made = self._run.survivors(index, self._selection) or entered
            if made.num_partitions:
                self._run.keep_yielded(index, made)

    def fail_rest(self, error_type: str, message: str, traceback: str) -> None:
        """Fails the outputs without a value."""
        for index in self._rest():
            self._run.fail(index, error_type, message, traceback)

    def skip_rest(self, reason: object) -> None:
        """Skips the outputs without a value."""
        for index in self._rest():
            self._run.mark_skipped(index, None, storable(str(reason)))


def check_outputs(
    step: Step, run: Run, selection: Selection | None, values: Container[str]
) -> None:
    """Checks that a multi-asset made each output that the run makes, unless it skipped it.

    Raises:
        ExecutionError: Names the outputs that are missing.
    """
    missing = []
    for output in step.outputs:
        if output.name not in values:
            left = run.survivors(output.index, selection)
            if left is None or left.num_partitions:
                missing.append(output.name)
    if missing:
        msg = f"the multi-asset {step.name!r} returned no Output for {listed(missing)}"
        raise ExecutionError(msg)


def refusal(step: Step, generator: object, *, is_async: bool) -> ExecutionError | None:
    """Why a generator cannot be read; `None` if it can.

    Args:
        step: The step whose function returned it.
        generator: What it returned.
        is_async: Whether the program is executed on an event loop.
    """
    if inspect.isasyncgen(generator) and not is_async:
        return ExecutionError(
            f"the asset {step.name!r} returned an async generator from a plain function: declare the "
            "function itself with 'async def' and 'yield'"
        )
    if not step.by_name and not step.partitioned:
        return ExecutionError(
            f"the asset {step.name!r} returned a generator, whose body has not run: only a partitioned "
            "asset or a multi-asset yields its values; return the value itself"
        )
    return None
