"""What a run executes, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from rivers._rivers import PartitionMapping, PartitionsDefinition, Space
    from rivers.io.base import BaseIOHandler
    from rivers.policies.retry import RetryPolicy

    Call = tuple["Step", dict[str, Any]]


@dataclass
class StepInput:
    """A value that a step takes from an upstream asset.

    Attributes:
        parameter: The function's parameter, and the upstream asset's name.
        handler: Loads its value.
        metadata: The metadata that the handler gets.
        space: The upstream's partitions; `None` if it has none.
        mapping: Which of them are needed; `None`: those with the same keys.
        has_default: Whether the parameter has a default, used if no partition is needed.
    """

    parameter: str
    handler: BaseIOHandler
    metadata: dict[str, Any]
    space: Space | None
    mapping: PartitionMapping | None = None
    has_default: bool = False


@dataclass
class StepOutput:
    """An asset that a step makes.

    Attributes:
        index: The asset's index in the request.
        name: The asset's name.
        handler: Stores its value.
        metadata: The asset's metadata.
    """

    index: int
    name: str
    handler: BaseIOHandler
    metadata: dict[str, Any]


@dataclass
class Step:
    """What a run executes as one: an asset, or several that one function makes.

    Attributes:
        name: The asset's name, or that of the multi-asset.
        outputs: The assets that it makes.
        by_name: Whether the function returns a dict of values by output, not a value.
        fn: The function.
        is_async: Whether `fn` is a coroutine function.
        context_param: The parameter that gets the context.
        inputs: The values that it takes.
        needs: Indices of the steps that it depends on.
        definition: The definition of its partitions.
        config: Its validated configuration.
        metadata: The asset's metadata.
        retry: How its failures are retried.
        defined: Its current partitions, if the plan has some that are no longer defined.
        timeout: Maximum duration of a call of `fn`, in seconds; `None`: for ever.
    """

    name: str
    outputs: list[StepOutput]
    by_name: bool
    fn: Callable[..., Any]
    is_async: bool
    context_param: str | None
    inputs: list[StepInput]
    needs: list[int]
    definition: PartitionsDefinition | None
    config: Any
    metadata: dict[str, Any]
    retry: RetryPolicy | None = None
    defined: Space | None = None
    timeout: float | None = None

    def __post_init__(self) -> None:
        # In the order of the request: whatever needs an output comes after the first of them.
        self.outputs.sort(key=lambda output: output.index)
        self.indices = [output.index for output in self.outputs]
        self.index = self.indices[0]

    @property
    def title(self) -> str:
        """What messages call it."""
        return f"the asset {self.name!r}"

    @property
    def partitioned(self) -> bool:
        """Whether the asset has partitions."""
        return self.definition is not None
