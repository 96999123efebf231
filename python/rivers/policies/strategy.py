"""How partitions are grouped into runs (API page, "BackfillStrategy"; SEMANTICS 5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rivers._rivers import check_per_dimension
from rivers._validation import check_count

if TYPE_CHECKING:
    from typing import TypeAlias


class BackfillStrategy:
    """Controls how partition keys are grouped into runs during a backfill.

    Make one with `multi_run`, `single_run`, `per_dimension` or `chunked`; the kinds are
    `BackfillStrategy.MultiRun`, `.SingleRun`, `.PerDimension` and `.Chunked`.

    Example:
        >>> from rivers import BackfillStrategy
        >>> BackfillStrategy.per_dimension(multi_run=["date"], single_run=["region"])
        BackfillStrategy.PerDimension(multi_run=['date'], single_run=['region'])
    """

    if TYPE_CHECKING:
        MultiRun: TypeAlias = "_MultiRun"
        SingleRun: TypeAlias = "_SingleRun"
        PerDimension: TypeAlias = "_PerDimension"
        Chunked: TypeAlias = "_Chunked"

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

        The partitions are taken in the order in which single runs would come: of a range in definition
        order, of explicit keys in the order given. Inside a run they stand in definition order.

        Args:
            n: Most partitions of a run, 1 or more; only the last run has fewer.

        Raises:
            ConfigurationError: `n` is no int, or below 1.

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


@dataclass(frozen=True)
class _MultiRun(BackfillStrategy):
    """One run per partition."""

    is_single_run: ClassVar[bool] = False


@dataclass(frozen=True)
class _SingleRun(BackfillStrategy):
    """All partitions in a single run."""

    is_single_run: ClassVar[bool] = True


@dataclass(frozen=True)
class _PerDimension(BackfillStrategy):
    """One run per distinct combination of the `multi_run` dimensions.

    Attributes:
        multi_run: Dimensions iterated across runs.
        single_run: Dimensions batched within each run.
    """

    # These hide the constructors of the same names, which nobody calls on a strategy.
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


@dataclass(frozen=True)
class _Chunked(BackfillStrategy):
    """Runs of up to `n` partitions each, in order.

    Attributes:
        n: Most partitions of a run.
    """

    n: int

    def __post_init__(self) -> None:
        check_count("n", self.n)


for _kind in (_MultiRun, _SingleRun, _PerDimension, _Chunked):
    _kind.__name__ = _kind.__name__.removeprefix("_")
    _kind.__qualname__ = f"BackfillStrategy.{_kind.__name__}"
    setattr(BackfillStrategy, _kind.__name__, _kind)
