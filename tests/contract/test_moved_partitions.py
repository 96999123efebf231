"""Code written for the package `rivers` 0.6 finds partitions, mappings and strategies as they were."""

import datetime as dt
import inspect

import pytest
from tests.support import counts, key, keys, letters

import rivers as rs
from rivers import BackfillStrategy, PartitionKey, PartitionKeyRange, PartitionMapping
from rivers import PartitionsDefinition as Definition
from rivers.exceptions import (
    ConfigurationError,
    ExecutionError,
    GraphValidationError,
    PartitionDefinitionError,
    PartitionValidationError,
)

AB, ABC = letters(2), letters(3)
DAYS = Definition.daily("2024-01-01", end="2024-01-05")
GRID = Definition.multi({"day": DAYS, "letter": AB})
A, B, C = keys("a", "b", "c")
NAMES = {
    "rs": rs, "PartitionKey": PartitionKey, "PartitionKeyRange": PartitionKeyRange,
    "PartitionMapping": PartitionMapping, "BackfillStrategy": BackfillStrategy,
}  # fmt: skip


def asset(name, definition, function=lambda: 1, **mappings):
    deps = [rs.AssetDef.input(up, partition_mapping=m) for up, m in mappings.items()]
    return rs.Asset(function, name=name, partitions_def=definition, deps=deps)


def refused_both(first, second, *error_types, match=None):
    """Checks that a repository of an upstream `up` and a downstream that takes it is refused."""
    for error_type in error_types:
        with pytest.raises(error_type, match=match):
            rs.CodeRepository([first, second]).validate()


def test_the_classes_of_definitions():
    definitions = {
        Definition.static_(["a"]): Definition.Static,
        Definition.daily("2024-01-01"): Definition.TimeWindow,
        Definition.hourly("2024-01-01"): Definition.TimeWindow,
        Definition.time_window("2024-01-01", interval_seconds=60): Definition.TimeWindow,
        GRID: Definition.Multi,
        Definition.dynamic("d"): Definition.Dynamic,
    }
    classes = (Definition.Static, Definition.TimeWindow, Definition.Multi, Definition.Dynamic)
    for made, expected in definitions.items():
        assert isinstance(made, Definition)
        assert [kind for kind in classes if isinstance(made, kind)] == [expected]


def test_the_attributes_of_definitions():
    assert ABC.keys == ["a", "b", "c"]
    daily, hourly = Definition.daily("2024-01-01"), Definition.hourly("2024-01-01")
    assert (daily.cron_schedule, daily.interval_seconds, daily.end) == ("0 0 * * *", None, None)
    assert hourly.cron_schedule == "0 * * * *"
    minutes = Definition.time_window("2024-01-01", interval_seconds=60, end="2024-01-02")
    assert (minutes.cron_schedule, minutes.interval_seconds) == (None, 60.0)
    assert type(minutes.interval_seconds) is float
    assert None not in (minutes.start, minutes.end)
    assert Definition.daily("2024-01-01", fmt="%Y%m%d").fmt == "%Y%m%d"
    assert GRID.dimensions == [("day", DAYS), ("letter", AB)]
    assert Definition.dynamic("d").name == "d"
    for made, name in ((ABC, "start"), (daily, "keys"), (GRID, "fmt"), (ABC, "dimensions")):
        with pytest.raises(AttributeError):
            getattr(made, name)


def test_intervals_of_fractions():
    whole = Definition.time_window("2024-01-01", interval_seconds=60.0, end="2024-01-02")
    assert whole == Definition.time_window("2024-01-01", interval_seconds=60, end="2024-01-02")
    half = Definition.time_window(
        "2024-01-01", interval_seconds=0.5, end="2024-01-01T00:00:02", fmt="%Y-%m-%dT%H:%M:%S%.3f"
    )
    texts = [made.key[0].removeprefix("2024-01-01T00:00:") for made in half.get_partition_keys()]
    assert texts == ["00.000", "00.500", "01.000", "01.500"]
    context = rs.PartitionContext(keys("2024-01-01T00:00:00.500"), half)
    start = dt.datetime(2024, 1, 1, microsecond=500_000)
    assert context.time_window() == (start, dt.datetime(2024, 1, 1, 0, 0, 1))
    for wrong in (0, -1, float("nan"), float("inf"), 1e-10):
        with pytest.raises(PartitionDefinitionError):
            Definition.time_window("2024-01-01", interval_seconds=wrong)
    with pytest.raises(TypeError):
        Definition.time_window("2024-01-01", interval_seconds="60")
    with pytest.raises(PartitionDefinitionError):
        Definition.time_window("2024-01-01", interval_seconds=0.5, fmt="%Y-%m-%dT%H:%M:%S")


def test_the_classes_and_attributes_of_mappings():
    identity = PartitionMapping.identity()
    by_class = {
        "Identity": identity,
        "AllPartitions": PartitionMapping.all_partitions(),
        "Static": PartitionMapping.static_(mapping={"a": "b"}),
        "TimeWindow": PartitionMapping.time_window(offset=-1),
        "SpecificPartitions": PartitionMapping.specific_partitions(partition_keys=["a"]),
        "ForKeys": PartitionMapping.for_keys(selectors=[A]),
        "Multi": PartitionMapping.multi(dimension_mappings={"day": identity}),
        "MultiToSingle": PartitionMapping.multi_to_single("day", partition_mapping=identity),
        "Subset": PartitionMapping.subset(),
    }
    classes = {name: getattr(PartitionMapping, name) for name in by_class}
    for name, made in by_class.items():
        assert [other for other, kind in classes.items() if isinstance(made, kind)] == [name]
        assert isinstance(made, PartitionMapping)
        assert eval(repr(made), dict(NAMES)) == made
    assert by_class["Static"].mapping == {"a": "b"}
    assert by_class["TimeWindow"].offset == -1
    assert by_class["SpecificPartitions"].partition_keys == ["a"]
    assert by_class["ForKeys"].selectors == [A]
    assert by_class["Multi"].dimension_mappings == {"day": ("day", identity)}
    assert by_class["MultiToSingle"].dimension_name == "day"
    assert by_class["MultiToSingle"].partition_mapping == identity
    assert PartitionMapping.multi_to_single(dimension_name="day").partition_mapping == identity


def test_for_keys_gives_an_unpartitioned_value_to_some_partitions(repo):
    seen = {}

    def take(context, up, other=5):
        seen[tuple(made.key[0] for made in context.partition.keys)] = up, other

    some = PartitionMapping.for_keys([A, PartitionKeyRange.single("c", "d")])
    up, other = asset("up", None), asset("other", None)
    down = asset("down", letters(5), take, up=some, other=PartitionMapping.for_keys([A]))
    repository = repo(up, other, down)
    repository.materialize(["up", "other"])
    whole = PartitionKeyRange.single("a", "e")
    assert counts(repository.backfill(["down"], partition_range=whole)) == (5, 0, 0)
    assert seen == {
        ("a",): (1, 1), ("b",): (None, 5), ("c",): (1, 5), ("d",): (1, 5), ("e",): (None, 5),
    }  # fmt: skip
    repository.backfill(["down"], [B, C], strategy=BackfillStrategy.single_run())
    assert seen["b", "c"] == (1, 5)


@pytest.mark.parametrize(
    ("up", "down", "selectors"),
    [
        (None, AB, keys("z")),
        (None, ABC, [PartitionKeyRange.single("c", "a")]),
        (AB, AB, [A]),
        (None, None, [A]),
    ],
)
def test_for_keys_that_does_not_fit_is_refused(up, down, selectors):
    mapping = PartitionMapping.for_keys(selectors)
    first, second = asset("up", up), asset("down", down, lambda up: up, up=mapping)
    refused_both(first, second, GraphValidationError, PartitionValidationError)


def test_the_keys_of_multi_are_dimensions_of_the_upstream(repo):
    upper = Definition.multi({"day": DAYS, "letter": AB})
    lower = Definition.multi({"date": DAYS, "letter": AB})
    mapping = PartitionMapping.multi({"day": ("date", PartitionMapping.identity())})
    down = asset("down", lower, lambda up: up, up=mapping)
    repository = repo(asset("up", upper), down)
    first = PartitionKey.multi({"date": "2024-01-02", "letter": "b"})
    made = repository.backfill(["down"], [first], include_upstream=True)
    assert counts(made) == (2, 0, 0)
    assert repository.load_node("up", PartitionKey.multi({"day": "2024-01-02", "letter": "b"})) == 1


@pytest.mark.parametrize(
    ("dimensions", "named"),
    [
        ({"date": PartitionMapping.identity()}, r"(?s)date.*up|up.*date"),
        ({"day": ("week", PartitionMapping.identity())}, r"(?s)week.*down|down.*week"),
    ],
)
def test_multi_with_unknown_dimensions_is_refused(dimensions, named):
    mapping = PartitionMapping.multi(dimensions)
    down = asset("down", GRID, lambda up: up, up=mapping)
    refused_both(
        asset("up", GRID), down, GraphValidationError, PartitionValidationError, match=named
    )


ALLOWED = [
    (ABC, Definition.static_(["c", "a"])),
    (DAYS, Definition.daily("2024-01-02")),
    (Definition.daily("2024-01-03"), Definition.daily("2024-01-01")),
    (Definition.multi({"x": ABC, "y": AB}), Definition.multi({"x": AB, "y": AB})),
]


@pytest.mark.parametrize("mapping", [None, PartitionMapping.identity()])
@pytest.mark.parametrize(("up", "down"), ALLOWED)
def test_the_same_keys_of_unequal_definitions_are_related(up, down, mapping):
    mapped = {} if mapping is None else {"up": mapping}
    rs.CodeRepository([asset("up", up), asset("down", down, lambda up: up, **mapped)]).validate()


@pytest.mark.parametrize("mapping", [None, PartitionMapping.identity()])
@pytest.mark.parametrize(
    ("up", "down", "missing"),
    [(AB, ABC, "c"), (DAYS, Definition.hourly("2024-01-01"), "T00:00"), (AB, DAYS, "2024-01-01")],
)
def test_other_keys_of_unequal_definitions_are_refused(up, down, missing, mapping):
    mapped = {} if mapping is None else {"up": mapping}
    pair = asset("up", up), asset("down", down, lambda up: up, **mapped)
    refused_both(*pair, GraphValidationError, PartitionValidationError, match=missing)


def test_a_partition_that_the_upstream_lacks_is_refused_at_submission(repo):
    later = asset("up", Definition.daily("2024-01-03"))
    down = asset("down", Definition.daily("2024-01-01"), lambda up: up)
    repository = repo(later, down)
    with pytest.raises(ExecutionError, match=r"(?s)2024-01-02.*up|up.*2024-01-02"):
        repository.backfill(["up", "down"], keys("2024-01-02"), dry_run=True)
    with pytest.raises(ExecutionError, match=r"(?s)2024-01-02.*up|up.*2024-01-02"):
        repository.backfill(["down"], keys("2024-01-02"))


WRONG_IN_THEMSELVES = {
    "static": lambda: PartitionMapping.static_({}),
    "specific": lambda: PartitionMapping.specific_partitions([]),
    "for_keys": lambda: PartitionMapping.for_keys([]),
    "multi": lambda: PartitionMapping.multi({}),
    "nested": lambda: PartitionMapping.multi(
        {"x": PartitionMapping.multi({"y": PartitionMapping.identity()})}
    ),
    "nested in one": lambda: PartitionMapping.multi_to_single(
        "x", PartitionMapping.multi_to_single("y")
    ),
}


@pytest.mark.parametrize("kind", WRONG_IN_THEMSELVES)
@pytest.mark.parametrize("error_type", [PartitionDefinitionError, PartitionValidationError])
def test_mappings_that_are_wrong_in_themselves_are_refused(kind, error_type):
    with pytest.raises(error_type):
        WRONG_IN_THEMSELVES[kind]()


@pytest.mark.parametrize(
    ("up", "down", "mapping"),
    [
        (AB, ABC, PartitionMapping.static_({"z": "a"})),
        (AB, AB, PartitionMapping.time_window(-1)),
        (AB, AB, PartitionMapping.specific_partitions(["z"])),
        (AB, GRID, PartitionMapping.multi({"day": PartitionMapping.identity()})),
        (AB, AB, PartitionMapping.multi_to_single("day")),
        (None, AB, PartitionMapping.all_partitions()),
        (GRID, AB, None),
    ],
)
def test_mappings_that_do_not_fit_are_refused(up, down, mapping):
    mapped = {} if mapping is None else {"up": mapping}
    pair = asset("up", up), asset("down", down, lambda up: up, **mapped)
    refused_both(*pair, GraphValidationError, PartitionValidationError)


def test_multi_of_identities_is_the_identity(repo):
    same = PartitionMapping.identity()
    mapping = PartitionMapping.multi({"day": same, "letter": same})
    executor = rs.Executor.parallel(max_workers=1)
    up = rs.Asset(_one, name="up", partitions_def=GRID, io_handler=rs.InMemoryIOHandler())
    down = rs.Asset(
        _take, name="down", partitions_def=GRID, io_handler=rs.InMemoryIOHandler(),
        deps=[rs.AssetDef.input("up", partition_mapping=mapping)],
    )  # fmt: skip
    repository = repo(up, down, default_executor=executor)
    first = PartitionKey.multi({"day": "2024-01-01", "letter": "a"})
    assert repository.materialize(["up", "down"], first).success
    shared = repository.backfill(["up", "down"], [first])
    assert (shared.num_runs, counts(shared)) == (1, (1, 0, 0))


def _one():
    return 1


def _take(up):
    return up


def test_ranges_are_equal_if_they_select_the_same():
    multi = PartitionKeyRange.multi
    first = multi({"a": ["x", "y"], "b": ("1", "2")})
    assert first == multi({"b": ("1", "2"), "a": ["y", "x"]})
    assert hash(first) == hash(multi({"b": ("1", "2"), "a": ["y", "x"]}))
    assert first != multi({"a": ["x", "y"], "b": ["1", "2"]})
    assert multi({"a": ("x", "y")}) != multi({"a": ["x", "y"]})


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (PartitionKeyRange.single("a", "b"), 'PartitionKeyRange.single(from_key="a", to_key="b")'),
        (
            PartitionKeyRange.multi({"b": ("1", "2"), "a": ["y", "x"]}),
            'PartitionKeyRange.multi({"a": ["x", "y"], "b": ("1", "2")})',
        ),
        (PartitionKey.single("x"), 'PartitionKey("x")'),
        (PartitionKey.single(["y", "x"]), 'PartitionKey(["x", "y"])'),
        (
            PartitionKey.multi({"b": ["y", "x"], "a": "1"}),
            'PartitionKey({"a": "1", "b": ["x", "y"]})',
        ),
        (BackfillStrategy.multi_run(), "BackfillStrategy.multi_run()"),
        (BackfillStrategy.single_run(), "BackfillStrategy.single_run()"),
        (
            BackfillStrategy.per_dimension(multi_run=["a"], single_run=["b", "c"]),
            'BackfillStrategy.per_dimension(multi_run=["a"], single_run=["b", "c"])',
        ),
    ],
)
def test_reprs_are_as_documented_and_evaluate_back(made, text):
    assert repr(made) == text
    assert eval(text, dict(NAMES)) == made


def test_keys_are_made_by_their_class():
    assert isinstance(PartitionKey("x"), PartitionKey.Single)
    assert isinstance(PartitionKey({"a": "1"}), PartitionKey.Multi)
    for wrong in ([], {}, {"a": []}):
        with pytest.raises(PartitionDefinitionError):
            PartitionKey(wrong)


@pytest.mark.parametrize("error_type", [PartitionDefinitionError, NotImplementedError])
def test_dynamic_keys_need_a_storage(error_type):
    dynamic = Definition.dynamic("d")
    for made in (dynamic, Definition.multi({"d": dynamic, "l": AB})):
        with pytest.raises(error_type):
            made.get_partition_keys()


def test_no_dynamic_keys_are_a_warning():
    storage = rs.Storage.memory()
    with pytest.warns(UserWarning, match="^No dynamic partitions found for 'name'"):
        assert storage.get_dynamic_partitions("name") == []


@pytest.mark.parametrize("error_type", [ConfigurationError, ExecutionError])
@pytest.mark.parametrize("dry_run", [False, True])
def test_a_strategy_that_does_not_fit_is_refused(repo, error_type, dry_run):
    repository = repo(asset("x", AB), asset("g", GRID))
    per = BackfillStrategy.per_dimension(multi_run=["day"], single_run=["hour"])
    for name, chosen in (
        ("x", [A]),
        ("g", [PartitionKey.multi({"day": "2024-01-01", "letter": "a"})]),
    ):
        with pytest.raises(error_type):
            repository.backfill([name], chosen, strategy=per, dry_run=dry_run)
    assert repository.backfills().height == 0


def test_argument_names_of_mappings():
    named = {
        "static_": ["mapping"], "specific_partitions": ["partition_keys"],
        "for_keys": ["selectors"], "multi": ["dimension_mappings"],
        "multi_to_single": ["dimension_name", "partition_mapping"],
    }  # fmt: skip
    for name, expected in named.items():
        assert list(inspect.signature(getattr(PartitionMapping, name)).parameters) == expected
    assert next(iter(inspect.signature(PartitionMapping.time_window).parameters)) == "offset"
    assert key("a") == PartitionKey("a")
