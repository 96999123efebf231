"""The resources of a repository in the process that declares them: checked, set up and torn down.

A worker process never gets what `setup()` has made here: a resource travels as it was before.
"""

from __future__ import annotations

import functools
import inspect
import io
import pickle
import threading
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import cloudpickle
import pydantic

from rivers._fork import reset_in_children
from rivers._text import did_you_mean, listed
from rivers.exceptions import ConfigurationError
from rivers.execution.resource import Resource
from rivers.execution.worker_resources import PackedValue, call_method, tear_down
from rivers.io.base import BaseIOHandler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


class Resources:
    """The resources of one repository in the process that declared them.

    Args:
        given: The resources by name.
        travel: Whether worker processes get copies of them.

    Raises:
        ConfigurationError: One is not a `Resource`, a pydantic model or an IO handler, or has an async
            `setup()` or `teardown()`.
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
            for method in ("setup", "teardown"):
                if inspect.iscoroutinefunction(getattr(resource, method, None)):
                    msg = f"{method}() of the resource {name!r} is async; it must be a plain method"
                    raise ConfigurationError(msg)
        self._travel = travel
        self._token = uuid.uuid4().hex
        self._packed: dict[str, bytes | Exception] = {}
        self.reset_in_child()
        reset_in_children(self)

    def reset_in_child(self) -> None:
        """Starts with nothing set up: a forked child sets up for itself, and leaves the parent's alone."""
        self._lock = threading.RLock()
        self._set_up: list[str] = []
        self._is_ready = not self._by_name

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
        if not self._by_name:
            return []
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
            if self._travel and not self._packed:
                self._packed = {name: _packed(each) for name, each in self._by_name.items()}
            try:
                for name, resource in self._by_name.items():
                    call_method(resource, "setup", name)
                    self._set_up.append(name)
            except BaseException:
                self.teardown()
                raise

    def teardown(self) -> None:
        """Tears down what is set up, the last first. An exception is logged, and the others follow."""
        with self._lock:
            while self._set_up:
                name = self._set_up.pop()
                tear_down(self._by_name[name], name)
            self._is_ready = not self._by_name

    # -- for worker processes ----------------------------------------------------------------------

    def dumps(self, value: object) -> bytes:
        """Pickles layers of steps, or one step, with references in place of the resources."""
        if not self._by_name:
            return _dumps(value)
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
        return pickle.dumps(PackedValue(self._token, buffer.getvalue(), resources))


class _ByValue(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types.
    """Also writes functions behind `functools.cache` that another process cannot import."""

    def reducer_override(self, value: object) -> Any:
        if isinstance(value, functools._lru_cache_wrapper) and not _is_importable(value):  # noqa: SLF001
            return _cached, (value.__wrapped__, value.cache_parameters())
        return super().reducer_override(value)


def _is_importable(function: functools._lru_cache_wrapper[Any]) -> bool:
    """Whether another process finds a function by its name, so that all of it share one cache."""
    by_value = {"__main__", *cloudpickle.list_registry_pickle_by_value()}
    # A package that travels by value takes its modules along.
    parts = function.__module__.split(".")
    packages = {".".join(parts[:length]) for length in range(1, len(parts) + 1)}
    return not by_value & packages and "<locals>" not in function.__qualname__


def _cached(function: Callable[..., Any], parameters: Mapping[str, Any]) -> Any:
    """The function behind an empty cache."""
    return functools.lru_cache(**parameters)(function)


def _dumps(value: object) -> bytes:
    buffer = io.BytesIO()
    _ByValue(buffer).dump(value)
    return buffer.getvalue()


class _Pickler(_ByValue):
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


def _packed(resource: object) -> bytes | Exception:
    """A resource as bytes, as it is now; or why it cannot be pickled."""
    try:
        return _dumps(resource)
    except Exception as error:  # noqa: BLE001  (pickling can raise anything)
        return error
