"""Partitions that are skipped: there is intentionally nothing to produce for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rivers._rivers import Space
from rivers._text import storable

if TYPE_CHECKING:
    from rivers._rivers import Run, Selection
    from rivers.execution.steps import Step, Upstream

    LeftOut = dict[str, Selection]
    """By upstream, the partitions that a call does without because they were skipped."""


class Skip(Exception):  # noqa: N818  (it is raised, but it is no error)
    """Raised by a function that intentionally produces nothing for its partitions.

    The partitions count as completed, and tables report them as `skipped`. What needs exactly such a
    partition is skipped too; a dict of several partitions leaves it out. `only_missing` does not select it
    again. To skip some partitions of a run, use `AssetExecutionContext.skip_partition`.

    Args:
        reason: Why there is nothing to produce.

    Example:
        >>> import rivers as rs
        >>> @rs.Asset(partitions_def=rs.PartitionsDefinition.static_(["monday", "sunday"]))
        ... def trades(context: rs.AssetExecutionContext) -> int:
        ...     if context.partition_key == "sunday":
        ...         raise rs.Skip("the exchange is closed")
        ...     return 7
        >>> repo = rs.CodeRepository([trades]).resolve(rs.Storage.memory())
        >>> result = repo.backfill(partition_keys=[rs.PartitionKey.single(["monday", "sunday"])])
        >>> result.status, result.completed
        ('completed', 2)
        >>> repo.partition_status("trades")["status"].to_list()
        ['materialized', 'skipped']
    """

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason


def skip_rest(step: Step, run: Run, selection: Selection | None, reason: object) -> None:
    """Skips the partitions of a step for which nothing was stored.

    Args:
        step: The step.
        run: The run.
        selection: The partitions that the step was called for, or those that are left; `None`: all.
        reason: Why.
    """
    text = storable(str(reason))
    for index in step.indices:
        if selection is None:
            run.mark_skipped(index, None, text)
        else:
            for key in selection.keys():  # noqa: SIM118  (no dict)
                run.mark_skipped(index, key, text)


def follow(step: Step, run: Run, own: Selection) -> LeftOut:
    """Skips what a step cannot produce because what it needs was skipped.

    Args:
        step: The step.
        run: The run.
        own: The partitions that the step is to be called for.

    Returns:
        By upstream, the skipped partitions that the step does without.
    """
    left_out: LeftOut = {}
    for upstream in step.upstreams:
        skipped = _skipped_elsewhere(step, upstream, run, own)
        if upstream.shares_runs and upstream.index is not None:
            if not upstream.gives_several:
                for index in step.indices:
                    run.follow_skips(index, [upstream.index])
            elif (here := run.skipped(upstream.index)) is not None:
                skipped = here.same_in(upstream.space).union(skipped) if skipped else here
        if skipped is None:
            continue
        if upstream.gives_several:
            left_out[upstream.name] = skipped
        else:
            # Many partitions may have been skipped; only few of them are needed here.
            affected = skipped.downstream(own.space, upstream.mapping).intersection(own)
            if affected.num_partitions:
                part = affected if step.partitioned else None
                skip_rest(step, run, part, f"{upstream.name!r} was skipped")
    return left_out


def _skipped_elsewhere(
    step: Step, upstream: Upstream, run: Run, own: Selection
) -> Selection | None:
    """The partitions of an upstream that a step needs and that other runs skipped; `None`: none.

    Of an asset that shares the runs of the step, these are partitions for which it was left out.
    """
    if upstream.shares_runs and upstream.skipped is None:
        return None
    partitions = own if step.partitioned else Space.unpartitioned().all()
    needed = partitions.upstream(upstream.space, upstream.mapping)
    earlier = upstream.skipped.intersection(needed) if upstream.skipped is not None else None
    now = None
    if upstream.index is not None and not upstream.shares_runs:
        now = run.skipped_before(upstream.index, needed)
    found = earlier.union(now) if earlier is not None and now is not None else earlier or now
    return found if found is not None and found.num_partitions else None
