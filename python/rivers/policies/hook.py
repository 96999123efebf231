"""Hooks: functions that are called after a step of a run, when it has succeeded or failed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, overload

from rivers.exceptions import AssetDefinitionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rivers.partitions.partition_context import PartitionContext


@dataclass(frozen=True)
class HookContext:
    """What a hook learns about the step that it follows.

    Attributes:
        asset_name: Name of the asset. For a multi-asset, a success hook gets the name of the output, a
            failure hook that of the function.
        run_id: The run's id.
        hook_type: `"success"` or `"failure"`.
        output: The value that was stored; `None` for a failure.
        error: Why the step failed, such as `"ValueError: boom"`; `None` for a success.
        metadata: The asset's metadata; `None` if it has none.
        config: The asset's validated configuration; `None` if it takes none.
        partition: The partitions that succeeded, or failed; `None` for an asset without partitions.
    """

    asset_name: str
    run_id: str
    hook_type: Literal["success", "failure"]
    output: Any = field(default=None, repr=False)
    error: str | None = None
    metadata: dict[str, Any] | None = None
    config: Any = None
    partition: PartitionContext | None = None


class Hook:
    """A function that is called after each step of a run that has succeeded, or failed.

    Make one with `@Hook.success` or `@Hook.failure`, and give it to `Asset(hooks=[...])`. Hooks are
    called where the step ran, in the order of the list, once per step and not per partition; for a
    multi-asset, success hooks once per output. A failure hook is called after the last attempt only.
    Where a function marked some partitions of a run as failed, success hooks are called for those that
    are left, and failure hooks for those that were marked. Where a retry in a worker process has
    to execute an asset again, because its value was lost with the first attempt, its success hooks are
    called again. The run waits for its hooks. An exception that a hook raises is logged and changes
    nothing.

    Attributes:
        name: Name of the hook; by default the function's.
        fn: The function, which may be `async`.

    Example:
        >>> import rivers as rs
        >>> @rs.Hook.success
        ... def announce(context: rs.HookContext) -> None:
        ...     print(context.asset_name, "is", context.output)
        >>> @rs.Hook.failure(name="page")
        ... def wake_somebody(context: rs.HookContext) -> None:
        ...     print(context.asset_name, "failed:", context.error)
        >>> @rs.Asset(hooks=[announce, wake_somebody])
        ... def answer() -> int:
        ...     return 42
        >>> rs.CodeRepository([answer]).resolve(rs.Storage.memory()).materialize().success
        answer is 42
        True
    """

    Success: ClassVar[type[SuccessHook]]
    """The class of what `@Hook.success` makes."""
    Failure: ClassVar[type[FailureHook]]
    """The class of what `@Hook.failure` makes."""

    def __init__(self, fn: Callable[[HookContext], Any], name: str | None = None) -> None:
        if not callable(fn):
            msg = f"a hook decorates a function of a HookContext, got {fn!r}"
            raise AssetDefinitionError(msg)
        if name is not None and (not isinstance(name, str) or not name):
            msg = f"name of a hook must be a str, got {name!r}"
            raise AssetDefinitionError(msg)
        self.fn = fn
        self.name = name or str(getattr(fn, "__name__", "hook"))

    @overload
    @staticmethod
    def success(fn: Callable[[HookContext], Any]) -> SuccessHook: ...

    @overload
    @staticmethod
    def success(
        fn: None = None, *, name: str | None = None
    ) -> Callable[[Callable[[HookContext], Any]], SuccessHook]: ...

    @staticmethod
    def success(fn: Callable[[HookContext], Any] | None = None, *, name: str | None = None) -> Any:
        """Decorates a function that is called when a step has succeeded; bare or with `name=`.

        Raises:
            AssetDefinitionError: What is decorated is no function, or `name` is no `str`.
        """
        return (lambda fn: SuccessHook(fn, name)) if fn is None else SuccessHook(fn, name)

    @overload
    @staticmethod
    def failure(fn: Callable[[HookContext], Any]) -> FailureHook: ...

    @overload
    @staticmethod
    def failure(
        fn: None = None, *, name: str | None = None
    ) -> Callable[[Callable[[HookContext], Any]], FailureHook]: ...

    @staticmethod
    def failure(fn: Callable[[HookContext], Any] | None = None, *, name: str | None = None) -> Any:
        """Decorates a function that is called when a step has failed for good; bare or with `name=`.

        Raises:
            AssetDefinitionError: What is decorated is no function, or `name` is no `str`.
        """
        return (lambda fn: FailureHook(fn, name)) if fn is None else FailureHook(fn, name)

    def __call__(self, context: HookContext) -> Any:
        """Calls the function."""
        return self.fn(context)

    def __repr__(self) -> str:
        kind = "Failure" if isinstance(self, FailureHook) else "Success"
        return f"Hook.{kind}(name={self.name!r})"


class SuccessHook(Hook):
    """A hook that is called when a step has succeeded."""


class FailureHook(Hook):
    """A hook that is called when a step has failed for good."""


Hook.Success = SuccessHook
Hook.Failure = FailureHook


def read_hooks(hooks: Iterable[Hook] | None) -> list[Hook]:
    """Returns the hooks of an asset as a list of their own.

    Raises:
        AssetDefinitionError: One is not a `Hook`.
    """
    if hooks is None:
        return []
    if not isinstance(hooks, list | tuple):
        msg = f"hooks of an asset must be a list, got {hooks!r}"
        raise AssetDefinitionError(msg)
    for hook in hooks:
        if not isinstance(hook, SuccessHook | FailureHook):
            msg = (
                "hooks of an asset must be functions decorated with @Hook.success or @Hook.failure, "
                f"got {hook!r}"
            )
            raise AssetDefinitionError(msg)
    return list(hooks)
