"""`BackfillStrategy`: how the partitions of a backfill are grouped into runs."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from rivers._rivers import check_per_dimension
from rivers._text import quoted
from rivers._validation import check_count
from rivers.exceptions import ConfigurationError

if TYPE_CHECKING:
    from typing import TypeAlias


class BackfillStrategy:
    """Controls how partition keys are grouped into runs during a backfill.

    Make one with `multi_run`, `single_run`, `per_dimension` or `chunked`; the kinds are
    `BackfillStrategy.MultiRun`, `.SingleRun`, `.PerDimension` and `.Chunked`.

    Example:
        >>> from rivers import BackfillStrategy
        >>> BackfillStrategy.per_dimension(multi_run=["date"], single_run=["region"])
        BackfillStrategy.per_dimension(multi_run=["date"], single_run=["region"])
    """

    if TYPE_CHECKING:
        MultiRun: TypeAlias = "_MultiRun"
        SingleRun: TypeAlias = "_SingleRun"
        PerDimension: TypeAlias = "_PerDimension"
        Chunked: TypeAlias = "_Chunked"

    kind: ClassVar[Literal["multi_run", "single_run", "per_dimension", "chunked"]]
    """The name of the factory that makes this kind of strategy."""

    def __init__(self) -> None:
        msg = "use BackfillStrategy.multi_run(), .single_run(), .per_dimension() or .chunked()"
        raise TypeError(msg)

    @staticmethod
    def multi_run() -> BackfillStrategy.MultiRun:
        """One run per partition (the default)."""
        return _MultiRun()

    @staticmethod
    def single_run() -> BackfillStrategy.SingleRun:
        """All partitions in a single run."""
        return _SingleRun()

    @staticmethod
    def per_dimension(multi_run: list[str], single_run: list[str]) -> BackfillStrategy.PerDimension:
        """One run per distinct combination of some dimensions of the selected partitions.

        Args:
            multi_run: Dimensions iterated across runs; at least one.
            single_run: Dimensions batched within each run; at least one. A dimension in neither
                list is batched too.

        Raises:
            ConfigurationError: A list is empty or names a dimension twice, or both name one.
        """
        return _PerDimension(multi_run, single_run)

    @staticmethod
    def chunked(n: int) -> BackfillStrategy.Chunked:
        """Runs of up to `n` partitions each: between `multi_run` and `single_run`.

        Chunks follow the order that `multi_run` would execute: definition order for a range, the given
        order for explicit keys. Within a run, partitions are in definition order.

        Args:
            n: Maximum number of partitions in a run, at least 1. Only the last run can have fewer.

        Raises:
            ConfigurationError: `n` is not an int, or is less than 1.

        Example:
            >>> import rivers as rs
            >>> days = rs.PartitionsDefinition.daily("2024-01-01", end="2025-01-01")
            >>> @rs.Asset(partitions_def=days, backfill_strategy=rs.BackfillStrategy.chunked(100))
            ... def sales(context: rs.AssetExecutionContext) -> int:
            ...     return len(context.partition.keys)
            >>> with rs.CodeRepository([sales]).resolve(rs.Storage.memory()) as repo:
            ...     result = repo.backfill(
            ...         partition_range=rs.PartitionKeyRange.single("2024-01-01", "2024-12-31")
            ...     )
            >>> result.num_partitions, result.num_runs
            (366, 4)
        """
        return _Chunked(n)

    @staticmethod
    def parse(text: str, *, argument: str = "strategy") -> BackfillStrategy:
        """Reads a strategy from text: the inverse of `repr()`, and the grammar of `--strategy`.

        Args:
            text: `multi_run`, `single_run`, `chunked(100)`, a `repr()`, the `strategy` column of
                `backfills()`, or a kind for each dimension such as `date=multi,region=single`.
            argument: What an error message calls the text.

        Raises:
            ConfigurationError: The text has none of these forms, or an argument in it is not allowed.

        Example:
            >>> from rivers import BackfillStrategy
            >>> BackfillStrategy.parse("chunked(100)")
            BackfillStrategy.chunked(100)
            >>> BackfillStrategy.parse("date=multi,region=single")
            BackfillStrategy.per_dimension(multi_run=["date"], single_run=["region"])
        """
        refused = ConfigurationError(
            f"{argument} is multi_run, single_run, chunked(n), or a kind for each dimension such as "
            f"date=multi,region=single; got {text!r}"
        )
        call = _call(text)
        if call is not None:
            kind, positional, named = call
            try:
                strategy: BackfillStrategy = kind(*positional, **named)
            except TypeError:
                raise refused from None
            return strategy
        dimensions: dict[str, list[str]] = {"multi": [], "single": []}
        for part in text.split(","):
            name, _, word = part.partition("=")
            if not name or word not in dimensions:
                raise refused
            dimensions[word].append(name)
        return _PerDimension(dimensions["multi"], dimensions["single"])

    def _arguments(self) -> str:
        """The arguments of the factory, as they stand in the `repr`."""
        return ""

    def __repr__(self) -> str:
        return f"BackfillStrategy.{self.kind}({self._arguments()})"


@dataclass(frozen=True, repr=False)
class _MultiRun(BackfillStrategy):
    """One run per partition."""

    kind = "multi_run"


@dataclass(frozen=True, repr=False)
class _SingleRun(BackfillStrategy):
    """All partitions in a single run."""

    kind = "single_run"


@dataclass(frozen=True, repr=False)
class _PerDimension(BackfillStrategy):
    """One run per distinct combination of the `multi_run` dimensions.

    Attributes:
        multi_run: Dimensions iterated across runs.
        single_run: Dimensions batched within each run.
    """

    kind = "per_dimension"

    # These fields hide the factories of the same names, which are not called on a strategy.
    multi_run: list[str]  # type: ignore[assignment]
    single_run: list[str]  # type: ignore[assignment]

    def __post_init__(self) -> None:
        for name in ("multi_run", "single_run"):
            given = getattr(self, name)
            if not isinstance(given, list | tuple) or not all(isinstance(d, str) for d in given):
                msg = f"{name} must be a list of dimension names, got {given!r}"
                raise TypeError(msg)
            object.__setattr__(self, name, list(given))
        check_per_dimension(self.multi_run, self.single_run)

    def __hash__(self) -> int:
        return hash((tuple(self.multi_run), tuple(self.single_run)))

    def _arguments(self) -> str:
        return (
            f"multi_run={_quoted_list(self.multi_run)}, single_run={_quoted_list(self.single_run)}"
        )


@dataclass(frozen=True, repr=False)
class _Chunked(BackfillStrategy):
    """Runs of up to `n` partitions each, in order.

    Attributes:
        n: Maximum number of partitions in a run.
    """

    kind = "chunked"

    n: int

    def __post_init__(self) -> None:
        check_count("n", self.n)

    def _arguments(self) -> str:
        return str(self.n)


_KINDS: tuple[type[Any], ...] = (_MultiRun, _SingleRun, _PerDimension, _Chunked)

for _kind in _KINDS:
    _kind.__name__ = _kind.__name__.removeprefix("_")
    _kind.__qualname__ = f"BackfillStrategy.{_kind.__name__}"
    setattr(BackfillStrategy, _kind.__name__, _kind)


def _quoted_list(names: list[str]) -> str:
    return f"[{', '.join(map(quoted, names))}]"


def _call(text: str) -> tuple[type[Any], list[Any], dict[str, Any]] | None:
    """The class that a text names, with positional and named arguments; `None` if it names none."""
    try:
        found = ast.parse(text.strip(), mode="eval").body
        arguments = (found.args, found.keywords) if isinstance(found, ast.Call) else ([], [])
        name = ast.unparse(found.func if isinstance(found, ast.Call) else found)
        positional = [ast.literal_eval(value) for value in arguments[0]]
        named = {keyword.arg or "": ast.literal_eval(keyword.value) for keyword in arguments[1]}
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    name = name.removeprefix("BackfillStrategy.")
    kind = next((kind for kind in _KINDS if name in (kind.kind, kind.__name__)), None)
    return None if kind is None else (kind, positional, named)
