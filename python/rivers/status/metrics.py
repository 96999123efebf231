"""Counts of backfills and partitions in the text format of Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rivers.status.backfill_view import BackfillView

_STATES = ("completed", "failed", "canceled")


def prometheus_text(views: Sequence[BackfillView]) -> str:
    """Returns the metrics of a storage in the text format of Prometheus.

    `rivers_backfills` counts backfills by status; the other metrics are of the backfills in progress, by id:
    partitions by status, those left, partitions per second, seconds left, and whether it is paused
    or interrupted.

    Args:
        views: The backfills of the storage: `BackfillClient.list_views()`.

    Example:
        >>> import rivers as rs
        >>> from rivers.status.metrics import prometheus_text
        >>> text = prometheus_text(rs.BackfillClient(rs.Storage.memory()).list_views())
        >>> 'rivers_backfills{status="failed"} 0' in text
        True
    """
    counts = {"in_progress": 0} | dict.fromkeys(_STATES, 0)
    for view in views:
        counts[view.status] += 1
    live = [view for view in views if view.status == "in_progress"]
    parts = [
        _metric("rivers_backfills", "Number of backfills.", (
            ({"status": status}, count) for status, count in counts.items()
        )),
        _metric("rivers_backfill_partitions", "Partitions of a backfill in progress.", (
            (_labels(view, status=state), getattr(view, state)) for view in live for state in _STATES
        )),
        _metric("rivers_backfill_partitions_left", "Partitions that have not ended.", (
            (_labels(view), view.num_partitions - view.num_ended) for view in live
        )),
        _metric("rivers_backfill_partitions_per_second", "Partitions that ended per second.", (
            (_labels(view), view.rate) for view in live if view.rate is not None
        )),
        _metric("rivers_backfill_seconds_left", "Estimated seconds until the end.", (
            (_labels(view), view.eta) for view in live if view.eta is not None
        )),
        _metric("rivers_backfill_paused", "Whether no new run starts.", (
            (_labels(view), int(view.paused)) for view in live
        )),
        _metric("rivers_backfill_interrupted", "Whether its process is dead.", (
            (_labels(view), int(view.interrupted)) for view in live
        )),
    ]  # fmt: skip
    return "".join(parts)


def _labels(view: BackfillView, **others: str) -> dict[str, str]:
    return {"backfill": view.backfill_id, **others}


def _metric(name: str, text: str, samples: Iterable[tuple[dict[str, str], float]]) -> str:
    """One metric, which is a gauge, with its samples."""
    lines = [f"# HELP {name} {text}", f"# TYPE {name} gauge"]
    for labels, value in samples:
        shown = ",".join(f'{label}="{_escaped(content)}"' for label, content in labels.items())
        lines.append(f"{name}{{{shown}}} {value}")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
