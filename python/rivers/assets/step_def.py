"""The step that makes an asset, or several: a function, and what is known of it."""

from __future__ import annotations

import functools
import inspect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from rivers._lazy import ComputedOnce
from rivers.assets.multi_asset import collect_outputs
from rivers.assets.signature import Signature
from rivers.execution.compute import Compute
from rivers.execution.generators import item_hint
from rivers.execution.steps import Labels

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rivers.assets.traced_function import HandlerOf, TracedFunction
    from rivers.policies.hook import Hook
    from rivers.policies.retry import RetryPolicy

StepKind: TypeAlias = Literal["single", "multi", "graph", "external"]


@dataclass(eq=False)
class StepDef:
    """A declared step: one function that makes one asset or several.

    All assets that a step makes share it, so steps are compared by identity. What a run executes is
    built from it (`rivers.execution.steps.Step`).

    Attributes:
        kind: `"single"`: one asset; `"multi"`: several; `"graph"`: one asset, made by tasks;
            `"external"`: nothing makes it here.
        name: Name of the one asset, or of the multi-asset.
        outputs: Names of the assets it makes.
        fn: The user's function.
        call: What makes the value of one asset, with the arguments of `signature` by keyword. A run
            calls what `call_for` returns.
        is_async: Whether `call` is a coroutine function.
        signature: The parameters of `call`.
        retry: Whether and when it is retried: a policy, or the name of one in
            `CodeRepository(retries=)`.
        timeout: Maximum duration of a call, in seconds; `None`: for ever.
        pools: Slots it takes, by pool.
        metadata: Metadata of the one asset, or of the multi-asset.
        labels: Tags, kinds, group and code version of the one asset, or of the multi-asset.
        hooks: What is called after each execution.
        compute: What it needs of the machine that executes it; `None`: the default.
        traced: The recorded task calls of a `"graph"` step.
    """

    kind: StepKind
    name: str
    outputs: list[str]
    fn: Callable[..., Any]
    call: Callable[..., Any]
    is_async: bool = False
    signature: Signature = field(default_factory=Signature)
    retry: RetryPolicy | str | None = None
    timeout: float | None = None
    pools: Mapping[str, int] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    labels: Labels = field(default_factory=Labels)
    hooks: list[Hook] = field(default_factory=list)
    compute: Compute | None = None
    traced: TracedFunction | None = None

    @ComputedOnce
    def value_hint(self) -> Any:
        """The annotation of the values that it returns or yields; `None` if there is none, or several."""
        return None if self.kind == "multi" else item_hint(self.signature.return_hint)

    @ComputedOnce
    def compute_of_all(self) -> Compute | None:
        """What it and its tasks need together; `None`: the default."""
        calls = [] if self.traced is None else self.traced.calls
        needed = [self.compute, *(call.compute for call in calls)]
        return None if needed.count(None) == len(needed) else Compute.of_all(needed)

    def call_for(
        self, selected: list[str], retries: Mapping[str, RetryPolicy], handler_of: HandlerOf
    ) -> Callable[..., Any]:
        """Returns what a run calls to make the selected outputs.

        For `"multi"`, it returns a dict of values by output.

        Args:
            selected: Names of the outputs to make.
            retries: The retry policies that tasks refer to by name.
            handler_of: Looks up the handler that an `io_handler` of a task means.

        Raises:
            ConfigurationError: A task names an unknown retry policy or handler.
        """
        if self.kind == "multi":
            return collect_outputs(self.fn, self.name, self.outputs, selected)
        if self.traced is not None:
            traced = self.traced.with_names(retries, handler_of)
            return traced.call_async if traced.is_async else traced
        if inspect.isasyncgenfunction(self.call):
            return functools.partial(_generator, self.call)
        return self.call


async def _generator(fn: Callable[..., Any], /, **arguments: Any) -> Any:
    """Returns what an async generator function yields from: its call need not be awaited."""
    return fn(**arguments)
