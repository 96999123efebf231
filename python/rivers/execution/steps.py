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
        metadata: What the handler is told.
        space: The upstream's partitions; `None` if it has none.
        mapping: Which of them are needed; `None`: those of the same keys.
        has_default: Whether the parameter has a default, which holds where none is needed.
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
        index: Its place in the request.
        name: Its name.
        handler: Keeps its value.
        metadata: Its metadata.
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
        outputs: What it makes.
        by_name: Whether the function gives a dict of values by output, or the value.
        fn: Its function.
        is_async: Whether that is a coroutine function.
        context_param: The parameter that gets the context.
        inputs: What it takes.
        needs: Places of the steps that it depends on.
        definition: Its partitions.
        config: Its validated configuration.
        metadata: The asset's.
        retry: How its failures are tried again.
        defined: Its partitions of today, where those of the plan are not all among them any more.
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

    def __post_init__(self) -> None:
        # In the order of the request: what needs an output stands behind the first of them.
        self.outputs.sort(key=lambda output: output.index)
        self.indices = [output.index for output in self.outputs]
        self.index = self.indices[0]

    @property
    def partitioned(self) -> bool:
        """Whether the asset has partitions."""
        return self.definition is not None
