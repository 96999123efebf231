"""No run starts before all runs that it depends on have ended: backfills of random graphs, compared with single edges."""

import threading

from hypothesis import given, settings
from hypothesis import strategies as st

import rivers as rs
from rivers import AssetDef, BackfillStrategy, PartitionMapping, PartitionsDefinition

LENGTH = 5
DAYS = PartitionsDefinition.daily("2024-01-01", "2024-01-06")
LETTERS = PartitionsDefinition.static_(["a", "b", "c"])
GRID = PartitionsDefinition.multi({"day": DAYS, "letter": LETTERS})
CELLS = [(day, letter) for day in range(LENGTH) for letter in "abc"]


class Relation:
    """A mapping, and what it gives for a single cell, written out."""

    def __init__(self, mapping, needs):
        self.mapping, self.needs = mapping, needs

    def __repr__(self):
        return repr(self.mapping)


def _window(offset):
    return Relation(
        PartitionMapping.multi({"day": PartitionMapping.time_window(offset)}),
        lambda cell: {(cell[0] + offset, cell[1])},
    )


_any_letter = PartitionMapping.multi(
    {
        "day": PartitionMapping.time_window(-1),
        "letter": ("letter", PartitionMapping.all_partitions()),
    }
)
RELATIONS = [
    Relation(PartitionMapping.identity(), lambda cell: {cell}),
    Relation(PartitionMapping.all_partitions(), lambda _: set(CELLS)),
    Relation(_any_letter, lambda cell: {(cell[0] - 1, letter) for letter in "abc"}),
    _window(-1),
    _window(-2),
    _window(1),
]
BACK = [RELATIONS[2], RELATIONS[3], RELATIONS[4]]
STRATEGIES = [
    BackfillStrategy.multi_run(),
    BackfillStrategy.per_dimension(multi_run=["day"], single_run=["letter"]),
    BackfillStrategy.chunked(4),
    BackfillStrategy.single_run(),
]


@st.composite
def graphs(draw):
    """For each asset: what it needs of earlier assets, and of itself."""
    return [
        (
            draw(st.dictionaries(st.integers(0, place - 1), st.sampled_from(RELATIONS), max_size=2))
            if place
            else {},
            draw(st.one_of(st.none(), st.none(), st.sampled_from(BACK))),
        )
        for place in range(draw(st.integers(1, 4)))
    ]


def _cell(key):
    return int(key.keys["day"][0][-2:]) - 1, key.keys["letter"][0]


def _key(cell):
    return rs.PartitionKey.multi({"day": f"2024-01-{cell[0] + 1:02}", "letter": cell[1]})


@settings(max_examples=150, deadline=None)
@given(
    graph=graphs(),
    cells=st.lists(st.sampled_from(CELLS), min_size=1, unique=True),
    strategy=st.sampled_from(STRATEGIES),
    concurrency=st.integers(1, 6),
    failing=st.sets(st.tuples(st.integers(0, 3), st.sampled_from(CELLS)), max_size=2),
)
def test_no_run_starts_before_all_it_needs_has_ended(graph, cells, strategy, concurrency, failing):
    if any(own for _, own in graph):
        strategy = STRATEGIES[0] if strategy in STRATEGIES[2:] else strategy
    begun, ended, lock = {}, {}, threading.Lock()

    def asset(place, ups, own):
        def work(context):
            own_cells = [_cell(key) for key in context.partition.keys]
            with lock:
                begun.update({(place, cell): len(begun) + len(ended) for cell in own_cells})
            if failing & {(place, cell) for cell in own_cells}:
                msg = "told to"
                raise ValueError(msg)
            with lock:
                ended.update({(place, cell): len(begun) + len(ended) for cell in own_cells})

        deps = [AssetDef.dep(f"n{up}", relation.mapping) for up, relation in ups.items()]
        if own:
            deps.append(AssetDef.dep(f"n{place}", own.mapping))
        return rs.Asset(work, name=f"n{place}", partitions_def=GRID, deps=deps)

    assets = [asset(place, ups, own) for place, (ups, own) in enumerate(graph)]
    with rs.CodeRepository(assets).resolve(rs.Storage.memory()) as repo:
        result = repo.backfill(
            partition_keys=[_key(cell) for cell in cells], strategy=strategy,
            max_concurrency=concurrency,
        )  # fmt: skip
    assert result.completed + result.failed == result.num_partitions
    if not failing:
        assert result.status == "completed"
    for (place, cell), moment in begun.items():
        ups, own = graph[place]
        for up, relation in [*ups.items(), *([(place, own)] if own else [])]:
            for needed in relation.needs(cell) & set(cells):
                assert ended.get((up, needed), moment) < moment, (
                    f"n{place} {cell} needs n{up} {needed}"
                )
