"""Assets that one step makes together: their declarations, and the values of its function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
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

    The dict is complete before the first value is stored, so an exception fails all outputs.

    Args:
        fn: The function: plain, a generator function, or the async form of either.
        name: Name of the multi-asset, for messages.
        outputs: Names of its outputs.
        selected: The outputs to return; the function may leave the others out.

    Returns:
        A plain function, or a coroutine function if `fn` is async.
    """

    def collected(**arguments: Any) -> dict[str, Any]:
        return _values_by_output(name, outputs, selected, fn(**arguments))

    async def collected_async(**arguments: Any) -> dict[str, Any]:
        returned = fn(**arguments)
        if inspect.isasyncgen(returned):
            returned = [output async for output in returned]
        else:
            returned = await returned
        return _values_by_output(name, outputs, selected, returned)

    return collected_async if is_async(fn) else collected


def is_async(fn: Callable[..., Any]) -> bool:
    """Returns whether a multi-asset's function is a coroutine function or yields asynchronously."""
    return is_coroutine_callable(fn) or inspect.isasyncgenfunction(fn)


def _values_by_output(
    name: str, outputs: list[str], selected: list[str], returned: Any
) -> dict[str, Any]:
    """Returns the value of each selected output.

    Raises:
        ExecutionError: A selected output is missing, one is unknown or repeated, or something is not an
            `Output`.
    """
    values: dict[str, Any] = {}
    for output_name, value in _named_values(name, outputs, returned):
        if output_name not in outputs or output_name in values:
            twice = " twice" if output_name in values else ""
            msg = (
                f"the multi-asset {name!r} returned {output_name!r}{twice}; its outputs are "
                f"{listed(outputs)}{'' if twice else did_you_mean(str(output_name), outputs)}"
            )
            raise ExecutionError(msg)
        values[output_name] = value
    missing = [output for output in selected if output not in values]
    if missing:
        msg = f"the multi-asset {name!r} returned no Output for {listed(missing)}"
        raise ExecutionError(msg)
    return {output: values[output] for output in selected}


def _named_values(name: str, outputs: list[str], returned: Any) -> Iterable[tuple[Any, Any]]:
    """Yields output names and what was returned for them."""
    if isinstance(returned, dict):
        yield from returned.items()
        return
    single = isinstance(returned, Output | Materialization) or not isinstance(returned, Iterable)
    for output in [returned] if single else returned:
        if not isinstance(output, Output | Materialization):
            msg = (
                f"the multi-asset {name!r} must yield an Output(value, output_name) for each of its "
                f"outputs, or return a list of them or a dict of values by output, got "
                f"{type(output).__name__}"
            )
            raise ExecutionError(msg)
        if output.output_name is None:
            msg = (
                f"the multi-asset {name!r} returned an {type(output).__name__} without output_name; its "
                f"outputs are {listed(outputs)}"
            )
            raise ExecutionError(msg)
        yield output.output_name, output
