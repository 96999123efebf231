"""The graph of assets and its dependency order."""

import random

import pytest

import rivers as rs
from rivers.assets.asset_graph import Graph


def closure(direct):
    """Returns all names that each name leads to."""
    found = {}

    def all_of(name):
        if name not in found:
            found[name] = set(direct[name]).union(*(all_of(other) for other in direct[name]))
        return found[name]

    return {name: all_of(name) for name in direct}


@pytest.mark.parametrize("seed", range(20))
def test_needs_among_the_named_are_the_nearest_and_lead_to_all(seed):
    source = random.Random(seed)
    names = [f"a{number}" for number in range(30)]
    deps = {
        name: source.sample(names[:place], min(place, source.choice([0, 1, 1, 2, 3])))
        for place, name in enumerate(names)
    }
    declared = [rs.Asset(lambda: None, name=name, deps=deps[name]) for name in names]
    source.shuffle(declared)
    chosen = set(source.sample(names, source.randint(1, 30)))
    needs = Graph(declared, {}).needs_among(chosen)
    everything = closure(deps)
    assert closure(needs) == {name: everything[name] & chosen for name in chosen}


def test_needs_of_a_chain_do_not_grow_with_its_length():
    names = [f"a{number}" for number in range(2_000)]
    chain = [
        rs.Asset(lambda: None, name=name, deps=names[max(0, place - 1) : place])
        for place, name in enumerate(names)
    ]
    assert max(map(len, Graph(chain, {}).needs_among(names).values())) == 1


def test_a_failure_reaches_what_needs_it_through_an_asset_that_is_not_selected(repo):
    letters = rs.PartitionsDefinition.static_(["a", "b", "c"])

    def fail(context: rs.AssetExecutionContext):
        context.mark_partition_failed("b", "bad")

    first = rs.Asset(fail, name="first", partitions_def=letters)
    between = rs.Asset(lambda: None, name="between", partitions_def=letters, deps=[first])
    seen = []
    last = rs.Asset(
        lambda context: seen.extend(str(key) for key in context.partition.keys),
        name="last", partitions_def=letters, deps=[between],
    )  # fmt: skip
    repository = repo(first, between, last)
    result = repository.backfill(
        ["first", "last"], partition_range=rs.PartitionKeyRange.single("a", "c"),
        strategy=rs.BackfillStrategy.single_run(),
    )  # fmt: skip
    assert (result.failed, seen) == (1, ["a", "c"])
