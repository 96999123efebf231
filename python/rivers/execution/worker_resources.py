"""Resources in a worker process: each is there once, whichever programs use it."""

from __future__ import annotations

import atexit
import functools
import io
import logging
import pickle
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rivers.execution.steps import Step

_log = logging.getLogger("rivers")


@dataclass
class PackedValue:
    """A pickled value, and the resources that it refers to."""

    token: str
    value: bytes
    resources: dict[str, bytes]


class _Unpickler(pickle.Unpickler):
    """Finds the resources of this process by their names."""

    def __init__(self, packed: PackedValue) -> None:
        super().__init__(io.BytesIO(packed.value))
        self._packed = packed

    def persistent_load(self, name: str) -> object:
        key = self._packed.token, name
        if key not in _of_process:
            _of_process[key] = _InWorker(name, pickle.loads(self._packed.resources[name]))  # noqa: S301
        return _of_process[key].resource


@dataclass
class _InWorker:
    """A resource in a worker process."""

    name: str
    resource: Any
    is_set_up: bool = False


_of_process: dict[tuple[str, str], _InWorker] = {}
"""The resources of a worker process, by repository and name: all its programs share them."""


def loads(pickled: bytes) -> Any:
    """Reads, in a worker process, what `Resources.dumps` wrote, and sets up what it refers to.

    A step whose resource cannot be set up raises that error in place of its function.
    """
    value = pickle.loads(pickled)  # noqa: S301  (the recording process wrote it)
    if not isinstance(value, PackedValue):
        return value
    layers = _Unpickler(value).load()
    errors = _set_up_here(value)
    if errors:
        for step in (step for layer in layers for step in layer):
            _break(step, [errors[name] for name in step.resources if name in errors])
    return layers


def _set_up_here(packed: PackedValue) -> dict[str, BaseException]:
    """Sets up resources that are not; returns the errors by name."""
    errors: dict[str, BaseException] = {}
    for name in packed.resources:
        found = _of_process[packed.token, name]
        if found.is_set_up:
            continue
        try:
            call_method(found.resource, "setup", name)
        except BaseException as error:  # noqa: BLE001  (it fails the steps that need it)
            errors[name] = error
        else:
            found.is_set_up = True
            _tear_down_at_exit()
    return errors


@functools.cache
def _tear_down_at_exit() -> None:
    """Has the resources of this worker process torn down when it ends; once."""
    atexit.register(tear_down_here)


def tear_down_here() -> None:
    """Tears down the resources of this worker process."""
    for found in reversed(_of_process.values()):
        if found.is_set_up:
            found.is_set_up = False
            tear_down(found.resource, found.name)


def _break(step: Step, errors: list[BaseException]) -> None:
    if errors:
        step.inputs, step.is_async = [], False
        step.fn = functools.partial(_raise, errors[0])


def _raise(error: BaseException, **_arguments: object) -> None:
    raise error


def call_method(resource: object, method: str, name: str) -> None:
    """Calls `setup` or `teardown`, which a plain pydantic model may have or not."""
    fn = getattr(resource, method, None)
    if not callable(fn):
        return
    try:
        fn()
    except BaseException as error:
        error.add_note(f"in {method}() of the resource {name!r}")
        raise


def tear_down(resource: object, name: str) -> None:
    """Calls `teardown`; an exception is logged."""
    try:
        call_method(resource, "teardown", name)
    except BaseException:  # noqa: BLE001  (the others are torn down all the same)
        _log.exception("teardown() of the resource %r raised an exception", name)
