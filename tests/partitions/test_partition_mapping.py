"""`PartitionMapping` as a value; `planning/test_mappings.py` tests mappings in backfills."""

import pickle

import pytest

from rivers import PartitionMapping
from rivers.exceptions import PartitionDefinitionError

BEFORE = PartitionMapping.time_window(-1)
TO_LAND = PartitionMapping.static_({"rome": "it", "oslo": ["no"], "bern": ["ch", "it"]})

ALL_KINDS = [
    PartitionMapping.identity(),
    PartitionMapping.all_partitions(),
    TO_LAND,
    PartitionMapping.time_window(),
    PartitionMapping.time_window(-30),
    PartitionMapping.specific_partitions(["it", 'a"b', "c'd", "\x7f\\"]),
    PartitionMapping.for_keys(["rome"]),
    PartitionMapping.subset(),
    PartitionMapping.multi({"day": BEFORE, "city": ("land", TO_LAND)}),
    PartitionMapping.multi_to_single("day"),
    PartitionMapping.multi_to_single("day", BEFORE),
]


@pytest.mark.parametrize("mapping", ALL_KINDS, ids=repr)
def test_a_mapping_is_a_value(mapping):
    evaluated = eval(repr(mapping), {"PartitionMapping": PartitionMapping})
    copied = pickle.loads(pickle.dumps(mapping))
    assert evaluated == mapping == copied
    assert hash(evaluated) == hash(mapping) == hash(copied)
    assert [other == mapping for other in ALL_KINDS].count(True) == 1
    assert mapping != "something else"
    with pytest.raises(AttributeError):
        mapping.goes_back = True


def test_the_order_of_keys_does_not_matter():
    assert PartitionMapping.for_keys(["a", "b"]) == PartitionMapping.for_keys(["b", "a", "b"])
    assert PartitionMapping.static_({"a": "x"}) == PartitionMapping.static_({"a": ["x"]})


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
        (lambda: PartitionMapping.for_keys("abc"), TypeError, "list of str"),
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
