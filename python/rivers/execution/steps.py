"""What a run executes, as data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from rivers._rivers import PartitionMapping, PartitionsDefinition, Selection, Space
    from rivers.execution.compute import Compute
    from rivers.io.base import BaseIOHandler, NoteNone
    from rivers.policies.hook import Hook
    from rivers.policies.retry import RetryPolicy

    Call = tuple["Step", dict[str, Any]]


@dataclass(frozen=True)
class Labels:
    """What an asset declares about itself that only its functions and hooks read.

    Attributes:
        tags: Free labels.
        kinds: What the asset is.
        group: Name of its group.
        code_version: Version of its function.
    """

    tags: Mapping[str, str] | Iterable[str] | None = None
    kinds: Sequence[str] | None = None
    group: str | None = None
    code_version: str | None = None


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
        definition: The upstream's partitions definition; `None` if it has none.
        type_hint: The parameter's annotation; `None` if it has none.
        has_value: Whether the upstream returns a value: not if its function is annotated `-> None`.
        gives_several: Whether one of the step's partitions may need several of the upstream's.
        allow_missing: Whether the step does without partitions that do not exist.
    """

    parameter: str
    handler: BaseIOHandler
    metadata: dict[str, Any]
    space: Space | None
    mapping: PartitionMapping | None = None
    has_default: bool = False
    definition: PartitionsDefinition | None = None
    type_hint: Any = None
    has_value: bool = True
    gives_several: bool = False
    allow_missing: bool = False


@dataclass
class Upstream:
    """An asset that a step depends on, as far as its skipped partitions matter to the step.

    Attributes:
        name: The asset's name.
        index: Its index in the request; `None` if the request does not execute it.
        shares_runs: Whether the runs of the step also execute it.
        space: Its partitions.
        mapping: Which of them are needed; `None`: those with the same keys.
        gives_several: Whether a partition of the step may need several of its partitions.
        skipped: Partitions that earlier backfills skipped and this one does not execute; `None`: none.
    """

    name: str
    index: int | None
    shares_runs: bool
    space: Space
    mapping: PartitionMapping | None
    gives_several: bool
    skipped: Selection | None = None


@dataclass
class StepOutput:
    """An asset that a step makes.

    Attributes:
        index: The asset's index in the request.
        name: The asset's name.
        handler: Stores its value.
        metadata: The asset's metadata.
        type_hint: The function's return annotation; `None` if it has none.
        has_value: Whether the function returns a value: not if it is annotated `-> None`.
        facts: What is known of each value, as JSON, so that runs record only other metadata; `None`: nothing.
    """

    index: int
    name: str
    handler: BaseIOHandler
    metadata: dict[str, Any]
    type_hint: Any = None
    has_value: bool = True
    facts: str | None = None


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
        needs: Indices of the assets of the request that it depends on.
        required: Those of them without which it cannot be executed; `None`: all.
        definition: The definition of its partitions.
        config: Its validated configuration.
        metadata: The asset's metadata.
        retry: How its failures are retried.
        output_selection: Outputs of a multi-asset that the step makes, in the order in which they are
            declared; empty for other assets.
        other_outputs: The other outputs of a multi-asset, which the function may leave out.
        upstreams: The assets that it depends on directly.
        labels: The asset's tags, kinds, group and code version; of a multi-asset, the function's.
        hooks: What is called after it.
        resources: Names of the resources that it uses, as parameters or as handlers.
        defined: Its current partitions, if the plan has some that are no longer defined.
        timeout: Maximum duration of a call of `fn`, in seconds; `None`: for ever.
        compute: What it needs of the machine that executes it; `None`: the default.
        note_none: Called with the numbers of runs in which the function returned `None` for all their
            partitions, 8 bytes each, in place of the handler; `None`: the handler is called.
        is_guarded: Whether a run checks which partitions it is executed for even if nothing has failed.
        since: A time of this process's monotonic clock, in seconds, before the first call of `fn`.
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
    output_selection: list[str] = field(default_factory=list)
    other_outputs: list[str] = field(default_factory=list)
    retry: RetryPolicy | None = None
    required: list[int] | None = None
    labels: Labels = field(default_factory=Labels)
    hooks: list[Hook] = field(default_factory=list)
    resources: list[str] = field(default_factory=list)
    defined: Space | None = None
    timeout: float | None = None
    compute: Compute | None = None

    upstreams: list[Upstream] = field(default_factory=list, init=False)
    is_guarded: bool = field(default=False, init=False)
    note_none: NoteNone | None = field(default=None, init=False)
    since: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        # In the order of the request: whatever needs an output comes after the first of them.
        self.outputs.sort(key=lambda output: output.index)
        self.indices = [output.index for output in self.outputs]
        self.index = self.indices[0] if self.indices else -1  # A context by hand has no outputs.

    def __getstate__(self) -> dict[str, Any]:
        """What goes to a worker process, where the program makes its own recorders."""
        return {**vars(self), "note_none": None}

    def follow(self, upstreams: Iterable[Upstream]) -> None:
        """Has the runs skip what needs a skipped partition of one of these assets."""
        self.upstreams = list(upstreams)
        self.is_guarded = any(upstream.skipped is not None for upstream in self.upstreams)

    def check_defined(self, space: Space) -> None:
        """Has the runs fail the partitions that are not in `space`, which are no longer defined."""
        self.defined = space
        self.is_guarded = True

    @property
    def title(self) -> str:
        """What messages call it."""
        return f"the asset {self.name!r}"

    @property
    def partitioned(self) -> bool:
        """Whether the asset has partitions."""
        return self.definition is not None
