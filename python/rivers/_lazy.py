"""Attributes that are computed on first access."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


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
        left_out = ("_thunks", "_cells")
        return {name: value for name, value in self.__dict__.items() if name not in left_out}
