"""What a storage has recorded of a backfill that is run again or continued."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rivers.exceptions import ConfigurationError
from rivers.planning.launch_info import LaunchInfo
from rivers.planning.request import BackfillRequest

if TYPE_CHECKING:
    from rivers._rivers import Selection
    from rivers._storage import Store


def request_of(store: Store, backfill_id: str) -> BackfillRequest:
    """The options of a backfill."""
    text = store.request(backfill_id)
    if text is None:
        raise AssertionError  # The caller has its record, and nothing is ever deleted.
    return BackfillRequest.from_json(text)


def launch_of(store: Store, backfill_id: str) -> LaunchInfo:
    """How a backfill was launched."""
    text = store.request(backfill_id)
    return LaunchInfo.from_json(None if text is None else json.loads(text).get("launch"))


def origins_of(store: Store, backfill_id: str) -> list[str]:
    """Ids of a backfill and of those that it runs again."""
    origins: list[str] = []
    origin: str | None = backfill_id
    while origin is not None and origin not in origins:
        origins.append(origin)
        text = store.request(origin)
        origin = None if text is None else BackfillRequest.from_json(text).rerun_of
    return origins


def failed_with(store: Store, backfill_id: str, error_type: str) -> list[Selection]:
    """The partitions that failed with this type of error, by layer.

    Raises:
        ConfigurationError: No partition did.
    """
    failed = store.failed_with(backfill_id, error_type) if isinstance(error_type, str) else []
    if not any(layer.num_partitions for layer in failed):
        types = sorted({group["error_type"] for group in store.error_groups(backfill_id)})
        there_are = f"the types are {', '.join(map(repr, types))}" if types else "none failed"
        msg = f"no partition of {backfill_id!r} failed with error_type={error_type!r}; {there_are}"
        raise ConfigurationError(msg)
    return failed
