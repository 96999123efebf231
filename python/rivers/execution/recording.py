"""Records the metadata of what a step has stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rivers.io.metadata_value import DATA_VERSION, MetadataValue, to_json
from rivers.io.output_metadata import metadata_values

if TYPE_CHECKING:
    from rivers._rivers import PartitionKey, Run
    from rivers.execution.outputs import Materialization, Output
    from rivers.execution.steps import StepOutput
    from rivers.io.output_metadata import OutputMetadata


def declared_metadata(part: Output | Materialization | None) -> dict[str, MetadataValue]:
    """The facts that an `Output` or a `Materialization` holds, its data version among them."""
    if part is None:
        return {}
    declared = {} if part.metadata is None else metadata_values(part.metadata)
    if part.data_version is not None:
        declared[DATA_VERSION] = MetadataValue.text(part.data_version)
    return declared


def record_metadata(
    run: Run,
    output: StepOutput,
    given: OutputMetadata | None,
    declared: dict[str, MetadataValue],
    stored: OutputMetadata | None,
) -> None:
    """Records the metadata of an output.

    Where there is none, nothing is recorded, unless something is known of each of its values.

    Args:
        run: The run.
        output: The output.
        given: What the function added through its context.
        declared: What the `Output` holds, which overrides that.
        stored: What the IO handler added, which overrides both.
    """
    shared = {} if given is None else dict(given.shared)
    shared.update(declared)
    if stored is not None:
        shared.update(stored.shared)
    if shared or output.facts is not None:
        run.add_metadata(output.index, None, to_json(shared))
    keys = {} if given is None else dict.fromkeys(given.single)
    if stored is not None:
        keys.update(dict.fromkeys(stored.single))
    for key in keys:
        own = dict(shared)
        if given is not None:
            of_key = given.single.get(key, {})
            own.update((name, value) for name, value in of_key.items() if name not in declared)
        if stored is not None:
            own.update(stored.shared)
            own.update(stored.single.get(key, {}))
        run.add_metadata(output.index, key, to_json(own))


def record_of_partitions(
    run: Run,
    output: StepOutput,
    keys: list[PartitionKey],
    given: OutputMetadata | None,
    declared: dict[str, MetadataValue],
    stored: OutputMetadata | None,
) -> None:
    """Records the metadata of a value that was yielded for some partitions of a run.

    Args:
        run: The run.
        output: The output.
        keys: The partitions.
        given: What the function has added through its context so far.
        declared: What the `Output` holds, which overrides that.
        stored: What the IO handler added, which overrides both.
    """
    for key in keys:
        own: dict[str, MetadataValue] = {}
        if given is not None:
            own.update(given.shared)
            own.update(given.single.get(key, {}))
        own.update(declared)
        if stored is not None:
            own.update(stored.shared)
            own.update(stored.single.get(key, {}))
        if own or output.facts is not None:
            run.add_metadata(output.index, key, to_json(own))
