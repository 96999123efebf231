"""Any value, with each handler that takes any: what is stored is what is loaded."""

import doctest
import importlib

import pytest
from obstore.store import MemoryStore
from tests.io.contexts import loading, multi, storing
from tests.support import keys

from rivers import exceptions
from rivers.io import (
    InMemoryIOHandler,
    PickleIOHandler,
)


@pytest.mark.parametrize("module", ["base", "contexts", "memory", "parquet", "pickle"])
def test_docstring_examples_run(module):
    result = doctest.testmod(importlib.import_module(f"rivers.io.{module}"))
    assert result.attempted
    assert not result.failed


@pytest.fixture(params=["memory", "pickle", "objects"])
def handler(request, tmp_path):
    if request.param == "memory":
        return InMemoryIOHandler()
    return PickleIOHandler(tmp_path / "store" if request.param == "pickle" else MemoryStore())


def test_unpartitioned(handler):
    handler.handle_output(storing(), {"x": 1})
    assert handler.load_input(loading()) == {"x": 1}


def test_one_partition_each(handler):
    a, b = keys("a", "b")
    handler.handle_output(storing(a), 1)
    handler.handle_output(storing(b), 2)
    assert handler.load_input(loading(a)) == 1
    assert handler.load_input(loading(b, a)) == {"b": 2, "a": 1}


def test_dict_is_the_value_of_a_run_of_one_partition(handler):
    (a,) = keys("a")
    handler.handle_output(storing(a), {"a": 1})
    assert handler.load_input(loading(a)) == {"a": 1}


def test_dict_of_partition_keys_is_taken_apart_in_any_run(handler):
    (a,) = keys("a")
    handler.handle_output(storing(a), {a: 1})
    assert handler.load_input(loading(a)) == 1


def test_dict_of_texts_is_taken_apart_in_a_run_of_several(handler):
    a, b = keys("a", "b")
    handler.handle_output(storing(a, b), {"b": 2, "a": 1})
    assert handler.load_input(loading(a)) == 1
    assert handler.load_input(loading(a, b)) == {"a": 1, "b": 2}


def test_several_dimensions(handler):
    x, y = multi(("1", "us"), ("1", "eu"))
    handler.handle_output(storing(x, y), {x: 1, y: 2})
    assert handler.load_input(loading(y)) == 2
    assert handler.load_input(loading(x, y)) == {x: 1, y: 2}


def test_one_value_stands_for_all(handler):
    a, b, c = keys("a", "b", "c")
    handler.handle_output(storing(a, b), {"rate": 7})
    handler.handle_output(storing(c), 3)
    assert handler.load_input(loading(b, a)) == {"rate": 7}
    assert handler.load_input(loading(a)) == {"rate": 7}
    assert handler.load_input(loading(a, c)) == {"a": {"rate": 7}, "c": 3}


def test_one_value_no_longer_stands_for_what_was_replaced(handler):
    a, b = keys("a", "b")
    handler.handle_output(storing(a, b), "both")
    handler.handle_output(storing(b), "new")
    assert handler.load_input(loading(a, b)) == {"a": "both", "b": "new"}


def test_part_of_a_group_is_a_dict(handler):
    a, b, c = keys("a", "b", "c")
    handler.handle_output(storing(a, b, c), 5)
    assert handler.load_input(loading(a, b)) == {"a": 5, "b": 5}


def test_groups_stored_again_one_by_one_are_not_mixed_up(handler):
    a, b = keys("a", "b")
    handler.handle_output(storing(a, b), 1)
    handler.handle_output(storing(a, b), 2)
    assert handler.load_input(loading(a, b)) == 2


def test_dict_with_other_keys_too_is_refused(handler):
    a, b, c = keys("a", "b", "c")
    with pytest.raises(ValueError, match="not partitions of its run: 'c', 'n'; the run has"):
        handler.handle_output(storing(a, b), {a: 1, b: 2, c: 3, "n": 0})


@pytest.mark.parametrize("as_text", [True, False])
def test_dict_that_lacks_a_partition_is_refused(handler, as_text):
    a, b = keys("a", "b")
    with pytest.raises(exceptions.PartitionValidationError, match="no value for 'b'"):
        handler.handle_output(storing(a, b), {"a" if as_text else a: 1})


def test_failed_partitions_are_left_out(handler):
    a, b = keys("a", "b")
    handler.handle_output(storing(a, failed=[b]), {"a": 1, "b": 2})
    assert handler.load_input(loading(a)) == 1
    handler.handle_output(storing(a, failed=[b]), {"a": 3})
    assert handler.load_input(loading(a)) == 3
    handler.handle_output(storing(failed=[a, b]), 9)
    with pytest.raises(exceptions.ExecutionError, match="'b'"):
        handler.load_input(loading(a, b))


def test_none_is_a_value_and_takes_the_place_of_another(handler):
    a, b = keys("a", "b")
    handler.handle_output(storing(a), 1)
    handler.handle_output(storing(a), None)
    assert handler.load_input(loading(a)) is None
    handler.handle_output(storing(a, b), {a: None, b: 2})
    assert handler.load_input(loading(a, b)) == {"a": None, "b": 2}
    handler.handle_output(storing(a, b), None)
    assert handler.load_input(loading(a, b)) is None
    assert handler.load_input(loading(b)) is None
    handler.handle_output(storing(b), 3)
    assert handler.load_input(loading(b, a)) == {"b": 3, "a": None}


def test_falsy_values_are_kept(handler):
    handler.handle_output(storing(), 0)
    assert handler.load_input(loading()) == 0


def test_missing_says_what_and_what_to_do(handler):
    partitions = keys(*"abcdefg")
    with pytest.raises(exceptions.RiversError) as caught:
        handler.load_input(loading(*partitions, downstream="report"))
    message = str(caught.value)
    for part in ("'a'", "'e' and 2 more", "'report'", "materialize it first"):
        assert part in message


def test_missing_unpartitioned(handler):
    with pytest.raises(exceptions.ExecutionError, match="stored of asset 'a'; materialize it"):
        handler.load_input(loading())
