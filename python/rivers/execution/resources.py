"""The resources of a repository: checked, set up and torn down, and carried to worker processes.

A worker process never gets what `setup()` has made in the process that declared the resource: the
resource travels as it was before, and is set up there once, whichever programs use it.
"""

from __future__ import annotations

import atexit
import functools
import io
import logging
import pickle
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cloudpickle
import pydantic

from rivers._text import did_you_mean, listed
from rivers.exceptions import ConfigurationError
from rivers.execution.resource import Resource
from rivers.io.base import BaseIOHandler

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rivers.execution.steps import Step

_log = logging.getLogger("rivers")


class Resources:
    """The resources of one repository in the process that declared them.

    Args:
        given: The resources by name.
        travel: Whether worker processes get copies of them.

    Raises:
        ConfigurationError: One is not a `Resource`, a pydantic model or an IO handler.
    """

    def __init__(self, given: Mapping[str, Any] | None = None, *, travel: bool = False) -> None:
        if given is not None and not isinstance(given, Mapping):
            msg = f"resources must be a dict of name to Resource, got {given!r}"
            raise ConfigurationError(msg)
        self._by_name = dict(given or {})
        for name, resource in self._by_name.items():
            if not isinstance(name, str) or not name:
                msg = f"the name of a resource must be a str, got {name!r}"
                raise ConfigurationError(msg)
            if not isinstance(resource, Resource | pydantic.BaseModel | BaseIOHandler):
                msg = (
                    f"the resource {name!r} must be a Resource, a pydantic model or an IO handler, got "
                    f"{resource!r}"
                )
                raise ConfigurationError(msg)
        self._travel = travel
        self._token = uuid.uuid4().hex
        self._lock = threading.RLock()
        self._set_up: list[str] = []
        self._is_ready = not self._by_name
        self._packed: dict[str, bytes | Exception] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __getitem__(self, name: str) -> Any:
        return self._by_name[name]

    def handler(self, given: BaseIOHandler | str | None, owner: str) -> BaseIOHandler | None:
        """Returns the handler that an `io_handler` argument means.

        Args:
            given: The handler, or the name of a resource.
            owner: What has the argument, for messages: `"the asset 'sales'"`.

        Raises:
            ConfigurationError: There is no resource of that name, or it is not a handler.
        """
        if not isinstance(given, str):
            return given
        if given not in self._by_name:
            msg = (
                f"{owner} names the io_handler {given!r}, but resources of the repository has "
                f"{listed(self._by_name) or 'no entry'}{did_you_mean(given, self._by_name)}"
            )
            raise ConfigurationError(msg)
        handler = self._by_name[given]
        if not isinstance(handler, BaseIOHandler):
            msg = f"{owner} names the io_handler {given!r}, but this resource is {handler!r}, no IO handler"
            raise ConfigurationError(msg)
        return handler

    def names_of(self, objects: Iterable[object]) -> list[str]:
        """Returns the names of those objects that are resources."""
        ids = set(map(id, objects))
        return [name for name, resource in self._by_name.items() if id(resource) in ids]

    # -- in this process ---------------------------------------------------------------------------

    def setup(self) -> None:
        """Sets up all resources in order, unless they are.

        If one raises, those before it are torn down again.
        """
        if self._is_ready:
            return
        with self._lock:
            if self._is_ready:
                return
            self._is_ready = True  # Also for a `setup()` that uses the repository.
            if self._travel:
                self._packed = {name: _packed(each) for name, each in self._by_name.items()}
            try:
                for name, resource in self._by_name.items():
                    _call(resource, "setup", name)
                    self._set_up.append(name)
            except BaseException:
                self.teardown()
                raise

    def teardown(self) -> None:
        """Tears down what is set up, the last first. An exception is logged, and the others follow."""
        with self._lock:
            while self._set_up:
                name = self._set_up.pop()
                _teardown(self._by_name[name], name)
            self._is_ready = not self._by_name

    # -- for worker processes ----------------------------------------------------------------------

    def dumps(self, value: object) -> bytes:
        """Pickles layers of steps, or one step, with references in place of the resources."""
        if not self._by_name:
            return cloudpickle.dumps(value)  # type: ignore[no-any-return]
        buffer = io.BytesIO()
        pickler = _Pickler(buffer, {id(each): name for name, each in self._by_name.items()})
        pickler.dump(value)
        resources: dict[str, bytes] = {}
        for name in pickler.used:
            packed = self._packed.get(name) or _packed(self._by_name[name])
            if isinstance(packed, Exception):
                packed.add_note(f"in the resource {name!r}")
                raise packed
            resources[name] = packed
        return pickle.dumps(_Packed(self._token, buffer.getvalue(), resources))


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types.
    """Writes the name of a resource in its place."""

    def __init__(self, file: io.BytesIO, names: Mapping[int, str]) -> None:
        super().__init__(file)
        self._names = names
        self.used: dict[str, None] = {}

    def persistent_id(self, value: object) -> str | None:
        name = self._names.get(id(value))
        if name is not None:
            self.used[name] = None
        return name


@dataclass
class _Packed:
    """A pickled value, and the resources that it refers to."""

    token: str
    value: bytes
    resources: dict[str, bytes]


class _Unpickler(pickle.Unpickler):
    """Finds the resources of this process by their names."""

    def __init__(self, packed: _Packed) -> None:
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
    if not isinstance(value, _Packed):
        return value
    layers = _Unpickler(value).load()
    errors = _set_up_here(value)
    if errors:
        for step in (step for layer in layers for step in layer):
            _break(step, [errors[name] for name in step.resources if name in errors])
    return layers


def _set_up_here(packed: _Packed) -> dict[str, BaseException]:
    """Sets up resources that are not; returns the errors by name."""
    errors: dict[str, BaseException] = {}
    for name in packed.resources:
        found = _of_process[packed.token, name]
        if found.is_set_up:
            continue
        try:
            _call(found.resource, "setup", name)
        except BaseException as error:  # noqa: BLE001  (it fails the steps that need it)
            errors[name] = error
        else:
            found.is_set_up = True
            _tear_down_at_exit()
    return errors


@functools.cache
def _tear_down_at_exit() -> None:
    """Has the resources of this worker process torn down when it ends; once."""
    atexit.register(_tear_down_here)


def _tear_down_here() -> None:
    for found in reversed(_of_process.values()):
        if found.is_set_up:
            found.is_set_up = False
            _teardown(found.resource, found.name)


def _break(step: Step, errors: list[BaseException]) -> None:
    if errors:
        step.inputs, step.is_async = [], False
        step.fn = functools.partial(_raise, errors[0])


def _raise(error: BaseException, **_arguments: object) -> None:
    raise error


def _packed(resource: object) -> bytes | Exception:
    """A resource as bytes, as it is now; or why it cannot be pickled."""
    try:
        return cloudpickle.dumps(resource)  # type: ignore[no-any-return]
    except Exception as error:  # noqa: BLE001  (pickling can raise anything)
        return error


def _call(resource: object, method: str, name: str) -> None:
    """Calls `setup` or `teardown`, which a plain pydantic model may have or not."""
    fn = getattr(resource, method, None)
    if not callable(fn):
        return
    try:
        fn()
    except BaseException as error:
        error.add_note(f"in {method}() of the resource {name!r}")
        raise


def _teardown(resource: object, name: str) -> None:
    try:
        _call(resource, "teardown", name)
    except BaseException:  # noqa: BLE001  (the others are torn down all the same)
        _log.exception("teardown() of the resource %r raised an exception", name)
