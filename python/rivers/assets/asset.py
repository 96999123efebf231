"""What a user declares: assets, as decorated functions."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from rivers._text import is_storable
from rivers.assets.asset_def import AssetDef, DepDef
from rivers.assets.signature import read_signature
from rivers.assets.tracing import noted
from rivers.exceptions import AssetDefinitionError
from rivers.io.base import BaseIOHandler
from rivers.partitions import PartitionsDefinition
from rivers.policies.retry import RetryPolicy
from rivers.policies.strategy import BackfillStrategy

if TYPE_CHECKING:
    from pydantic import BaseModel

_RESERVED = frozenset("|,=/\\\0\n")


class Asset:
    """A data asset: a function that computes it, and how it is partitioned and kept.

    Used as a decorator, bare or with arguments. The function's parameters name upstream assets,
    whose values it gets; a parameter named `context`, or annotated with `AssetExecutionContext`,
    gets the context. `async def` works. Called directly, an asset is its function.

    Args:
        fn: The function.
        name: The asset's name; the function's by default.
        partitions_def: How it is partitioned: a definition, or the name of one in
            `CodeRepository(partition_defs=)`.
        backfill_strategy: How its partitions are grouped into runs where `backfill()` does not say.
        io_handler: Keeps what the function returns; in memory by default. What returns `None` is
            not passed to it.
        deps: Assets, or their names, that must be executed before, without their values; or an
            `AssetDef.input` or `AssetDef.dep`, which say more of one.
        tags: Free labels of the asset.
        group: The group it belongs to.
        metadata: Anything worth knowing; the IO handler sees it.
        code_version: Recorded with what is materialized.
        retry: Whether and when it is tried again after an exception. `backfill(retry=)` goes before
            it; it goes before `CodeRepository(default_retry_policy=)`.
        pool: A pool of `CodeRepository(pool_limits=)`, or several, that it takes slots of. A run takes
            what its assets need of each pool at the most, from its start to its end.
        pool_slots: How many slots; with several pools also a dict by pool. One by default.

    Raises:
        AssetDefinitionError: An argument or the function's signature is not one an asset can have.

    Example:
        >>> import rivers as rs
        >>> @rs.Asset
        ... def one() -> int:
        ...     return 1
        >>> @rs.Asset(name="two", metadata={"unit": "pieces"})
        ... def twice(one: int) -> int:
        ...     return 2 * one
        >>> twice.name, twice(21)
        ('two', 42)
    """

    is_external = False
    """Whether it is made elsewhere."""

    def __init__(
        self,
        fn: Callable[..., Any] | None = None,
        *,
        name: str | None = None,
        partitions_def: PartitionsDefinition | str | None = None,
        backfill_strategy: BackfillStrategy | None = None,
        io_handler: BaseIOHandler | None = None,
        deps: Iterable[Asset | DepDef | str] | None = None,
        tags: Mapping[str, str] | Iterable[str] | None = None,
        group: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        code_version: str | None = None,
        retry: RetryPolicy | None = None,
        pool: str | Iterable[str] | None = None,
        pool_slots: int | Mapping[str, int] | None = None,
    ) -> None:
        if fn is not None and not callable(fn):
            msg = f"@Asset decorates a function, got {fn!r}; its arguments are keywords"
            raise AssetDefinitionError(msg)
        self._given: dict[str, Any] = {
            "name": name, "partitions_def": partitions_def, "backfill_strategy": backfill_strategy,
            "io_handler": io_handler, "deps": list(deps or ()), "tags": tags, "group": group,
            "metadata": metadata, "code_version": code_version, "retry": retry, "pool": pool,
            "pool_slots": pool_slots,
        }  # fmt: skip
        self._name = name
        self.partitions_def = partitions_def
        self.backfill_strategy = backfill_strategy
        self.io_handler = io_handler
        given: list[Asset | DepDef | str] = self._given["deps"]
        self.deps = [_name_of(dep) for dep in given]
        self.upstream_defs = {dep.name: dep for dep in given if isinstance(dep, DepDef)}
        self.tags = dict(tags) if isinstance(tags, Mapping) else list(tags or ())
        self.group = group
        self.metadata = dict(metadata or {})
        self.code_version = code_version
        self.retry = retry
        self.pools = _pools(pool, pool_slots)
        self._check_arguments()
        self._bind(fn)

    def _check_arguments(self) -> None:
        allowed = {
            "name": (self._name, (str,)),
            "partitions_def": (self.partitions_def, (PartitionsDefinition, str)),
            "backfill_strategy": (self.backfill_strategy, (BackfillStrategy,)),
            "io_handler": (self.io_handler, (BaseIOHandler,)),
            "group": (self.group, (str,)),
            "code_version": (self.code_version, (str,)),
            "retry": (self.retry, (RetryPolicy,)),
        }
        for argument, (value, kinds) in allowed.items():
            if value is not None and not isinstance(value, kinds):
                expected = " or ".join(kind.__name__ for kind in kinds)
                msg = f"{argument} of an asset must be a {expected}, got {value!r}"
                raise AssetDefinitionError(msg)

        for name in self.upstream_defs:
            if self.deps.count(name) > 1:
                msg = f"deps names {name!r} twice; give one AssetDef for it"
                raise AssetDefinitionError(msg)
        if self.code_version is not None and not is_storable(self.code_version):
            msg = (
                f"the code_version {self.code_version!r} cannot be stored: it holds half of a "
                "surrogate pair"
            )
            raise AssetDefinitionError(msg)

    def _bind(self, fn: Callable[..., Any] | None) -> None:
        self.fn = fn
        self.context_param: str | None = None
        self.config_model: type[BaseModel] | None = None
        self.inputs: list[str] = []
        self.optional_inputs: set[str] = set()
        self.is_async = False
        if fn is None:
            return
        self.name: str = self._check_name(self._name or str(getattr(fn, "__name__", "")))
        self.is_async = inspect.iscoroutinefunction(fn)
        self._read(fn)
        for name, given in self.upstream_defs.items():
            if given.kind == "input" and name not in self.inputs:
                msg = (
                    f"the asset {self.name!r} has AssetDef.input({name!r}), but no parameter of that "
                    f"name; its parameters are {self.inputs}. Without its value: AssetDef.dep({name!r})"
                )
                raise AssetDefinitionError(msg)
            if given.kind == "dep" and name in self.inputs:
                msg = (
                    f"the asset {self.name!r} has AssetDef.dep({name!r}), and a parameter of that name, "
                    f"which takes its value; use AssetDef.input({name!r})"
                )
                raise AssetDefinitionError(msg)
        functools.update_wrapper(self, fn)
        self.step_fn: Callable[..., Any] = fn  # What its step calls.
        self._is_a_step()

    def _is_a_step(self) -> None:
        # The asset whose step makes this one, and all that the step makes.
        self.step: Asset = self
        self.parts: list[Asset] = [self]

    @staticmethod
    def _check_name(name: str) -> str:
        if not name or not name.isprintable() or _RESERVED & set(name):
            msg = f"an asset needs a printable name without any of | , = / \\, got {name!r}"
            raise AssetDefinitionError(msg)
        return name

    @staticmethod
    def from_multi(
        wraps: Callable[..., Any] | None = None,
        *,
        output_defs: Iterable[AssetDef],
        name: str | None = None,
        **options: Any,
    ) -> Asset:
        """Several assets made by one function, in one step: it yields an `Output` for each.

        The function may also return a list of `Output`s, or be `async`. Its outputs are stored when it
        has ended: an exception fails them all, and a retry makes them all again. Who selects one of
        them selects them all. They have the same partitions, and cannot take each other as inputs.

        Args:
            wraps: The function, where this is no decorator.
            output_defs: The assets.
            name: The step's name, which `config` names it by; the function's by default.
            options: Those of `Asset`, for all outputs.

        Raises:
            AssetDefinitionError: There is no output, two have one name, or as `Asset` raises.

        Example:
            >>> import rivers as rs
            >>> @rs.Asset.from_multi(output_defs=[rs.AssetDef("even"), rs.AssetDef("odd")])
            ... def split():
            ...     yield rs.Output([0, 2], "even")
            ...     yield rs.Output([1, 3], "odd")
            >>> repo = rs.CodeRepository([split]).resolve(rs.Storage.memory())
            >>> repo.materialize(["odd"]).success
            True
            >>> repo.load_node("even")
            [0, 2]
        """
        from rivers.assets.multi_asset import MultiAsset  # noqa: PLC0415  (it is built on this class)

        return MultiAsset(wraps, output_defs=output_defs, name=name, **options)

    @staticmethod
    def from_graph(
        wraps: Callable[..., Any] | None = None, *, name: str | None = None, **options: Any
    ) -> Asset:
        """An asset made by several tasks: the function says which, and how values go between them.

        The function is called once, when the asset is defined. Its parameters name upstream assets and
        stand for their values; it gives them and what tasks give to tasks (`Task`), also in lists,
        tuples and dicts, and returns what the last one gives. In each run the tasks are called one
        after another; what they give stays in memory, and only the asset's value is kept. A task that
        raises fails the asset, and its traceback names the task; a retry begins with the first task.

        Args:
            wraps: The function, where this is no decorator.
            name: The asset's name; the function's by default.
            options: Those of `Asset`.

        Raises:
            AssetDefinitionError: The function does something else with values, calls a task with wrong
                arguments, or returns nothing of a task; or as `Asset` raises.

        Example:
            >>> import rivers as rs
            >>> @rs.Task
            ... def numbers() -> list[int]:
            ...     return [1, 2, 3]
            >>> @rs.Task
            ... def twice(values: list[int]) -> list[int]:
            ...     return [2 * value for value in values]
            >>> @rs.Asset.from_graph(name="doubled")
            ... def pipeline():
            ...     return twice(numbers())
            >>> pipeline()
            [2, 4, 6]
        """
        from rivers.assets.graph_asset import GraphAsset  # noqa: PLC0415  (it is built on this class)

        return GraphAsset(wraps, name=name, **options)

    @staticmethod
    def external(
        name: str,
        *,
        io_handler: BaseIOHandler,
        partitions_def: PartitionsDefinition | str | None = None,
        tags: Mapping[str, str] | Iterable[str] | None = None,
        group: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Asset:
        """An asset that is made elsewhere: others take its values, it is never run.

        It is left out where all assets are meant, and refused where it is selected.

        Args:
            name: The asset's name.
            io_handler: Loads its values.
            partitions_def: How it is partitioned: a definition, or the name of one in
                `CodeRepository(partition_defs=)`.
            tags: Free labels of the asset.
            group: The group it belongs to.
            metadata: Anything worth knowing; the IO handler sees it.

        Raises:
            AssetDefinitionError: An argument is not one an asset can have.

        Example:
            >>> import rivers as rs
            >>> class Lists(rs.BaseIOHandler):
            ...     def load_input(self, context):
            ...         return [2, 3]
            ...
            ...     def handle_output(self, context, value):
            ...         raise NotImplementedError
            >>> prices = rs.Asset.external("prices", io_handler=Lists())
            >>> @rs.Asset
            ... def total(prices: list[int]) -> int:
            ...     return sum(prices)
            >>> repo = rs.CodeRepository([prices, total]).resolve(rs.Storage.memory())
            >>> repo.materialize().success, repo.load_node("total")
            (True, 5)
        """
        from rivers.assets.external_asset import ExternalAsset  # noqa: PLC0415  (it is built on this class)

        return ExternalAsset(
            name, io_handler=io_handler, partitions_def=partitions_def, tags=tags, group=group,
            metadata=metadata,
        )  # fmt: skip

    def _read(self, fn: Callable[..., Any]) -> None:
        read = read_signature(fn, f"the asset {self.name!r}")
        self.inputs, self.optional_inputs = read.inputs, read.optional_inputs
        self.context_param, self.config_model = read.context_param, read.config_model

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Decorate a function, or call the one that was decorated."""
        if self.fn is not None and noted() is not None:
            msg = (
                f"the asset {self.name!r} is called in a graph asset; give the function of that one a "
                f"parameter {self.name!r}, which stands for its value"
            )
            raise AssetDefinitionError(msg)
        if self.fn is not None:
            return self.fn(*args, **kwargs)
        if len(args) != 1 or kwargs or not callable(args[0]):
            msg = "@Asset(...) decorates a function"
            raise AssetDefinitionError(msg)
        return type(self)(args[0], **self._given)

    @property
    def is_declared(self) -> bool:
        """Whether it is an asset, and no decorator that waits for its function."""
        return self.fn is not None or self.is_external

    def __repr__(self) -> str:
        return f"<Asset {self.name!r}>" if self.fn is not None else "<Asset without a function>"


def _pools(
    pool: str | Iterable[str] | None, slots: int | Mapping[str, int] | None
) -> dict[str, int]:
    """Slots by pool."""
    names: list[str] = []
    if isinstance(pool, Iterable) and not isinstance(pool, str):
        names = list(pool)
    elif pool is not None:
        names = [pool]
    if not all(isinstance(name, str) and name for name in names):
        msg = f"pool of an asset must be the name of a pool, or a list of names, got {pool!r}"
        raise AssetDefinitionError(msg)
    unknown = [name for name in slots if name not in names] if isinstance(slots, Mapping) else []
    if unknown or (slots is not None and not isinstance(slots, Mapping) and not names):
        msg = f"pool_slots of an asset is {slots!r}, but its pools are {names}"
        raise AssetDefinitionError(msg)
    taken = {
        name: slots.get(name, 1) if isinstance(slots, Mapping) else 1 if slots is None else slots
        for name in names
    }
    for name, count in taken.items():
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            msg = f"pool_slots of an asset must be an int of at least 1, got {count!r} for {name!r}"
            raise AssetDefinitionError(msg)
    return taken


def _name_of(dep: Asset | DepDef | str) -> str:
    if isinstance(dep, str):
        return dep
    if isinstance(dep, DepDef):
        return dep.name
    if isinstance(dep, Asset) and dep.is_declared and dep.parts == [dep]:
        return dep.name
    msg = f"deps must be assets, their names, AssetDef.input(...) or AssetDef.dep(...), got {dep!r}"
    raise AssetDefinitionError(msg)
