"""When two ranges are equal, and how a range shows itself."""

import pickle

import pytest

from rivers import PartitionKeyRange


def multi(**dimensions):
    return PartitionKeyRange.multi(dimensions)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (PartitionKeyRange.single("a", "b"), PartitionKeyRange.single("a", "b")),
        (multi(a=["x", "y"]), multi(a=["y", "x"])),
        (multi(a=["x"], b=("1", "2")), multi(b=("1", "2"), a=["x"])),
        (multi(a=["x", "x"]), multi(a=["x"])),
        (multi(), multi()),
    ],
)
def test_ranges_that_select_alike_are_equal(one, other):
    assert one == other
    assert hash(one) == hash(other)
    assert len({one, other}) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (PartitionKeyRange.single("a", "b"), PartitionKeyRange.single("a", "c")),
        (PartitionKeyRange.single("a", "b"), multi(a=("a", "b"))),
        (multi(a=("x", "y")), multi(a=["x", "y"])),
        (multi(a=("x", "y")), multi(a=("y", "x"))),
        (multi(a=["x"]), multi(a=["x"], b=["y"])),
        (multi(a=["x"]), "text"),
    ],
)
def test_ranges_that_select_differently_are_not(one, other):
    assert one != other


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (
            PartitionKeyRange.single("a", "b"),
            'PartitionKeyRange.single(from_key="a", to_key="b")',
        ),
        (
            multi(b=("1", "2"), a=["y", "x"]),
            'PartitionKeyRange.multi({"a": ["x", "y"], "b": ("1", "2")})',
        ),
        (multi(), "PartitionKeyRange.multi({})"),
        (
            PartitionKeyRange.single('say "hi"', "back\\slash é"),
            'PartitionKeyRange.single(from_key="say \\"hi\\"", to_key="back\\\\slash é")',
        ),
    ],
)
def test_a_repr_has_double_quotes_is_sorted_and_evaluates_back(given, shown):
    assert repr(given) == shown
    assert eval(shown) == given


def test_a_range_is_picklable_and_keeps_the_given_order():
    given = multi(b=["y", "x"], a=("1", "2"))
    assert pickle.loads(pickle.dumps(given)) == given
    assert given.dimensions == [("b", ["y", "x"]), ("a", ("1", "2"))]
