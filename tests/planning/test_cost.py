"""What a dry run costs, counted in calls of Python functions."""

import sys
from collections import Counter

import pytest

import rivers as rs
from rivers.repository.program_builder import ProgramBuilder

EVERYTHING = rs.PartitionKeyRange.multi({})


def grid(size):
    keys = [f"k{number}" for number in range(size)]
    return rs.PartitionsDefinition.multi(
        {name: rs.PartitionsDefinition.static_(keys) for name in "abc"}
    )


def assets(definition, count):
    """An asset, and others that take its value."""

    def first(context): ...

    def taker(first): ...

    names = ["first", *(f"x{number}" for number in range(1, count))]
    return [
        rs.Asset(taker if number else first, name=name, partitions_def=definition)
        for number, name in enumerate(names)
    ]


def calls_of_dry_run(repo):
    """Python functions that the second of two dry runs calls, by name."""
    counted = Counter()

    def note(frame, event, _):
        if event == "call":
            counted[frame.f_code.co_qualname] += 1

    repo.backfill(partition_range=EVERYTHING, dry_run=True)
    sys.setprofile(note)
    try:
        repo.backfill(partition_range=EVERYTHING, dry_run=True)
    finally:
        sys.setprofile(None)
    return counted


@pytest.mark.parametrize("count", [1, 20])
def test_a_dry_run_makes_as_many_calls_for_a_billion_partitions_as_for_eight(count):
    def counted(size):
        return calls_of_dry_run(
            rs.CodeRepository(assets(grid(size), count)).resolve(rs.Storage.memory())
        )

    few, many = counted(2), counted(1000)
    assert few == many
    assert sum(many.values()) <= 90 + 17 * count, many.most_common(20)


def test_a_dry_run_looks_up_no_handlers_and_builds_no_program():
    """What does not change is known since the repository was made."""
    repo = rs.CodeRepository(assets(grid(10), 3)).resolve(rs.Storage.memory())
    called = calls_of_dry_run(repo)
    assert not [name for name in called if name.startswith(f"{ProgramBuilder.__name__}.")]
    assert "read_signature" not in called
