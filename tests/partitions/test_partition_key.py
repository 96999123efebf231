"""Partition keys: equality, text forms, several values in one key."""

import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivers import PartitionKey, PartitionsDefinition
from rivers.exceptions import PartitionDefinitionError

REGIONS = PartitionsDefinition.static_(["us", "eu", "asia"])
GRID = PartitionsDefinition.multi({"d": PartitionsDefinition.static_(["x", "y"]), "r": REGIONS})

values = st.text(st.characters(codec="utf-8", exclude_characters="|,"), min_size=1)
names = st.text(st.characters(codec="utf-8", exclude_characters="|,="), min_size=1)
keys = st.one_of(
    st.lists(values, min_size=1, max_size=3).map(PartitionKey.single),
    st.dictionaries(names, st.lists(values, min_size=1, max_size=3), min_size=1, max_size=3).map(
        PartitionKey.multi
    ),
)


def texts(result):
    return [str(key) for key in result.partition_keys]


def test_single():
    one, several = PartitionKey.single("a"), PartitionKey.single(["a", "b"])
    assert isinstance(one, PartitionKey.Single)
    assert isinstance(one, PartitionKey)
    assert not isinstance(one, PartitionKey.Multi)
    assert one.key == ["a"]
    assert several.key == ["a", "b"]
    assert isinstance(several.key, list)
    assert PartitionKey.Single(["a", "b"]) == several


def test_multi():
    key = PartitionKey.multi({"d": "x", "r": ["us", "eu"]})
    assert isinstance(key, PartitionKey.Multi)
    assert isinstance(key, PartitionKey)
    assert not isinstance(key, PartitionKey.Single)
    assert key.keys == {"d": ["x"], "r": ["us", "eu"]}
    assert list(key.keys) == ["d", "r"]
    assert PartitionKey.Multi({"d": "x", "r": ["us", "eu"]}) == key


def test_a_multi_key_stands_for_the_product_of_its_values(repo):
    key = PartitionKey.multi({"d": "x", "r": ["us", "eu"]})
    result = repo(GRID).backfill(partition_keys=[key], dry_run=True)
    assert result.num_partitions == 2
    assert texts(result) == ["d=x|r=us", "d=x|r=eu"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (PartitionKey.single("a"), PartitionKey.single(["a"])),
        (PartitionKey.single(["a", "b"]), PartitionKey.single(["b", "a"])),
        (PartitionKey.single(["a", "b"]), PartitionKey.single(["b", "a", "b"])),
        (PartitionKey.multi({"d": "x", "r": "y"}), PartitionKey.multi({"r": ["y"], "d": ["x"]})),
        (PartitionKey.multi({"d": ["x", "y"]}), PartitionKey.multi({"d": ["y", "x"]})),
    ],
)
def test_equality_and_hash_are_those_of_the_set(one, other):
    assert one == other
    assert hash(one) == hash(other)
    assert len({one, other}) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (PartitionKey.single("a"), PartitionKey.single("b")),
        (PartitionKey.single("a"), PartitionKey.single(["a", "b"])),
        (PartitionKey.single("a"), PartitionKey.multi({"d": "a"})),
        (PartitionKey.multi({"d": "a"}), PartitionKey.multi({"e": "a"})),
        (PartitionKey.multi({"d": "a"}), PartitionKey.multi({"d": "a", "e": "b"})),
        (PartitionKey.single("a"), "a"),
    ],
)
def test_keys_of_different_sets_are_not_equal(one, other):
    assert one != other


def test_keys_of_results_equal_those_that_were_given(repo):
    given_keys = [PartitionKey.multi({"r": region, "d": "y"}) for region in ("eu", "us")]
    found = repo(GRID).backfill(partition_keys=given_keys, dry_run=True).partition_keys
    assert found == given_keys
    assert set(found) == set(given_keys)
    assert pickle.loads(pickle.dumps(found)) == given_keys
    assert found[0].keys == {"d": ["y"], "r": ["eu"]}


@given(keys)
def test_picklable(key):
    copy = pickle.loads(pickle.dumps(key))
    assert copy == key
    assert type(copy) is type(key)
    assert str(copy) == str(key)


@given(keys)
def test_repr_evaluates_back(key):
    assert eval(repr(key), {"PartitionKey": PartitionKey}) == key


def test_repr_has_double_quotes_and_is_sorted():
    assert repr(PartitionKey.single("x")) == 'PartitionKey("x")'
    assert repr(PartitionKey.single(["y", "x"])) == 'PartitionKey(["x", "y"])'
    assert repr(PartitionKey.multi({"b": ["y", "x"], "a": "1"})) == (
        'PartitionKey({"a": "1", "b": ["x", "y"]})'
    )
    assert repr(PartitionKey.single('it\'s "x"\n')) == 'PartitionKey("it\'s \\"x\\"\\n")'


def test_the_class_makes_keys_by_the_type_of_its_argument():
    for value in ("x", ["x", "y"], ("x", "y")):
        assert PartitionKey(value) == PartitionKey.single(value)
        assert isinstance(PartitionKey(value), PartitionKey.Single)
    multi = PartitionKey({"a": "1", "b": ["x", "y"]})
    assert multi == PartitionKey.multi({"a": "1", "b": ["x", "y"]})
    assert isinstance(multi, PartitionKey.Multi)
    for wrong in (3, None, {"x"}, [3], {"a": 3}, {3: "a"}):
        with pytest.raises(TypeError):
            PartitionKey(wrong)
    for empty in ([], {}, "", {"a": []}, "a|b", {"a=b": "c"}):
        with pytest.raises(PartitionDefinitionError):
            PartitionKey(empty)


def test_str():
    assert str(PartitionKey.single("a")) == "a"
    assert str(PartitionKey.single(["a", "b"])) == "a,b"
    assert str(PartitionKey.multi({"d": "x", "r": ["us", "eu"]})) == "d=x|r=us,eu"


@given(keys)
def test_json_round_trip(key):
    text = key.to_json()
    json.loads(text)
    back = PartitionKey.from_json(text)
    assert back == key
    assert type(back) is type(key)
    assert str(back) == str(key)


@pytest.mark.parametrize(
    "text", ["", "nope", "{}", '{"single": []}', '{"single": "a"}', '{"multi": {}}']
)
def test_json_that_is_no_key_is_refused(text):
    with pytest.raises(PartitionDefinitionError):
        PartitionKey.from_json(text)


def test_counts_are_of_partitions(repo):
    repository = repo(GRID, GRID)
    key = PartitionKey.multi({"d": ["x", "y"], "r": ["us", "eu", "asia"]})
    result = repository.backfill(partition_keys=[key])
    assert (result.num_partitions, result.num_runs, result.completed) == (6, 6, 6)
    status = repository.get_backfill(result.backfill_id)
    assert (status.total_partitions, status.completed_partitions) == (6, 6)


def test_several_values_are_expanded_in_order(repo):
    grid = [
        PartitionKey.multi({"r": ["asia", "us"], "d": ["y", "x"]}),
        PartitionKey.multi({"r": "eu", "d": "y"}),
    ]
    result = repo(GRID).backfill(partition_keys=grid, dry_run=True)
    expected = ["d=y|r=asia", "d=y|r=us", "d=x|r=asia", "d=x|r=us", "d=y|r=eu"]
    assert texts(result) == expected
    result = repo(REGIONS).backfill(
        partition_keys=[PartitionKey.single(["eu", "us"])], dry_run=True
    )
    assert texts(result) == ["eu", "us"]


def test_duplicates_dropped_first_kept(repo, recording):
    asset, calls = recording(REGIONS)
    keys = [PartitionKey.single(key) for key in ("eu", "us", "eu", ["asia", "us"], "asia")]
    result = repo(asset).backfill(partition_keys=keys, max_concurrency=1)
    assert texts(result) == ["eu", "us", "asia"]
    assert calls == [["eu"], ["us"], ["asia"]]
    assert (result.num_partitions, result.num_runs) == (3, 3)
    assert result.completed + result.failed + result.canceled == 3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: PartitionKey.single([]),
            "a partition key needs at least one value, got an empty list",
        ),
        (
            lambda: PartitionKey.multi({"d": []}),
            'a partition key needs at least one value for the dimension "d", got an empty list',
        ),
        (
            lambda: PartitionKey.multi({}),
            "a partition key needs at least one dimension, got an empty dict",
        ),
        (lambda: PartitionKey.single(""), "a partition key may not be empty"),
        (lambda: PartitionKey.multi({"": "a"}), "a dimension's name may not be empty"),
    ],
)
def test_empty_is_refused(make, message):
    with pytest.raises(PartitionDefinitionError) as refused:
        make()
    assert str(refused.value) == message


@pytest.mark.parametrize(
    "make",
    [
        PartitionKey.single,
        lambda key: PartitionKey.multi({"d": ["a", key]}),
        lambda key: PartitionsDefinition.static_(["a", key]),
    ],
)
@pytest.mark.parametrize("key", ["a|b", "a,b"])
def test_reserved_characters_are_refused_in_keys(make, key):
    with pytest.raises(PartitionDefinitionError, match=rf"the key \"a.b\" holds .* '\{key[1]}'"):
        make(key)


@pytest.mark.parametrize("make", [lambda name: PartitionKey.multi({name: "a"}),
                                  lambda name: PartitionsDefinition.multi({name: REGIONS})])  # fmt: skip
@pytest.mark.parametrize("name", ["a|b", "a,b", "a=b"])
def test_reserved_characters_are_refused_in_dimension_names(make, name):
    with pytest.raises(
        PartitionDefinitionError, match=rf"the dimension name \"a.b\" .* '\{name[1]}'"
    ):
        make(name)


def test_equal_signs_are_allowed_in_keys():
    assert PartitionKey.single("a=b").key == ["a=b"]


@pytest.mark.parametrize("value", [1, None, {"a"}, [1], ["a", None]])
def test_values_of_other_types_are_refused(value):
    with pytest.raises(TypeError, match="must be a str or a list of str"):
        PartitionKey.single(value)
    with pytest.raises(TypeError, match="must be a str or a list of str"):
        PartitionKey.multi({"d": value})
