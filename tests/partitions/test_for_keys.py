"""`PartitionMapping.for_keys`: an upstream without partitions for some partitions of an asset."""

import datetime as dt

import pytest

import rivers as rs
from rivers import PartitionKey, PartitionKeyRange, PartitionMapping, PartitionsDefinition
from rivers.exceptions import GraphValidationError, PartitionValidationError

LETTERS = PartitionsDefinition.static_(["d", "c", "b", "a"])


def built(definition, selectors, *, default=False, upstream_def=None):
    """A repository with `rates` and `sales`, which needs it for the selected partitions."""
    given = []

    @rs.Asset(partitions_def=upstream_def)
    def rates() -> int:
        return 7

    deps = [rs.AssetDef.input("rates", partition_mapping=PartitionMapping.for_keys(selectors))]
    if default:

        @rs.Asset(name="sales", partitions_def=definition, deps=deps)
        def sales(context: rs.AssetExecutionContext, rates: int = -1) -> None:
            given.append(([str(key) for key in context.partition.keys], rates))
    else:

        @rs.Asset(name="sales", partitions_def=definition, deps=deps)
        def sales(context: rs.AssetExecutionContext, rates: int | None) -> None:
            given.append(([str(key) for key in context.partition.keys], rates))

    return rs.CodeRepository([rates, sales]), given


def received(definition, selectors, keys, *, default=False, strategy=None):
    code, given = built(definition, selectors, default=default)
    with code.resolve(rs.Storage.memory()) as repo:
        repo.materialize(["rates"])
        result = repo.backfill(["sales"], partition_keys=keys, strategy=strategy, max_concurrency=1)
        assert result.status == "completed", result.error
    return given


def singles(*values):
    return [PartitionKey.single(value) for value in values]


def test_only_the_partitions_that_a_selector_names_get_the_value():
    # A range follows the definition's order: c, b.
    selectors = [*singles("a"), PartitionKeyRange.single("c", "b")]
    given = received(LETTERS, selectors, singles("d", "c", "b", "a"))
    assert given == [(["d"], None), (["c"], 7), (["b"], 7), (["a"], 7)]


def test_the_others_get_the_default_of_the_parameter():
    assert received(LETTERS, singles("a"), singles("d", "a"), default=True) == [
        (["d"], -1),
        (["a"], 7),
    ]


def test_a_run_of_several_partitions_gets_the_value_if_one_of_them_is_named():
    one_run = rs.BackfillStrategy.single_run()
    assert received(LETTERS, singles("a"), singles("d", "a"), strategy=one_run) == [(["d", "a"], 7)]
    assert received(LETTERS, singles("a"), singles("d", "c"), strategy=one_run) == [
        (["d", "c"], None)
    ]


def test_selectors_may_name_partitions_of_a_product_and_of_time():
    days = PartitionsDefinition.daily("2024-01-01", end="2024-01-05")
    grid = PartitionsDefinition.multi({"day": days, "letter": LETTERS})
    selectors = [
        PartitionKey.multi({"day": "2024-01-04", "letter": ["a", "b"]}),
        # Without the day: all of them.
        PartitionKeyRange.multi({"letter": ["d"]}),
        PartitionKeyRange.multi({"day": ("2024-01-02", "2024-01-03"), "letter": ("c", "b")}),
    ]
    given = received(grid, selectors, grid.get_partition_keys())
    named = {keys[0] for keys, value in given if value == 7}
    expected = {f"day=2024-01-0{day}|letter=d" for day in (1, 2, 3, 4)}
    expected |= {f"day=2024-01-04|letter={letter}" for letter in "ab"}
    expected |= {f"day=2024-01-0{day}|letter={letter}" for day in (2, 3) for letter in "bc"}
    assert named == expected
    assert len(given) == 16


def test_a_range_may_have_short_forms_and_open_ends():
    days = PartitionsDefinition.daily("2024-01-30", end="2024-03-03")
    keys = days.get_partition_keys()
    for part, expected in [
        (PartitionKeyRange.single("2024-02", "2024-02"), range(2, 31)),
        (PartitionKeyRange.single("2024-03", None), range(31, 33)),
        (PartitionKeyRange.single(dt.date(2024, 2, 29), dt.datetime(2024, 3, 1, 12)), [30, 31]),
    ]:
        given = received(days, [part], keys)
        assert [number for number, (_, value) in enumerate(given) if value == 7] == list(expected)
        mapping = PartitionMapping.for_keys([part])
        assert mapping.selectors == [part]
        names = {"PartitionMapping": PartitionMapping, "PartitionKeyRange": PartitionKeyRange}
        assert eval(repr(mapping), {**names, "datetime": dt}) == mapping


def test_a_range_may_be_relative_to_the_present():
    days = PartitionsDefinition.daily("2024-01-01")
    code, given = built(days, [PartitionKeyRange.single("-1d", "today")])
    code = rs.CodeRepository(list(code.assets.values()), clock=lambda: dt.datetime(2024, 1, 5, 12))
    with code.resolve(rs.Storage.memory()) as repo:
        repo.materialize(["rates"])
        everything = PartitionKeyRange.single(None, None)
        repo.backfill(["sales"], partition_range=everything, max_concurrency=1)
    assert [value for _, value in given] == [None, None, None, 7, 7]


def test_a_range_over_dynamic_keys_follows_the_order_of_registration():
    code, given = built(PartitionsDefinition.dynamic("c"), [PartitionKeyRange.single("y", "b")])
    storage = rs.Storage.memory()
    storage.add_dynamic_partitions("c", ["x", "y", "a", "b", "c"])
    with code.resolve(storage) as repo:
        repo.materialize(["rates"])
        repo.backfill(["sales"], partition_keys=singles("x", "y", "a", "b", "c"), max_concurrency=1)
    assert [value for _, value in given] == [None, 7, 7, 7, None]


def test_materialize_gives_the_value_within_the_run():
    code, given = built(LETTERS, singles("a"))
    with code.resolve(rs.Storage.memory()) as repo:
        repo.materialize(["rates", "sales"], PartitionKey.single("a"))
        repo.materialize(["rates", "sales"], PartitionKey.single("b"))
    assert given == [(["a"], 7), (["b"], None)]


def test_worker_processes_follow_the_selectors(tmp_path):
    @rs.Asset(io_handler=rs.PickleIOHandler(tmp_path / "values"))
    def rates() -> int:
        return 7

    @rs.Asset(
        partitions_def=LETTERS,
        io_handler=rs.PickleIOHandler(tmp_path / "values"),
        deps=[
            rs.AssetDef.input("rates", partition_mapping=PartitionMapping.for_keys(singles("a")))
        ],
    )
    def sales(rates: int | None) -> str:
        return repr(rates)

    code = rs.CodeRepository([rates, sales], default_executor=rs.Executor.parallel(max_workers=1))
    with code.resolve(rs.Storage.memory()) as repo:
        repo.materialize(["rates"])
        assert repo.backfill(["sales"], partition_keys=singles("a", "b")).status == "completed"
        assert [repo.load_node("sales", key) for key in singles("a", "b")] == ["7", "None"]


DAYS = PartitionsDefinition.daily("2024-01-01", end="2024-02-01")
GRID = PartitionsDefinition.multi({"day": DAYS, "letter": LETTERS})


@pytest.mark.parametrize(
    ("definition", "selector", "told"),
    [
        (LETTERS, PartitionKey.single("z"), '"z"'),
        (LETTERS, PartitionKey.single(["a", "z"]), '"z"'),
        (LETTERS, PartitionKeyRange.single("a", "c"), "inverted"),
        (LETTERS, PartitionKeyRange.single("c", "z"), '"z"'),
        (DAYS, PartitionKeyRange.single("2024-01-05", "2024-01-02"), "inverted"),
        (DAYS, PartitionKey.single("2024-02-01"), "2024-02-01"),
        (DAYS, PartitionKeyRange.single("2023-05", "2023-06"), "2023-05"),
        (DAYS, PartitionKeyRange.single("2024-01-20", "2024-01-10"), "inverted"),
        (DAYS, PartitionKeyRange.single("nonsense", None), "nonsense"),
        (GRID, PartitionKey.single("a"), "dimension"),
        (GRID, PartitionKey.multi({"letter": "a"}), '"day"'),
        (GRID, PartitionKeyRange.multi({"leter": ["a"]}), 'did you mean "letter"'),
        (LETTERS, PartitionKey.multi({"letter": "a"}), "single dimension"),
        (None, PartitionKey.single("a"), "sales"),
    ],
)
def test_a_selector_that_names_nothing_is_refused_with_the_repository(definition, selector, told):
    for error in (GraphValidationError, PartitionValidationError):
        with pytest.raises(error, match=told):
            built(definition, [selector])


def test_a_partitioned_upstream_is_refused():
    with pytest.raises(GraphValidationError, match="rates") as caught:
        built(LETTERS, singles("a"), upstream_def=LETTERS)
    assert isinstance(caught.value, PartitionValidationError)
