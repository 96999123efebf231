"""How a backfill stands, as JSON for programs: the names are those of the Python API."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rivers.status.backfill_view import BackfillView


def view_json(view: BackfillView, error: str | None) -> dict[str, Any]:
    """The fields of a view and what `backfills()` has besides, with times as ISO 8601; what a list shows."""
    fields = asdict(view)
    times = {name: fields[name] and fields[name].isoformat() for name in ("created_at", "ended_at")}
    of_table = {
        "pending": view.num_partitions - view.num_ended,
        "owner_alive": None if view.status != "in_progress" else not view.interrupted,
        "error": error,
    }
    return fields | times | of_table


def status_json(view: BackfillView, error: str | None) -> dict[str, Any]:
    """A view with everything that `BackfillStatus` has, too, but for the ids of its runs."""
    return view_json(view, error) | {
        "total_partitions": view.num_partitions,
        "completed_partitions": view.completed,
        "failed_partitions": view.failed,
        "canceled_partitions": view.canceled,
        "eta": view.eta,
    }
