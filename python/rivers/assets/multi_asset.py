"""Assets that one step makes together: their declarations, and the values of its function."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Generator, Iterable, Mapping
from typing import Any

from rivers._text import did_you_mean, listed
from rivers.assets.asset_def import AssetDef, DepDef
from rivers.exceptions import AssetDefinitionError, ExecutionError
from rivers.execution.outputs import Materialization, Output
from rivers.execution.returned import is_coroutine_callable


def check_output_defs(output_defs: Iterable[AssetDef]) -> list[AssetDef]:
    """Returns the outputs of a multi-asset as a list.

    Raises:
        AssetDefinitionError: There is none, one is not an `AssetDef`, or two have the same name.
    """
    given = list(output_defs)
    names = [output.name for output in given if isinstance(output, AssetDef)]
    if not names or len(names) < len(given):
        msg = f"output_defs must be AssetDefs, at least one, got {given!r}"
        raise AssetDefinitionError(msg)
    if len(set(names)) < len(names):
        msg = f"output_defs names an output twice: {listed(names)}"
        raise AssetDefinitionError(msg)
    return given


def input_defs(
    name: str, upstream_defs: Mapping[str, DepDef], outputs: Iterable[AssetDef], inputs: list[str]
) -> dict[str, DepDef]:
    """Returns what a multi-asset and its outputs declare about the function's inputs.

    Args:
        name: Name of the multi-asset.
        upstream_defs: What the multi-asset itself declares about upstream assets.
        outputs: Its outputs.
        inputs: Parameters of the function.

    Raises:
        AssetDefinitionError: One input is declared differently in two places.
    """
    declared = {upstream: given for upstream, given in upstream_defs.items() if given.is_input}
    for output in outputs:
        mappings = output.partition_mapping or {}
        own = [dep for dep in output.deps if isinstance(dep, DepDef) and dep.is_input]
        own += [
            DepDef("input", each, mapping) for each, mapping in mappings.items() if each in inputs
        ]
        for given in own:
            if declared.setdefault(given.name, given) != given:
                msg = (
                    f"the multi-asset {name!r} declares its input {given.name!r} differently in two places, "
                    f"the last of which is the output {output.name!r}; its function takes the input once"
                )
                raise AssetDefinitionError(msg)
    return declared


def collect_outputs(
    fn: Callable[..., Any], name: str, outputs: list[str], selected: list[str]
) -> Callable[..., Any]:
    """Wraps a multi-asset's function into one that returns a dict of values by output.

    A function that yields is wrapped into one that yields output names and values, so that each value can be
    stored as it is yielded.

    Args:
        fn: The function: plain, a generator function, or the async form of either.
        name: Name of the multi-asset, for messages.
        outputs: Names of its outputs.
        selected: The outputs to return; the function may leave the others out.

    Returns:
        A plain function, or a coroutine function if `fn` is async.
    """

    def collected(**arguments: Any) -> Any:
        returned = fn(**arguments)
        checked = _Checked(name, outputs, selected)
        return checked.each(returned) if inspect.isgenerator(returned) else checked.all(returned)

    async def collected_async(**arguments: Any) -> Any:
        returned = fn(**arguments)
        checked = _Checked(name, outputs, selected)
        if inspect.isasyncgen(returned):
            return checked.each_async(returned)
        return checked.all(await returned)

    return collected_async if is_async(fn) else collected


def is_async(fn: Callable[..., Any]) -> bool:
    """Returns whether a multi-asset's function is a coroutine function or yields asynchronously."""
    return is_coroutine_callable(fn) or inspect.isasyncgenfunction(fn)


class _Checked:
    """The outputs of one call of a multi-asset, checked one by one.

    Args:
        name: Name of the multi-asset.
        outputs: Names of its outputs.
        selected: The outputs whose values are kept.
    """

    def __init__(self, name: str, outputs: list[str], selected: list[str]) -> None:
        self._name = name
        self._outputs = outputs
        self._selected = selected
        self._seen: set[str] = set()

    def all(self, returned: Any) -> dict[str, Any]:
        """Returns the values of what a function returned: a dict, one `Output` or several.

        Raises:
            ExecutionError: An output is unknown or repeated, or something is not an `Output`.
        """
        if isinstance(returned, dict):
            given = list(returned.items())
        elif isinstance(returned, Output | Materialization) or not isinstance(returned, Iterable):
            given = [self._named(returned)]
        else:
            given = [self._named(output) for output in returned]
        return {name: value for name, value in given if self._is_kept(name)}

    def each(self, generator: Iterable[Any]) -> Generator[tuple[str, Any]]:
        """Yields the name and value of each selected output; raises as `all`."""
        for output in generator:
            name, value = self._named(output)
            if self._is_kept(name):
                yield name, value

    async def each_async(self, generator: AsyncIterable[Any]) -> AsyncGenerator[tuple[str, Any]]:
        """The async form of `each`."""
        async for output in generator:
            name, value = self._named(output)
            if self._is_kept(name):
                yield name, value

    def _is_kept(self, output: Any) -> bool:
        if output not in self._outputs or output in self._seen:
            twice = " twice" if output in self._seen else ""
            hint = "" if twice else did_you_mean(str(output), self._outputs)
            msg = (
                f"the multi-asset {self._name!r} returned {output!r}{twice}; its outputs are "
                f"{listed(self._outputs)}{hint}"
            )
            raise ExecutionError(msg)
        self._seen.add(output)
        return output in self._selected

    def _named(self, output: Any) -> tuple[Any, Any]:
        """The name that an `Output` has, and the `Output`."""
        if not isinstance(output, Output | Materialization):
            msg = (
                f"the multi-asset {self._name!r} must yield an Output(value, output_name) for each of its "
                f"outputs, or return a list of them or a dict of values by output, got "
                f"{type(output).__name__}"
            )
            raise ExecutionError(msg)
        if output.output_name is None:
            msg = (
                f"the multi-asset {self._name!r} returned an {type(output).__name__} without output_name; "
                f"its outputs are {listed(self._outputs)}"
            )
            raise ExecutionError(msg)
        return output.output_name, output
