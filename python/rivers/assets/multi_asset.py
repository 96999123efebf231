"""Assets that are made together: one step, several outputs."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from rivers._text import did_you_mean, listed
from rivers.assets.asset import Asset
from rivers.assets.asset_def import AssetDef
from rivers.exceptions import AssetDefinitionError, ExecutionError


@dataclass(frozen=True)
class Output:
    """The value of one output of `Asset.from_multi`.

    Attributes:
        value: The value; `None` is not passed to the IO handler.
        output_name: The output.
    """

    value: Any
    output_name: str


class MultiAsset(Asset):
    """What `Asset.from_multi` makes."""

    def __init__(
        self,
        fn: Callable[..., Any] | None = None,
        *,
        output_defs: Iterable[AssetDef],
        **options: Any,
    ) -> None:
        self.output_defs = list(output_defs)
        names = [given.name for given in self.output_defs if isinstance(given, AssetDef)]
        if not names or len(names) < len(self.output_defs):
            msg = f"output_defs must be AssetDefs, at least one, got {self.output_defs!r}"
            raise AssetDefinitionError(msg)
        if len(set(names)) < len(names):
            msg = f"output_defs names an output twice: {listed(names)}"
            raise AssetDefinitionError(msg)
        super().__init__(fn, **options)
        self._given["output_defs"] = self.output_defs

    def _bind(self, fn: Callable[..., Any] | None) -> None:
        super()._bind(fn)
        if fn is None:
            return
        self.is_async = self.is_async or inspect.isasyncgenfunction(fn)
        names = [given.name for given in self.output_defs]
        collect = _collect_async if self.is_async else _collect
        self.step_fn = collect(fn, self.name, names)
        self.parts = [self._part(given) for given in self.output_defs]

    def _part(self, given: AssetDef) -> Asset:
        """The asset of one output."""
        part = copy.copy(self)
        part.name = self._check_name(given.name)
        part.io_handler = given.io_handler or self.io_handler
        part.metadata = {**self.metadata, **given.metadata}
        part.code_version = given.code_version or self.code_version
        part.step = self
        return part


def _collect(fn: Callable[..., Any], name: str, outputs: list[str]) -> Callable[..., Any]:
    """The function, giving the values by output. All are there before the first is stored."""

    def collected(**arguments: Any) -> dict[str, Any]:
        return _by_name(name, outputs, fn(**arguments))

    return collected


def _collect_async(fn: Callable[..., Any], name: str, outputs: list[str]) -> Callable[..., Any]:
    async def collected(**arguments: Any) -> dict[str, Any]:
        given = fn(**arguments)
        if inspect.isasyncgen(given):
            return _by_name(name, outputs, [output async for output in given])
        return _by_name(name, outputs, await given)

    return collected


def _by_name(name: str, outputs: list[str], given: Any) -> dict[str, Any]:
    """The values by output: one for each.

    Raises:
        ExecutionError: Something else was given.
    """
    values: dict[str, Any] = {}
    for output in given if isinstance(given, Iterable) else [given]:
        if not isinstance(output, Output):
            msg = (
                f"the multi-asset {name!r} must yield an Output(value, output_name) for each of its "
                f"outputs, or return a list of them, got {type(output).__name__}"
            )
            raise ExecutionError(msg)
        if output.output_name not in outputs or output.output_name in values:
            twice = " twice" if output.output_name in values else ""
            msg = (
                f"the multi-asset {name!r} gave {output.output_name!r}{twice}; its outputs are "
                f"{listed(outputs)}{'' if twice else did_you_mean(str(output.output_name), outputs)}"
            )
            raise ExecutionError(msg)
        values[output.output_name] = output.value
    missing = [output for output in outputs if output not in values]
    if missing:
        msg = f"the multi-asset {name!r} gave no Output for {listed(missing)}"
        raise ExecutionError(msg)
    return values
