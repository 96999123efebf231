"""`StoredEvent`: something that happened to an asset, as it follows from the records."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rivers._rivers import PartitionKey
    from rivers._storage import EventData


@dataclass(frozen=True)
class StoredEvent:
    """Something that happened to an asset, from `Storage.get_events_for_asset()` and its siblings.

    Events are derived from the records of runs; none is recorded by itself. So the start of a step has the
    time at which its run started, and its end the time at which its run ended.

    Attributes:
        id: A text that no other event has.
        event_type: `"StepStart"`, `"StepRetry"`, `"Materialization"`, `"StepFailure"` or
            `"StepSuccess"`; `"Reported"` or `"Forgotten"` for a call of `report_materialized()` or
            `forget_partitions()`, which is one event for any number of partitions.
        asset_key: Name of the asset; each output of a multi-asset has events of its own.
        run_id: Id of the run; `""` for what a user reported.
        partition_key: The partition of a materialization or of a failed partition; of a failed step one
            key with all the run's partitions, and so of a report. `None` where the event belongs to the
            step, the asset is not partitioned, or no key stands for exactly these partitions.
        timestamp: Nanoseconds since 1970 UTC.
        metadata: Names and texts: of a materialization what was recorded with it (strings as they are,
            the rest as JSON), of a failure or a retry `("error", text)`.
        data_version: The version of the data, if `Output(data_version=)` named one.
        code_version: The version of the asset's code, if it declared one.
        input_data_versions: Versions of the inputs; none are recorded.

    Example:
        >>> import rivers as rs
        >>> @rs.Asset
        ... def answer() -> int:
        ...     return 42
        >>> storage = rs.Storage.memory()
        >>> run = rs.CodeRepository([answer]).resolve(storage).materialize()
        >>> [event.event_type for event in storage.get_events_for_run(run.run_id)]
        ['StepStart', 'Materialization', 'StepSuccess']
    """

    id: str
    event_type: str
    asset_key: str
    run_id: str
    partition_key: PartitionKey | None
    timestamp: int
    metadata: list[tuple[str, str]] = field(default_factory=list)
    data_version: str | None = None
    code_version: str | None = None
    input_data_versions: list[tuple[str, str]] = field(default_factory=list)


def event_of(data: EventData) -> StoredEvent:
    """The event with this record."""
    from rivers.io.metadata_value import DATA_VERSION  # noqa: PLC0415  (listing backfills needs none)

    metadata: list[tuple[str, str]] = []
    data_version = None
    if data["metadata"] is not None:
        for name, value in json.loads(data["metadata"]).items():
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            if name == DATA_VERSION:
                data_version = text
            else:
                metadata.append((name, text))
    if data["error"] is not None:
        metadata.append(("error", data["error"]))
    return StoredEvent(
        id=data["id"],
        event_type=data["event_type"],
        asset_key=data["asset_key"],
        run_id=data["run_id"],
        partition_key=data["partition_key"],
        timestamp=data["timestamp"],
        metadata=metadata,
        data_version=data_version,
        code_version=data["code_version"],
    )
