"""Assets that one step makes together, and the values that its function yields for them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from rivers._text import did_you_mean, listed
from rivers.assets.asset_def import AssetDef
from rivers.exceptions import AssetDefinitionError, ExecutionError


@dataclass(frozen=True)
class Output:
    """The value of one output of `Asset.from_multi`.

    Attributes:
        value: The value. `None` is not passed to the IO handler.
        output_name: Name of the output.
    """

    value: Any
    output_name: str


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


def collect_outputs(
    fn: Callable[..., Any], name: str, outputs: list[str]
) -> tuple[Callable[..., Any], bool]:
    """Wraps a multi-asset's function into one that returns a dict of values by output.

    The dict is complete before the first value is stored, so an exception fails all outputs.

    Args:
        fn: The function: plain, a generator function, or the async form of either.
        name: Name of the multi-asset, for messages.
        outputs: Names of its outputs.

    Returns:
        The wrapping function, and whether it is a coroutine function.
    """

    def collected(**arguments: Any) -> dict[str, Any]:
        return _values_by_output(name, outputs, fn(**arguments))

    async def collected_async(**arguments: Any) -> dict[str, Any]:
        returned = fn(**arguments)
        if inspect.isasyncgen(returned):
            return _values_by_output(name, outputs, [output async for output in returned])
        return _values_by_output(name, outputs, await returned)

    if inspect.iscoroutinefunction(fn) or inspect.isasyncgenfunction(fn):
        return collected_async, True
    return collected, False


def _values_by_output(name: str, outputs: list[str], returned: Any) -> dict[str, Any]:
    """Returns the value of each output.

    Raises:
        ExecutionError: An output is missing, unknown or repeated, or something is not an `Output`.
    """
    values: dict[str, Any] = {}
    for output in returned if isinstance(returned, Iterable) else [returned]:
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
