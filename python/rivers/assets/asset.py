"""Assets: what a user declares, mostly by decorating functions."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, Generic, overload

from rivers._text import did_you_mean, is_storable
from rivers._validation import check_timeout
from rivers.assets.asset_def import AssetDef, DepDef, read_kinds, read_tags, slots_by_pool
from rivers.assets.graph_asset import trace_graph
from rivers.assets.multi_asset import check_output_defs, input_defs, is_async
from rivers.assets.options import P, R
from rivers.assets.signature import read_signature
from rivers.assets.step_def import StepDef
from rivers.assets.tracing import current_trace
from rivers.assets.upstreams import check_upstream_defs, checked_name, read_deps
from rivers.exceptions import AssetDefinitionError
from rivers.execution.compute import Compute
from rivers.execution.outputs import Materialization
from rivers.execution.steps import Labels
from rivers.execution.task_context import TaskExecutionContext
from rivers.io.base import BaseIOHandler
from rivers.partitions import PartitionMapping, PartitionsDefinition
from rivers.policies.hook import read_hooks
from rivers.policies.retry import RetryPolicy
from rivers.policies.strategy import BackfillStrategy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Self, Unpack

    from rivers.assets.options import P2, R2, AssetOptions, SingleAssetOptions, Undecorated
    from rivers.policies.hook import Hook


class Asset(Generic[P, R]):
    """A data asset: a function that computes it, and how it is partitioned and stored.

    Used as a decorator, bare or with arguments. The function's parameters name upstream assets and
    receive their values; a parameter named `context`, or annotated with `AssetExecutionContext`,
    receives the context. `async def` works. Called directly, an asset is its function.

    Args:
        fn: The function.
        name: Name of the asset; by default the function's.
        partitions_def: How the asset is partitioned: a definition, or the name of one in
            `CodeRepository(partition_defs=)`.
        backfill_strategy: How partitions are grouped into runs when `backfill()` has no `strategy`.
        io_handler: Stores what the function returns; by default beside the storage. Or the name of one in
            `CodeRepository(resources=)`. `None` is not passed to it.
        deps: Assets, or their names, that must be executed first, without taking their values; or
            `AssetDef.input(...)` and `AssetDef.dep(...)`, which add options for one upstream.
        tags: Free labels.
        kinds: Labels that say what the asset is, such as `"table"`; a single `str` is one kind.
        group: Name of the group that the asset belongs to.
        metadata: Free facts about the asset; the IO handler receives them.
        code_version: Recorded with each materialization.
        retry: Whether and when the asset is retried after an exception: a policy, or the name of one
            in `CodeRepository(retries=)`. `backfill(retry=)` takes
            precedence over it, and it over `CodeRepository(default_retry_policy=)`.
        timeout: Maximum duration of a call of the function, in seconds. After that the call fails with
            `TimeoutError`, and is retried like other failures. A worker process is killed, a coroutine
            canceled, and a thread abandoned: its function goes on, but what it returns is dropped.
            `backfill(timeout=)` takes precedence over it.
        pool: One pool or several of `CodeRepository(pool_limits=)` that the asset takes slots of. A run
            holds the largest number that one of its assets needs of each pool, from start to end.
        pool_slots: Number of slots; with several pools also a dict by pool. One by default.
        hooks: What is called when a run has executed the asset: see `Hook`.
        compute: What the asset needs of the machine that executes it, where the executor has several:
            a dict with `num_cpus` (one by default), `num_gpus`, `memory` in bytes, `resources` (amounts by
            name) or `accelerator_type`, as Ray names them. A run takes the largest amount of each that one
            of its assets needs. Executors on this machine do not look at it.

    Raises:
        AssetDefinitionError: An argument or the function's signature is invalid.

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

    name: str
    """Name of the asset; of a multi-asset, name of the step."""

    step: StepDef
    """The step that makes the asset."""

    assets: list[Asset]
    """The asset itself; of a multi-asset, the assets of its outputs."""

    def __new__(cls, *_args: object, **_options: object) -> Self:
        """Makes a `SingleAsset` where `Asset` itself is called."""
        return object.__new__(SingleAsset if cls is Asset else cls)  # type: ignore[return-value]

    @overload
    def __init__(
        self: Asset[P2, R2], fn: Callable[P2, R2], **options: Unpack[SingleAssetOptions]
    ) -> None: ...

    @overload
    def __init__(
        self: Asset[..., Undecorated], fn: None = None, **options: Unpack[SingleAssetOptions]
    ) -> None: ...

    def __init__(
        self,
        fn: Callable[..., Any] | None = None,
        *,
        name: str | None = None,
        partitions_def: PartitionsDefinition | str | None = None,
        backfill_strategy: BackfillStrategy | None = None,
        io_handler: BaseIOHandler | str | None = None,
        deps: Iterable[Asset | DepDef | str] | None = None,
        tags: Mapping[str, str] | Iterable[str] | None = None,
        kinds: str | Iterable[str] | None = None,
        group: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        code_version: str | None = None,
        retry: RetryPolicy | str | None = None,
        timeout: float | None = None,
        pool: str | Iterable[str | tuple[str, int]] | None = None,
        pool_slots: int | Mapping[str, int] | None = None,
        hooks: Iterable[Hook] | None = None,
        compute: Mapping[str, Any] | None = None,
    ) -> None:
        if fn is not None and not callable(fn):
            msg = f"@Asset decorates a function, got {fn!r}; its arguments are keywords"
            raise AssetDefinitionError(msg)
        upstreams = list(deps or ())
        self._options: dict[str, Any] = {
            "name": name, "partitions_def": partitions_def, "backfill_strategy": backfill_strategy,
            "io_handler": io_handler, "deps": upstreams, "tags": tags, "kinds": kinds,
            "group": group, "metadata": metadata, "code_version": code_version, "retry": retry,
            "timeout": timeout, "pool": pool, "pool_slots": pool_slots, "hooks": hooks,
            "compute": compute,
        }  # fmt: skip
        self.partitions_def = partitions_def
        self.backfill_strategy = backfill_strategy
        self.io_handler = io_handler
        self.deps, self.upstream_defs = read_deps(upstreams)
        self.tags = read_tags(tags)
        self.kinds: list[str] = read_kinds(kinds)
        self.group: str | None = group
        self.metadata = dict(metadata or {})
        self.code_version = code_version
        self.retry = retry
        self.timeout = check_timeout("timeout", timeout)
        self.hooks = read_hooks(hooks)
        self.compute = Compute.read("an asset" if name is None else f"the asset {name!r}", compute)
        self.pool = list(slots_by_pool(pool, pool_slots).items())
        self._check_options()
        if fn is not None:
            self._declare(fn)

    # -- other kinds of assets ---------------------------------------------------------------------

    @overload
    @staticmethod
    def from_multi(
        wraps: Callable[P2, R2],
        *,
        output_defs: Iterable[AssetDef],
        name: str | None = None,
        **options: Unpack[AssetOptions],
    ) -> MultiAsset[P2, R2]: ...

    @overload
    @staticmethod
    def from_multi(
        wraps: None = None,
        *,
        output_defs: Iterable[AssetDef],
        name: str | None = None,
        **options: Unpack[AssetOptions],
    ) -> Callable[[Callable[P2, R2]], MultiAsset[P2, R2]]: ...

    @staticmethod
    def from_multi(
        wraps: Callable[..., Any] | None = None,
        *,
        output_defs: Iterable[AssetDef],
        name: str | None = None,
        **options: Unpack[AssetOptions],
    ) -> Any:
        """Declares several assets made by one function, which yields an `Output` for each.

        Each output is stored as it is yielded: an exception fails only the others, and a retry is for these.
        The function may also return a list of `Output`s or a dict of values by output, or be `async`. What
        it returns is stored after it has ended: an exception fails all outputs. Only the selected outputs
        are stored and recorded; the function may leave the others out (`context.output_selection`). Outputs
        cannot take each other as inputs. Their partitions may differ, if they are of one kind and share a
        key; a run then has partitions of each selected output.

        Args:
            wraps: The function, if this is not used as a decorator.
            output_defs: The assets.
            name: Name of the step, by which `config` refers to it; by default the function's.
            options: Options of `Asset`, for all outputs.

        Raises:
            AssetDefinitionError: There is no output, two have the same name, or as for `Asset`.

        Example:
            >>> import rivers as rs
            >>> @rs.Asset.from_multi(output_defs=[rs.AssetDef("even"), rs.AssetDef("odd")])
            ... def split():
            ...     yield rs.Output([0, 2], "even")
            ...     yield rs.Output([1, 3], "odd")
            >>> repo = rs.CodeRepository([split]).resolve(rs.Storage.memory())
            >>> repo.materialize(["even"]).success
            True
            >>> repo.load_node("even")
            [0, 2]
        """
        return MultiAsset(wraps, output_defs=output_defs, name=name, **options)

    @overload
    @staticmethod
    def from_graph(
        wraps: Callable[P2, R2],
        *,
        name: str | None = None,
        node_io_handler: BaseIOHandler | str | None = None,
        **options: Unpack[AssetOptions],
    ) -> GraphAsset[P2, R2]: ...

    @overload
    @staticmethod
    def from_graph(
        wraps: None = None,
        *,
        name: str | None = None,
        node_io_handler: BaseIOHandler | str | None = None,
        **options: Unpack[AssetOptions],
    ) -> Callable[[Callable[P2, R2]], GraphAsset[P2, R2]]: ...

    @staticmethod
    def from_graph(
        wraps: Callable[..., Any] | None = None,
        *,
        name: str | None = None,
        node_io_handler: BaseIOHandler | str | None = None,
        **options: Unpack[AssetOptions],
    ) -> Any:
        """Declares an asset made by several tasks; the function connects them.

        The function is called once, when the asset is defined. Its parameters name upstream assets and
        stand for their values; so does an upstream asset that it calls, without arguments. It passes
        values, and what tasks return, to other tasks (`Task`), also inside lists, tuples and dicts, and
        returns what the last task returned. Each run executes the tasks one after another. What they
        return stays in memory, unless there is a `node_io_handler`; the asset's value is stored. A task
        that raises fails the asset, and the traceback names it; a retry of the asset starts at the
        first task.

        Args:
            wraps: The function, if this is not used as a decorator.
            name: Name of the asset; by default the function's.
            node_io_handler: Stores what each task returns (a handler, or the name of a resource that is
                one), under the name `asset/task`, from which
                `load_node` loads it. A task that is called more than once has a number from the second
                call on: `asset/task_2`.
            options: Options of `Asset`.

        Raises:
            AssetDefinitionError: The function uses a value other than by passing it to a task, calls a
                task with arguments that do not fit, or returns nothing that a task returned; or as for
                `Asset`.

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
        return GraphAsset(wraps, name=name, node_io_handler=node_io_handler, **options)

    @staticmethod
    def external(
        name: str,
        *,
        io_handler: BaseIOHandler | str,
        partitions_def: PartitionsDefinition | str | None = None,
        tags: Mapping[str, str] | Iterable[str] | None = None,
        kinds: str | Iterable[str] | None = None,
        group: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> ExternalAsset:
        """Declares an asset made elsewhere: others take its values, and it is never executed.

        A selection of all assets leaves it out; selecting it by name is refused.

        Args:
            name: Name of the asset.
            io_handler: Loads its values; also the name of a resource that is a handler.
            partitions_def: How the asset is partitioned: a definition, or the name of one in
                `CodeRepository(partition_defs=)`.
            tags: Free labels.
            kinds: Labels that say what the asset is, such as `"table"`.
            group: Name of the group that the asset belongs to.
            metadata: Free facts about the asset; the IO handler receives them.

        Raises:
            AssetDefinitionError: An argument is invalid.

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
        return ExternalAsset(
            name, io_handler=io_handler, partitions_def=partitions_def, tags=tags, kinds=kinds,
            group=group, metadata=metadata,
        )  # fmt: skip

    # -- what it is --------------------------------------------------------------------------------

    @property
    def is_declared(self) -> bool:
        """Whether it is an asset, rather than `Asset(...)` that has not decorated a function yet."""
        return "step" in self.__dict__

    @property
    def is_single(self) -> bool:
        """Whether one function makes this asset only: what `@Asset` makes."""
        return isinstance(self, SingleAsset)

    @property
    def is_multi(self) -> bool:
        """Whether one function makes it together with others: what `Asset.from_multi` makes."""
        return isinstance(self, MultiAsset)

    @property
    def is_graph(self) -> bool:
        """Whether tasks make it: what `Asset.from_graph` makes."""
        return isinstance(self, GraphAsset)

    @property
    def is_external(self) -> bool:
        """Whether it is made elsewhere: what `Asset.external` makes."""
        return isinstance(self, ExternalAsset)

    @property
    def is_async(self) -> bool:
        """Whether a run awaits its function, or one of its tasks."""
        return self.is_declared and self.step.is_async

    @property
    def has_value(self) -> bool:
        """Whether its function returns a value: not if it is annotated `-> None`."""
        return self.step.signature.return_hint is not type(None)

    @property
    def keeps_value(self) -> bool:
        """Whether its handler keeps a value: not if it has none, or is annotated `-> Materialization`."""
        return self.has_value and self.step.signature.return_hint is not Materialization

    @property
    def pools(self) -> dict[str, int]:
        """Slots that it takes, by pool."""
        return dict(self.pool)

    @property
    def partition_mapping(self) -> dict[str, PartitionMapping] | None:
        """The declared partition mapping of each upstream that has one; `None` if none has."""
        mappings = {
            name: given.partition_mapping
            for name, given in self.upstream_defs.items()
            if given.partition_mapping is not None
        }
        return mappings or None

    @overload
    def __call__(self: Asset[..., Undecorated], fn: Callable[P2, R2], /) -> SingleAsset[P2, R2]: ...

    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Decorates a function, or calls the one that was decorated."""
        if not self.is_declared:
            if len(args) != 1 or kwargs or not callable(args[0]):
                msg = "@Asset(...) decorates a function"
                raise AssetDefinitionError(msg)
            return type(self)(args[0], **self._options)
        trace = current_trace()
        if trace is None:
            return self._call(*args, **kwargs)
        # In the function of a graph asset, the call stands for this asset's value.
        if args or kwargs or self.assets != [self]:
            msg = (
                f"the asset {self.name!r} is called in a graph asset, where the call stands for its value: "
                "call one asset, without arguments"
            )
            raise AssetDefinitionError(msg)
        return trace.take(self.name)

    def _call(self, *args: Any, **kwargs: Any) -> Any:
        return self.step.fn(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<Asset {self.name!r}>" if self.is_declared else "<Asset without a function>"

    def _repr_html_(self) -> str:
        from rivers.partitions.notebook import facts_of, table  # noqa: PLC0415  (notebooks alone need it)

        definition = self.partitions_def
        facts = {"group": self.group or "", "kinds": ", ".join(self.kinds)}
        if isinstance(definition, str):
            facts["partitions"] = f"those called {definition!r}"
        else:
            facts |= (
                {"partitions": "not partitioned"} if definition is None else facts_of(definition)
            )
        return table(repr(self), facts)

    # -- checks and declaration --------------------------------------------------------------------

    def _check_options(self) -> None:
        allowed: dict[str, tuple[type, ...]] = {
            "name": (str,),
            "partitions_def": (PartitionsDefinition, str),
            "backfill_strategy": (BackfillStrategy,),
            "io_handler": (BaseIOHandler, str),
            "group": (str,),
            "code_version": (str,),
            "retry": (RetryPolicy, str),
        }
        for option, kinds in allowed.items():
            value = self._options[option]
            if value is not None and not isinstance(value, kinds):
                expected = " or ".join(kind.__name__ for kind in kinds)
                msg = f"{option} of an asset must be a {expected}, got {value!r}"
                raise AssetDefinitionError(msg)
        if self.code_version is not None and not is_storable(self.code_version):
            msg = (
                f"the code_version {self.code_version!r} cannot be stored: it holds half of a "
                "surrogate pair"
            )
            raise AssetDefinitionError(msg)

    def _declare(self, fn: Callable[..., Any]) -> None:
        """Makes the step of the function, and so the asset."""
        name = checked_name(self._options["name"] or str(getattr(fn, "__name__", "")))
        step = self._step_of(fn, name)
        if step.signature.context_class is TaskExecutionContext:
            msg = (
                f"the asset {name!r} takes a TaskExecutionContext, which only a task gets; annotate "
                "AssetExecutionContext"
            )
            raise AssetDefinitionError(msg)
        step.retry, step.timeout = self.retry, self.timeout
        step.pools, step.metadata = self.pools, self.metadata
        step.hooks, step.compute = self.hooks, self.compute
        step.labels = Labels(self.tags, self.kinds, self.group, self.code_version)
        check_upstream_defs(name, self.upstream_defs, step.signature.inputs)
        functools.update_wrapper(self, fn, updated=())  # Its attributes are not the asset's.
        self._made_by(step, name)

    def _step_of(self, fn: Callable[..., Any], name: str) -> StepDef:
        """Returns the step, without its options."""
        signature = read_signature(fn, f"the asset {name!r}")
        return StepDef("single", name, [name], fn, fn, is_async(fn), signature)

    def _made_by(self, step: StepDef, name: str) -> None:
        self.name, self.step, self.assets = name, step, [self]


class SingleAsset(Asset[P, R]):
    """The kind of asset that `@Asset` makes: one function, one asset."""


class MultiAsset(Asset[P, R]):
    """The kind of asset that `Asset.from_multi` makes: one function, several assets.

    Each of its `assets` is of this kind, too, and shares its step.
    """

    def __init__(
        self,
        fn: Callable[..., Any] | None = None,
        *,
        output_defs: Iterable[AssetDef],
        **options: Any,
    ) -> None:
        self.output_defs = check_output_defs(output_defs)
        super().__init__(fn, **options)  # type: ignore[arg-type]  # It may have no function yet.
        self._options["output_defs"] = self.output_defs

    def _step_of(self, fn: Callable[..., Any], name: str) -> StepDef:
        outputs = [checked_name(output.name) for output in self.output_defs]
        signature = read_signature(fn, f"the asset {name!r}")
        # An annotation says what the function returns for all outputs, so it is of none of them.
        signature.return_hint = None
        return StepDef("multi", name, outputs, fn, fn, is_async(fn), signature)

    def _made_by(self, step: StepDef, name: str) -> None:
        super()._made_by(step, name)
        inputs = input_defs(name, self.upstream_defs, self.output_defs, step.signature.inputs)
        check_upstream_defs(name, inputs, step.signature.inputs)
        self.assets = [self._asset_of(output, inputs) for output in self.output_defs]

    def _asset_of(self, output: AssetDef, inputs: dict[str, DepDef]) -> Asset:
        """Returns the asset of one output."""
        options = {
            **self._options,
            "tags": self.tags if output.tags is None else output.tags,
            "kinds": output.kinds or self.kinds,
            "group": output.group or self.group,
            "code_version": output.code_version or self.code_version,
            "io_handler": output.io_handler or self.io_handler,
            "metadata": {**self.metadata, **(output.metadata or {})},
            "partitions_def": self.partitions_def or output.partitions_def,
            "pool": None,
            "pool_slots": None,
            "deps": None,
        }
        asset = MultiAsset(output_defs=self.output_defs, **options)
        asset.pool = output.pool or self.pool
        asset.deps, asset.upstream_defs = self._upstreams_of(output, inputs)
        Asset._made_by(asset, self.step, output.name)  # noqa: SLF001  (it has no outputs of its own)
        return asset

    def _upstreams_of(
        self, output: AssetDef, inputs: dict[str, DepDef]
    ) -> tuple[list[str], dict[str, DepDef]]:
        """Returns the names of an output's upstream assets, and what is declared about them."""
        deps, upstream_defs = read_deps(output.deps)
        deps = list(dict.fromkeys([*self.deps, *deps, *inputs]))
        upstream_defs = {**self.upstream_defs, **upstream_defs, **inputs}
        check_upstream_defs(output.name, upstream_defs, self.step.signature.inputs)
        known = [*deps, *self.step.signature.inputs]
        for upstream, mapping in (output.partition_mapping or {}).items():
            if upstream not in deps:
                msg = (
                    f"partition_mapping of the output {output.name!r} names {upstream!r}, which is neither "
                    f"a parameter nor one of its deps{did_you_mean(upstream, known)}"
                )
                raise AssetDefinitionError(msg)
            upstream_defs.setdefault(upstream, DepDef("dep", upstream, mapping))
        return deps, upstream_defs


class GraphAsset(Asset[P, R]):
    """The kind of asset that `Asset.from_graph` makes: one asset, made by several tasks."""

    def __init__(
        self,
        fn: Callable[..., Any] | None = None,
        *,
        node_io_handler: BaseIOHandler | str | None = None,
        **options: Any,
    ) -> None:
        if node_io_handler is not None and not isinstance(node_io_handler, BaseIOHandler | str):
            msg = (
                "node_io_handler of an asset must be a BaseIOHandler or the name of a resource, got "
                f"{node_io_handler!r}"
            )
            raise AssetDefinitionError(msg)
        self.node_io_handler = node_io_handler
        super().__init__(fn, **options)  # type: ignore[arg-type]  # It may have no function yet.
        self._options["node_io_handler"] = node_io_handler

    def _step_of(self, fn: Callable[..., Any], name: str) -> StepDef:
        traced, signature = trace_graph(fn, name, self.node_io_handler)
        call = traced.call_async if traced.is_async else traced
        step = StepDef("graph", name, [name], fn, call, traced.is_async, signature)
        step.traced = traced
        return step

    def _call(self, *args: Any, **kwargs: Any) -> Any:
        """Executes the tasks; inputs that only tasks take are keyword arguments."""
        inputs = self.step.signature.inputs
        parameters = inspect.signature(self.step.fn).parameters
        extra = {
            name: kwargs.pop(name) for name in inputs if name in kwargs and name not in parameters
        }
        bound = inspect.signature(self.step.fn).bind(*args, **kwargs)
        return self.step.call(**bound.arguments, **extra)


class ExternalAsset(Asset):
    """The kind of asset that `Asset.external` makes: nothing computes it here."""

    def __init__(self, name: str, *, io_handler: BaseIOHandler | str, **options: Any) -> None:
        if io_handler is None:
            msg = f"the external asset {name!r} needs an io_handler, which loads its values"
            raise AssetDefinitionError(msg)
        if not isinstance(name, str):
            msg = f"name of an external asset must be a str, got {name!r}"
            raise AssetDefinitionError(msg)
        super().__init__(name=name, io_handler=io_handler, **options)
        fn = self._has_no_function
        self._made_by(StepDef("external", checked_name(name), [name], fn, fn), name)

    def _has_no_function(self, *_args: object, **_arguments: object) -> None:
        msg = (
            f"the asset {self.name!r} is external: it has no function; load_node() gives its value"
        )
        raise AssetDefinitionError(msg)

    def __repr__(self) -> str:
        return f"<external Asset {self.name!r}>"
