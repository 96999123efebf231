"""The step that makes an asset, or several: a function, and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from rivers.assets.signature import Signature

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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
        call: What a run calls, with the arguments of `signature` by keyword. For `"multi"`, it returns
            a dict of values by output; for `"external"`, it is never called.
        is_async: Whether `call` is a coroutine function.
        signature: The parameters of `call`.
        retry: Whether and when it is retried.
        pools: Slots it takes, by pool.
        metadata: Metadata of the one asset, or of the multi-asset.
    """

    kind: StepKind
    name: str
    outputs: list[str]
    fn: Callable[..., Any]
    call: Callable[..., Any]
    is_async: bool = False
    signature: Signature = field(default_factory=Signature)
    retry: RetryPolicy | None = None
    pools: Mapping[str, int] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
