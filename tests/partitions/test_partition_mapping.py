"""`PartitionMapping` as a value; `planning/test_mappings.py` tests mappings in backfills."""

import pickle

import pytest

from rivers import PartitionKey, PartitionKeyRange, PartitionMapping
from rivers.exceptions import PartitionDefinitionError, PartitionValidationError

BEFORE = PartitionMapping.time_window(-1)
TO_LAND = PartitionMapping.static_({"rome": "it", "oslo": ["no"], "bern": ["ch", "it"]})

ALL_KINDS = [
    PartitionMapping.identity(),
    PartitionMapping.all_partitions(),
    TO_LAND,
    PartitionMapping.time_window(),
    PartitionMapping.time_window(-30),
    PartitionMapping.specific_partitions(["it", 'a"b', "c'd", "\x7f\\"]),
    PartitionMapping.time_window(start_offset=-6, end_offset=0),
    PartitionMapping.for_keys([PartitionKey.single("rome")]),
    PartitionMapping.for_keys(
        [
            PartitionKey.multi({"city": ["rome", "oslo"], "day": '"'}),
            PartitionKeyRange.multi({"city": ["oslo"], "day": ("a", "b")}),
        ]
    ),
    PartitionMapping.for_keys([PartitionKeyRange.single("a", "b")]),
    PartitionMapping.subset(),
    PartitionMapping.multi({"day": BEFORE, "land": ("city", TO_LAND)}),
    PartitionMapping.multi({"from": ("city", TO_LAND), "to": ("city", PartitionMapping.subset())}),
    PartitionMapping.multi_to_single("day"),
    PartitionMapping.multi_to_single("day", BEFORE),
]


@pytest.mark.parametrize("mapping", ALL_KINDS, ids=repr)
def test_a_mapping_is_a_value(mapping):
    names = {each.__name__: each for each in (PartitionKey, PartitionKeyRange, PartitionMapping)}
    evaluated = eval(repr(mapping), names)
    copied = pickle.loads(pickle.dumps(mapping))
    assert evaluated == mapping == copied
    assert hash(evaluated) == hash(mapping) == hash(copied)
    assert [other == mapping for other in ALL_KINDS].count(True) == 1
    assert mapping != "something else"
    with pytest.raises(AttributeError):
        mapping.goes_back = True


def test_the_order_of_keys_does_not_matter():
    a, b = PartitionKey.single("a"), PartitionKey.single("b")
    assert PartitionMapping.for_keys([a, b]) == PartitionMapping.for_keys([b, a, b])
    assert hash(PartitionMapping.for_keys([a, b])) == hash(PartitionMapping.for_keys([b, a]))
    assert PartitionMapping.for_keys([a]) != PartitionMapping.for_keys([a, b])
    assert PartitionMapping.static_({"a": "x"}) == PartitionMapping.static_({"a": ["x"]})


def test_the_arguments_have_the_documented_names():
    assert PartitionMapping.static_(mapping={"a": "b"}) == PartitionMapping.static_({"a": "b"})
    assert PartitionMapping.time_window(offset=-1) == BEFORE
    assert PartitionMapping.specific_partitions(
        partition_keys=["a"]
    ) == PartitionMapping.specific_partitions(["a"])
    day = PartitionKey.single("a")
    assert PartitionMapping.for_keys(selectors=[day]) == PartitionMapping.for_keys([day])
    assert PartitionMapping.multi(dimension_mappings={"d": BEFORE}) == PartitionMapping.multi(
        {"d": ("d", BEFORE)}
    )
    assert PartitionMapping.multi_to_single(
        dimension_name="d", partition_mapping=BEFORE
    ) == PartitionMapping.multi_to_single("d", BEFORE)
    assert PartitionMapping.multi_to_single("d") == PartitionMapping.multi_to_single(
        "d", PartitionMapping.identity()
    )


def test_a_mapping_shows_the_call_that_makes_it():
    mapping = PartitionMapping.multi({"day": BEFORE, "land": ("city", TO_LAND)})
    assert repr(mapping) == (
        'PartitionMapping.multi({"day": PartitionMapping.time_window(offset=-1), "land": ("city", '
        'PartitionMapping.static_({"bern": ["ch", "it"], "oslo": "no", "rome": "it"}))})'
    )
    assert repr(PartitionMapping.multi_to_single("d")) == (
        'PartitionMapping.multi_to_single(dimension_name="d", '
        "partition_mapping=PartitionMapping.identity())"
    )


@pytest.mark.parametrize(
    ("given", "offsets"),
    [
        ({}, (0, 0, 0)),
        ({"offset": 3}, (3, 3, 3)),
        ({"start_offset": -6}, (None, -6, 0)),
        ({"end_offset": 2}, (None, 0, 2)),
        ({"start_offset": -2, "end_offset": -2}, (-2, -2, -2)),
    ],
)
def test_time_window_takes_one_offset_or_two(given, offsets):
    mapping = PartitionMapping.time_window(**given)
    assert (mapping.offset, mapping.start_offset, mapping.end_offset) == offsets


KINDS = [
    (PartitionMapping.identity(), PartitionMapping.Identity, {}),
    (PartitionMapping.all_partitions(), PartitionMapping.AllPartitions, {}),
    (
        TO_LAND,
        PartitionMapping.Static,
        {"mapping": {"rome": "it", "oslo": "no", "bern": ["ch", "it"]}},
    ),
    (BEFORE, PartitionMapping.TimeWindow, {"offset": -1}),
    (
        PartitionMapping.specific_partitions(["b", "a"]),
        PartitionMapping.SpecificPartitions,
        {"partition_keys": ["a", "b"]},
    ),
    (
        PartitionMapping.for_keys([PartitionKey.single("a"), PartitionKeyRange.single("b", "c")]),
        PartitionMapping.ForKeys,
        {"selectors": [PartitionKey.single("a"), PartitionKeyRange.single("b", "c")]},
    ),
    (PartitionMapping.subset(), PartitionMapping.Subset, {}),
    (
        PartitionMapping.multi({"day": BEFORE, "land": ("city", TO_LAND)}),
        PartitionMapping.Multi,
        {"dimension_mappings": {"day": ("day", BEFORE), "land": ("city", TO_LAND)}},
    ),
    (
        PartitionMapping.multi_to_single("day", BEFORE),
        PartitionMapping.MultiToSingle,
        {"dimension_name": "day", "partition_mapping": BEFORE},
    ),
]


@pytest.mark.parametrize(("mapping", "kind", "attributes"), KINDS, ids=repr)
def test_a_mapping_is_an_instance_of_its_kind_only(mapping, kind, attributes):
    kinds = {kind for _, kind, _ in KINDS}
    for same in (mapping, pickle.loads(pickle.dumps(mapping))):
        assert isinstance(same, PartitionMapping)
        assert {each for each in kinds if isinstance(same, each)} == {kind}
        assert {name: getattr(same, name) for name in attributes} == attributes
    for _, _, others in KINDS:
        for name in others.keys() - attributes.keys():
            assert not hasattr(mapping, name)


@pytest.mark.parametrize(
    ("make", "error", "told"),
    [
        (lambda: PartitionMapping.static_({}), PartitionDefinitionError, "at least one"),
        (lambda: PartitionMapping.for_keys([]), PartitionDefinitionError, "at least one"),
        (
            lambda: PartitionMapping.specific_partitions([]),
            PartitionDefinitionError,
            "at least one",
        ),
        (lambda: PartitionMapping.multi({}), PartitionDefinitionError, "at least one"),
        (lambda: PartitionMapping.for_keys("abc"), TypeError, "list of PartitionKey"),
        (lambda: PartitionMapping.for_keys(["abc"]), TypeError, "PartitionKeyRange, got abc"),
        (lambda: PartitionMapping.time_window(1, end_offset=2), TypeError, "either offset"),
        (lambda: PartitionMapping.static_(["a"]), TypeError, "a dict"),
        (lambda: PartitionMapping.static_({"a": 1}), TypeError, "a: 1"),
        (lambda: PartitionMapping.multi({"a": "b"}), TypeError, "a: b"),
        (
            lambda: PartitionMapping.multi({"a": PartitionMapping.multi_to_single("b")}),
            PartitionDefinitionError,
            "cannot stand in it",
        ),
    ],
)
def test_a_wrong_argument_is_refused_at_once(make, error, told):
    with pytest.raises(error, match=told):
        make()


@pytest.mark.parametrize(
    "make",
    [
        lambda: PartitionMapping.static_({}),
        lambda: PartitionMapping.specific_partitions([]),
        lambda: PartitionMapping.for_keys([]),
        lambda: PartitionMapping.multi({}),
        lambda: PartitionMapping.multi({"a": PartitionMapping.multi({"b": BEFORE})}),
        lambda: PartitionMapping.multi({"a": PartitionMapping.multi_to_single("b")}),
        lambda: PartitionMapping.multi({"a": ALL_KINDS[7]}),
        lambda: PartitionMapping.multi_to_single("a", PartitionMapping.multi({"b": BEFORE})),
        lambda: PartitionMapping.multi_to_single("a", PartitionMapping.multi_to_single("b")),
        lambda: PartitionMapping.time_window(start_offset=1, end_offset=-1),
    ],
)
@pytest.mark.parametrize("error", [PartitionDefinitionError, PartitionValidationError])
def test_a_mapping_that_is_invalid_in_itself_is_both_kinds_of_error(make, error):
    with pytest.raises(error):
        make()
