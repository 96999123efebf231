"""The cells of maps: compared with a slow oracle that goes through the table row by row."""

import math
import multiprocessing
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rivers as rs
from rivers._rivers import AssetCells
from rivers.exceptions import (
    AssetNotFoundError,
    BackfillNotFoundError,
    ConfigurationError,
    PartitionValidationError,
)
from rivers.status.grid import ASSET_STATES, STATES

DAYS = [f"2024-01-{day:02}" for day in range(1, 10)]
REGIONS = ["us", "eu", "asia", "africa"]
KINDS = ["b", "a", "c"]
DIMENSIONS = {"region": REGIONS, "date": DAYS, "kind": KINDS}


def definition(names):
    dims = {
        "date": rs.PartitionsDefinition.daily("2024-01-01", end="2024-01-10"),
        "region": rs.PartitionsDefinition.static_(REGIONS),
        "kind": rs.PartitionsDefinition.static_(KINDS),
    }
    if len(names) == 1:
        return dims[names[0]]
    return rs.PartitionsDefinition.multi({name: dims[name] for name in names})


def key_of(names, cell):
    if len(names) == 1:
        return rs.PartitionKey.single(cell[0])
    return rs.PartitionKey.multi(dict(zip(names, cell, strict=True)))


@st.composite
def backfills(draw):
    """A grid, a part of it, how it is grouped into runs, and what happens to each partition."""
    names = draw(st.permutations(sorted(DIMENSIONS)))[: draw(st.integers(1, 3))]
    part = {
        name: sorted(draw(st.sets(st.sampled_from(DIMENSIONS[name]), min_size=1)), key=DIMENSIONS[name].index)
        for name in names
    }  # fmt: skip
    cells = [()]
    for name in names:
        cells = [(*cell, key) for cell in cells for key in part[name]]
    if draw(st.booleans()):
        cells = draw(st.lists(st.sampled_from(cells), min_size=1, unique=True))
        keys = [key_of(names, cell) for cell in cells]
    else:
        select = definition(names).select
        keys = select(part[names[0]]) if len(names) == 1 else select(**part)
    strategy = draw(
        st.sampled_from([
            rs.BackfillStrategy.multi_run(), rs.BackfillStrategy.single_run(),
            rs.BackfillStrategy.chunked(3),
            *([rs.BackfillStrategy.per_dimension(multi_run=[names[0]], single_run=names[1:])]
              if len(names) > 1 else []),
        ])
    )  # fmt: skip
    order = draw(st.sampled_from(["definition", "reverse"]))
    if len(names) > 1 and draw(st.booleans()):
        order = [draw(st.sampled_from(["", "-"])) + name for name in reversed(names)]
    fates = draw(
        st.dictionaries(
            st.sampled_from(cells), st.sampled_from(["fail", "skip", "mark"]), max_size=8
        )
    )
    options = draw(st.sampled_from([{}, {"max_failures": 1, "max_concurrency": 1}]))
    return names, keys, strategy, order, fates, options


def run(case, storage):
    names, keys, strategy, order, fates, options = case

    @rs.Asset(partitions_def=definition(names))
    def asset(context):
        own = context.partition.keys
        cells = [
            tuple(key.keys[name][0] for name in names) if len(names) > 1 else tuple(key.key)
            for key in own
        ]
        for key, cell in zip(own, cells, strict=True):
            match fates.get(cell):
                case "skip":
                    context.skip_partition(key, "nothing there")
                case "mark":
                    context.mark_partition_failed(key, "no")
                case "fail" if len(own) > 1:
                    context.mark_partition_failed(key, "no")
                case "fail":
                    raise ValueError("no")

    with rs.CodeRepository([asset]).resolve(storage) as repo:
        result = repo.backfill(partition_keys=keys, strategy=strategy, order=order, **options)
    return result.backfill_id


def texts(frame, names):
    columns = ["partition"] if len(names) == 1 else names
    rows = frame.select(*columns, "status").cast(str).rows()
    return [(row[:-1], row[-1]) for row in rows]


def coordinates(rows, names):
    """The index of each key among those that occur, by dimension."""
    occur = [{row[at] for row, _ in rows} for at in range(len(names))]
    ordered = [
        [key for key in DIMENSIONS[name] if key in there]
        for name, there in zip(names, occur, strict=True)
    ]
    return [
        (tuple(o.index(k) for o, k in zip(ordered, row, strict=True)), status)
        for row, status in rows
    ], [len(keys) for keys in ordered]


@settings(deadline=None, max_examples=80)
@given(case=backfills(), data=st.data())
def test_cells_agree_with_a_slow_oracle(case, data):
    names = case[0]
    storage = rs.Storage.memory()
    backfill_id = run(case, storage)
    client = rs.BackfillClient(storage)
    rows, lens = coordinates(texts(client.backfill_partitions(backfill_id), names), names)
    shown = ["partition"] if len(names) == 1 else list(names)
    across = data.draw(st.sampled_from([None, *shown]))
    down = data.draw(st.sampled_from([None, *(name for name in shown if name != across)]))
    bounds = {}
    for name, count in zip(shown, lens, strict=True):
        if data.draw(st.booleans()):
            start = data.draw(st.integers(0, count))
            bounds[name] = (start, data.draw(st.integers(start, count)))
    width, height = data.draw(st.integers(1, 7)), data.draw(st.integers(1, 5))
    cells = client.cells(
        backfill_id, rows=down, columns=across, where=bounds, width=width, height=height
    )
    assert cells.width <= width
    assert cells.height <= height
    limits = [bounds.get(name, (0, count)) for name, count in zip(shown, lens, strict=True)]
    expected = {}
    for place, status in rows:
        if not all(first <= at < last for at, (first, last) in zip(place, limits, strict=True)):
            continue
        x = 0
        if cells.columns is not None:
            column = shown.index(cells.columns)
            x = (place[column] - limits[column][0]) // cells.per_column
        if cells.rows is None:
            where = divmod(x, width)
        else:
            row = shown.index(cells.rows)
            where = (place[row] - limits[row][0]) // cells.per_row, x
        counts = expected.setdefault(where, dict.fromkeys(STATES, 0))
        counts[status] += 1
    assert {(row, column): counts for row, column, counts in cells.filled()} == expected
    assert cells.totals == {
        state: sum(counts[state] for counts in expected.values()) for state in STATES
    }
    packed = cells.to_bytes()
    assert len(packed) == 3 * cells.width * cells.height
    for (row, column), counts in expected.items():
        state, share, _ = packed[3 * (row * cells.width + column) :][:3]
        worst = next(name for name in STATES if counts[name])
        assert STATES[state] == worst
        assert share == max(counts[worst] * 255 // sum(counts.values()), 1)
    chosen = data.draw(st.sets(st.sampled_from(STATES)))
    selected = client.grid(backfill_id).select(bounds, sorted(chosen))
    assert selected.num_partitions == sum(cells.totals[state] for state in chosen)


GRID = rs.PartitionsDefinition.multi({
    "date": rs.PartitionsDefinition.daily("2024-01-01", end="2024-01-11"),
    "region": rs.PartitionsDefinition.static_(["us", "eu", "asia"]),
})  # fmt: skip


@pytest.fixture
def client(tmp_path):
    storage = rs.Storage.open(tmp_path / "rivers.db")

    @rs.Asset(partitions_def=GRID)
    def sales(context):
        if context.partition_key == "date=2024-01-03|region=eu":
            raise ValueError("no")

    with rs.CodeRepository([sales]).resolve(storage) as repo:
        result = repo.backfill(partition_keys=GRID.select())
    return rs.BackfillClient(storage), result.backfill_id


def test_time_runs_from_left_to_right_unless_columns_are_chosen(client):
    client, backfill_id = client
    cells = client.cells(backfill_id)
    assert (cells.rows, cells.columns) == ("region", "date")
    assert cells.row_labels() == ["us", "eu", "asia"]
    assert cells.column_labels()[2] == "2024-01-03"
    assert cells.counts(1, 2)["failed"] == 1
    cells = client.cells(backfill_id, columns="region")
    assert (cells.rows, cells.columns) == ("date", "region")


def test_a_range_of_keys_and_a_range_of_coordinates_show_the_same_part(client):
    client, backfill_id = client
    where = rs.PartitionKeyRange.multi({"date": ("2024-01-03", "2024-01-05"), "region": ["eu"]})
    by_keys = client.cells(backfill_id, where=where)
    by_index = client.cells(backfill_id, where={"date": (2, 5), "region": (1, 2)})
    assert by_keys.totals == by_index.totals
    assert by_keys.totals["failed"] == 1
    assert sum(by_keys.totals.values()) == 3
    grid = client.grid(backfill_id)
    assert grid.range_of({"date": (2, 5)}) == rs.PartitionKeyRange.multi(
        {"date": ("2024-01-03", "2024-01-05")}
    )


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"rows": "dat"}, ConfigurationError, "did you mean 'date'"),
        ({"rows": "date", "columns": "date"}, ConfigurationError, "two dimensions"),
        ({"where": {"city": (0, 1)}}, ConfigurationError, "no dimension 'city'"),
        ({"where": {"date": (3, 11)}}, ConfigurationError, "outside of a dimension of 10 keys"),
        ({"where": {"date": (4, 3)}}, ConfigurationError, "outside"),
        ({"width": 0}, ConfigurationError, "0 x 24 cells"),
        ({"width": 4096, "height": 4096}, ConfigurationError, "1 to 1048576 cells"),
        ({"asset": "sale"}, AssetNotFoundError, "did you mean 'sales'"),
        (
            {"where": rs.PartitionKeyRange.multi({"region": ["us", "asia"]})},
            ConfigurationError,
            "leaves out keys in between",
        ),
        (
            {"where": rs.PartitionKeyRange.multi({"region": ["uk"]})},
            PartitionValidationError,
            '"uk"',
        ),
    ],
)
def test_wrong_arguments_are_named(client, arguments, error, words):
    client, backfill_id = client
    with pytest.raises(error, match=words):
        client.cells(backfill_id, **arguments)


def test_an_unknown_backfill_has_no_cells(client):
    with pytest.raises(BackfillNotFoundError):
        client[0].cells("nothing")


def test_cells_follow_a_backfill_of_this_process_while_it_runs():
    storage = rs.Storage.memory()
    client = rs.BackfillClient(storage)
    seen = []

    @rs.Asset(partitions_def=GRID)
    def sales(context):
        cells = client.cells(context.run_id.split(".")[0])
        seen.append(cells.totals)

    with rs.CodeRepository([sales]).resolve(storage) as repo:
        result = repo.backfill(partition_keys=GRID.select(), max_concurrency=1)
    assert all(sum(totals.values()) == 30 for totals in seen)
    done = [totals["completed"] for totals in seen]
    assert done == sorted(done)
    assert client.cells(result.backfill_id).totals["completed"] == 30


def test_cells_of_assets_with_runs_of_their_own_are_those_of_the_chosen_asset():
    days = rs.PartitionsDefinition.daily("2024-01-01", end="2024-01-11")
    weeks = rs.PartitionsDefinition.weekly("2024-01-01", end="2024-01-08")

    @rs.Asset(partitions_def=days)
    def daily():
        return 1

    @rs.Asset(
        partitions_def=weeks,
        deps=[rs.AssetDef.input("daily", partition_mapping=rs.PartitionMapping.time_window())],
    )
    def weekly(daily):
        return 1

    storage = rs.Storage.memory()
    with rs.CodeRepository([daily, weekly]).resolve(storage) as repo:
        result = repo.backfill(["weekly"], partition_keys=weeks.select(), include_upstream=True)
    client = rs.BackfillClient(storage)
    assert client.grid_assets(result.backfill_id) == [["daily"], ["weekly"]]
    assert client.cells(result.backfill_id, asset="daily").totals["completed"] == 7
    assert client.cells(result.backfill_id, asset="weekly").totals["completed"] == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_forked_child_counts_cells_with_locks_of_its_own(client):
    client, backfill_id = client
    expected = client.cells(backfill_id).totals
    seen = multiprocessing.get_context("fork").SimpleQueue()
    child = os.fork()
    if not child:
        seen.put(client.cells(backfill_id).totals)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert seen.get() == expected


def test_a_map_of_a_hundred_million_partitions_is_arithmetic():
    side = rs.PartitionsDefinition.static_([f"k{number:04}" for number in range(10_000)])
    grid = rs.PartitionsDefinition.multi({"left": side, "right": side})

    @rs.Asset(partitions_def=grid)
    def million(context):
        pass

    storage = rs.Storage.memory()
    with rs.CodeRepository([million]).resolve(storage) as repo:
        launched = repo.backfill(
            partition_keys=grid.select(), strategy=rs.BackfillStrategy.single_run(), block=False
        )
        repo.cancel_backfill(launched.backfill_id)
        client = rs.BackfillClient(storage)
        cells = client.cells(launched.backfill_id, width=400, height=200)
    assert sum(cells.totals.values()) == 10**8
    assert (cells.per_row, cells.per_column) == (50, math.ceil(10_000 / 400))


def test_a_part_of_a_backfill_is_run_again_by_status():
    calls, bad = [], {"date=2024-01-03|region=eu", "date=2024-01-09|region=us"}

    @rs.Asset(partitions_def=GRID)
    def sales(context):
        calls.append(context.partition_key)
        if context.partition_key in bad:
            raise ValueError("no")

    with rs.CodeRepository([sales]).resolve(rs.Storage.memory()) as repo:
        first = repo.backfill(partition_keys=GRID.select())
        bad.clear()
        calls.clear()
        where = rs.PartitionKeyRange.multi({"date": ("2024-01-01", "2024-01-04")})
        planned = repo.rerun_backfill(first.backfill_id, dry_run=True, where=where)
        assert planned.num_partitions == 1
        again = repo.rerun_backfill(first.backfill_id, where=where)
        assert calls == ["date=2024-01-03|region=eu"]
        assert again.completed == 1
        calls.clear()
        again = repo.rerun_backfill(
            first.backfill_id, where={"date": (2, 4)}, status=["completed", "failed"]
        )
        assert len(calls) == again.completed == 6
        with pytest.raises(ConfigurationError, match="not both"):
            repo.rerun_backfill(first.backfill_id, where=where, error_type="ValueError")
        with pytest.raises(ConfigurationError, match='"done"'):
            repo.rerun_backfill(first.backfill_id, status="done")


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_cells_of_an_asset_agree_with_a_slow_oracle(data):
    names = data.draw(st.permutations(sorted(DIMENSIONS)))[: data.draw(st.integers(1, 3))]
    space = definition(names).resolve(None, None)
    lens = [len(DIMENSIONS[name]) for name in names]
    total = math.prod(lens)
    states = data.draw(st.binary(min_size=total, max_size=total)).translate(
        bytes(value % len(ASSET_STATES) for value in range(256))
    )
    cells = AssetCells(space, states, [])
    shown = data.draw(st.permutations(range(len(names))))
    down, across = data.draw(
        st.sampled_from(
            [(None, shown[0]), (None, None), *([(shown[0], shown[1])] if len(names) > 1 else [])]
        )
    )
    bounds = []
    for size in lens:
        start = data.draw(st.integers(0, size))
        bounds.append((start, data.draw(st.integers(start, size))))
    width, height = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 5))
    counted = cells.count((down, across, bounds, width, height))
    expected, members = {}, 0
    for number, state in enumerate(states):
        place, rest = [], number
        for size in reversed(lens):
            place.insert(0, rest % size)
            rest //= size
        if not all(first <= at < last for at, (first, last) in zip(place, bounds, strict=True)):
            continue
        members += state == 2
        x = 0 if across is None else (place[across] - bounds[across][0]) // counted.per_column
        y = 0 if down is None else (place[down] - bounds[down][0]) // counted.per_row
        where = divmod(x, width) if down is None and across is not None else (y, x)
        expected.setdefault(where, [0] * len(ASSET_STATES))[state] += 1
    found = {
        (row, column): cell
        for row in range(counted.height)
        for column in range(counted.width)
        if any(cell := counted.cell(row, column))
    }
    assert found == expected
    assert cells.select(bounds, ["failed"]).num_partitions == members


def test_an_asset_map_takes_sets_of_partitions_and_refuses_others():
    space = GRID.resolve(None, None)
    first, eu = GRID.select(date=["2024-01-01"]), GRID.select(region=["eu"])
    sets = [(first.resolve_in(space), 1), (eu.resolve_in(space), 2)]
    cells = AssetCells(space, None, sets)
    whole = (None, None, [(0, 10), (0, 3)], 1, 1)
    assert cells.count(whole).totals() == [18, 2, 10, 0, 0, 0]
    with pytest.raises(ConfigurationError, match="2 states for 30 partitions"):
        AssetCells(space, b"12", [])
    with pytest.raises(ConfigurationError):
        AssetCells(space, bytes([9]) * 30, [])
    with pytest.raises(ConfigurationError):
        AssetCells(definition(["date"]).resolve(None, None), None, sets)
