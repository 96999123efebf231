"""Attributes that are computed on first access."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable


T = TypeVar("T")


class ComputedOnce(Generic[T]):
    """An attribute that a method computes on first access, and that can be set.

    `functools.cached_property` of Python 3.11 has one lock for all objects, which a child that is forked
    meanwhile would wait for without end. Without a lock, two threads may both compute the attribute.
    """

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self._compute = compute
        self.__doc__ = compute.__doc__

    def __get__(self, owner: Any, kind: type | None = None) -> T:
        value = self._compute(owner)
        computed: T = owner.__dict__.setdefault(self._compute.__name__, value)
        return computed


class LazyAttributes:
    """Attributes computed on first access, so that an unused result costs nothing."""

    def _later(self, **thunks: Callable[[], Any]) -> None:
        self.__dict__["_thunks"] = thunks

    def __getattr__(self, name: str) -> Any:
        thunk = self.__dict__.get("_thunks", {}).get(name)
        if thunk is None:
            msg = f"{type(self).__name__!r} object has no attribute {name!r}"
            raise AttributeError(msg)
        value = self.__dict__[name] = thunk()
        return value

    def __getstate__(self) -> dict[str, Any]:
        for name in self.__dict__.get("_thunks", {}):
            getattr(self, name)
        left_out = ("_thunks", "_cells", "_selections")
        return {name: value for name, value in self.__dict__.items() if name not in left_out}
