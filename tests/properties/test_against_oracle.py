"""Selections and plans, observed through real backfills and compared with `itertools.product`."""

import datetime as dt
import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rivers as rs
from rivers import BackfillStrategy, PartitionKey, PartitionKeyRange, PartitionsDefinition

FEW = settings(max_examples=100, deadline=None)


class Grid:
    """A definition of axes (definitions and their keys); a partition is a tuple, a `cell`."""

    def __init__(self, axes, *, named):
        self.keys = [keys for _, keys in axes]
        self.names = [f"d{place}" for place in range(len(axes))] if named else [""]
        made = {name: axis[0] for name, axis in zip(self.names, axes, strict=True)}
        self.definition = PartitionsDefinition.multi(made) if named else made[""]
        self.all = list(itertools.product(*self.keys))
        self.place = {cell: place for place, cell in enumerate(self.all)}

    def __repr__(self):
        return f"Grid({self.definition})"

    def key(self, values):
        if self.names == [""]:
            return PartitionKey.single(values[0])
        return PartitionKey.multi(dict(zip(self.names, values, strict=True)))

    def cell(self, key):
        values = [key.key] if self.names == [""] else [key.keys[name] for name in self.names]
        return tuple(one for (one,) in values)


def _static(keys):
    return PartitionsDefinition.static_(keys), keys


def _days(count):
    """Days around the end of a month, in a format that does not sort as text."""
    keys = ["30.01.2024", "31.01.2024", "01.02.2024", "02.02.2024"][:count]
    end = dt.datetime(2024, 1, 30) + dt.timedelta(days=count)
    return PartitionsDefinition.daily("2024-01-30", end=end, fmt="%d.%m.%Y"), keys


def _some(keys):
    return st.integers(1, len(keys)).map(lambda count: keys[:count])


statics = st.permutations(["us", "eu", "asia", "africa"]).flatmap(_some).map(_static)
axes = st.one_of(statics, st.integers(1, 4).map(_days))
grids = st.one_of(
    axes.map(lambda axis: Grid([axis], named=False)),
    st.lists(axes, min_size=1, max_size=4).map(lambda several: Grid(several, named=True)),
)


@st.composite
def explicit(draw, grid):
    """Explicit keys with duplicates and several values, and the partitions they name, in order."""
    values = [st.lists(st.sampled_from(keys), min_size=1, max_size=3) for keys in grid.keys]
    written = draw(st.lists(st.tuples(*values), min_size=1, max_size=6))
    cells = [cell for lists in written for cell in itertools.product(*lists)]
    plain = draw(st.booleans())
    keys = [grid.key([v[0] if plain and len(v) == 1 else v for v in lists]) for lists in written]
    return {"partition_keys": keys}, list(dict.fromkeys(cells))


@st.composite
def ranges(draw, grid):
    """A range, and the partitions it names, in order."""
    parts, kept = {}, []
    for name, keys in zip(grid.names, grid.keys, strict=True):
        kind = draw(st.sampled_from(["all", "range", "list"])) if name else "range"
        part = draw(st.lists(st.sampled_from(keys), min_size=1, max_size=5))
        if kind == "range":
            first, last = sorted((keys.index(part[0]), keys.index(part[-1])))
            part = (keys[first], keys[last])
            kept.append(keys[first : last + 1])
        else:
            kept.append(keys if kind == "all" else [key for key in keys if key in part])
        if kind != "all":
            parts[name] = part
    made = PartitionKeyRange.multi(parts) if name else PartitionKeyRange.single(*parts[""])
    return {"partition_range": made}, list(itertools.product(*kept))


def selections(grid):
    return st.one_of(explicit(grid), ranges(grid))


@st.composite
def strategies(draw, grid):
    """A strategy, with the dimensions that its runs iterate over, or their size."""
    width = len(grid.names)
    kinds = ["multi_run", "single_run", "chunked"] + ["per_dimension"] * 2 * (width > 1)
    kind = draw(st.sampled_from(kinds))
    if kind == "multi_run":
        return BackfillStrategy.multi_run(), range(width)
    if kind == "single_run":
        return BackfillStrategy.single_run(), range(0)
    if kind == "chunked":
        n = draw(st.integers(1, 9))
        return BackfillStrategy.chunked(n), n
    places = draw(st.permutations(range(width)))
    cut = draw(st.integers(1, width - 1))
    batched = places[cut : cut + draw(st.integers(1, width - cut))]
    made = BackfillStrategy.per_dimension(
        [grid.names[place] for place in places[:cut]], [grid.names[place] for place in batched]
    )
    return made, sorted(places[:cut])


def oracle(grid, cells, iterated):
    """The runs: groups in order of first appearance, each in definition order."""
    groups = {}
    for number, cell in enumerate(cells):
        chunk = (number // iterated,) if isinstance(iterated, int) else None
        groups.setdefault(chunk or tuple(cell[place] for place in iterated), []).append(cell)
    return [sorted(group, key=grid.place.__getitem__) for group in groups.values()]


@st.composite
def cases(draw):
    grid = draw(grids)
    return grid, *draw(selections(grid)), *draw(strategies(grid))


def observe(grid, part, **options):
    """A real backfill: its result, its status, and the calls of its asset as lists of cells."""
    calls = []

    def record(context):
        calls.append([grid.cell(key) for key in context.partition.keys])

    asset = rs.Asset(record, partitions_def=grid.definition)
    with rs.CodeRepository([asset]).resolve(rs.Storage.memory()) as repository:
        result = repository.backfill(**part, **options)
        return result, repository.get_backfill(result.backfill_id), calls


def plan(grid, part, *others, **options):
    named = {f"x{place}": made for place, made in enumerate([grid.definition, *others])}
    assets = [
        rs.Asset(lambda: None, name=name, partitions_def=made) for name, made in named.items()
    ]
    with rs.CodeRepository(assets).resolve(rs.Storage.memory()) as repository:
        return repository.backfill(**part, **options, dry_run=True)


@FEW
@given(grids)
def test_a_definition_is_the_product_of_its_dimensions(grid):
    keys = grid.definition.get_partition_keys()
    assert [grid.cell(key) for key in keys] == grid.all
    assert keys == [grid.key(cell) for cell in grid.all]
    assert all(grid.definition.validate_partition_key(key) for key in keys)


@FEW
@given(cases())
def test_a_selection_is_what_was_named(case):
    grid, part, cells, strategy, iterated = case
    result = plan(grid, part, strategy=strategy)
    assert [grid.cell(key) for key in result.partition_keys] == cells
    assert result.num_partitions == len(cells)
    assert result.num_runs == len(oracle(grid, cells, iterated))


@st.composite
def others(draw, grid):
    """A grid with the same dimensions, possibly in another order and with other keys."""
    part = [st.one_of(st.just(keys), st.permutations(keys).flatmap(_some)) for keys in grid.keys]
    kept = draw(st.tuples(*part))
    order = draw(st.permutations(range(len(kept)))) if draw(st.booleans()) else range(len(kept))
    made = {grid.names[place]: PartitionsDefinition.static_(kept[place]) for place in order}
    definition = made[""] if "" in made else PartitionsDefinition.multi(made)
    return definition, set(itertools.product(*kept))


@FEW
@given(grids.flatmap(lambda grid: st.tuples(st.just(grid), selections(grid), others(grid))))
def test_each_partition_must_be_one_of_each_asset(case):
    grid, (part, cells), (other, there) = case
    missing = [cell for cell in cells if cell not in there]
    if not missing:
        assert [grid.cell(key) for key in plan(grid, part, other).partition_keys] == cells
        return
    told = f'the partition "{grid.key(missing[0])}" is not defined for the asset "x1"'
    with pytest.raises(rs.exceptions.PartitionValidationError, match=re.escape(told)):
        plan(grid, part, other)


@FEW
@given(cases())
def test_runs_are_grouped_and_ordered(case):
    grid, part, cells, strategy, iterated = case
    result, status, calls = observe(grid, part, strategy=strategy, max_concurrency=1)
    assert calls == oracle(grid, cells, iterated)
    assert result.num_runs == len(result.run_ids) == len(calls)
    assert [grid.cell(key) for key in result.partition_keys] == cells
    assert (result.status, result.completed) == ("completed", len(cells))
    assert (status.total_partitions, status.completed_partitions) == (len(cells), len(cells))


@FEW
@given(cases(), st.integers(2, 5))
def test_each_partition_is_covered_exactly_once(case, max_concurrency):
    grid, part, cells, strategy, iterated = case
    _, _, calls = observe(grid, part, strategy=strategy, max_concurrency=max_concurrency)
    assert sorted(itertools.chain(*calls)) == sorted(cells)
    assert sorted(calls) == sorted(oracle(grid, cells, iterated))


@FEW
@given(cases(), st.data())
def test_counts_add_up_and_a_rerun_covers_the_rest(case, data):
    grid, part, cells, strategy, iterated = case
    doomed = set(data.draw(st.lists(st.sampled_from(cells), max_size=3)))
    policy = data.draw(st.sampled_from(["continue", "stop_on_failure"]))
    calls = []

    def flaky(context):
        calls.append([grid.cell(key) for key in context.partition.keys])
        if doomed & set(calls[-1]):
            msg = "doomed"
            raise RuntimeError(msg)

    asset = rs.Asset(flaky, partitions_def=grid.definition)
    runs = oracle(grid, cells, iterated)
    with rs.CodeRepository([asset]).resolve(rs.Storage.memory()) as repository:
        part.update(strategy=strategy, failure_policy=policy, max_concurrency=1)
        first = repository.backfill(**part)
        bad = [run for run in runs if doomed & set(run)]
        ran = runs[: runs.index(bad[0]) + 1] if bad and policy == "stop_on_failure" else runs
        assert calls == ran
        failed = sum(len(run) for run in ran if run in bad)
        canceled = len(cells) - sum(map(len, ran))
        assert (first.failed, first.canceled) == (failed, canceled)
        assert first.completed + failed + canceled == first.num_partitions == len(cells)
        assert first.status == ("failed" if failed else "completed")
        doomed.clear()
        calls.clear()
        rest = repository.rerun_backfill(first.backfill_id)
    left = [cell for cell in cells if not any(cell in run for run in ran if run not in bad)]
    assert sorted(calls) == sorted(oracle(grid, left, iterated))
    assert (rest.status, rest.num_partitions, rest.completed) == ("completed", len(left), len(left))
