"""Ranges as text, which the web UI writes and reads again."""

import pytest

import rivers as rs
from rivers.partitions.range_text import range_of_text, texts_of_range
from rivers.ui.backfills import partitions_of

KEYS = ["a", "a..c", "b", "c", "partition=a", "today", "x=1", "...", "c..a..c"]
DEFINITION = rs.PartitionsDefinition.static_(KEYS)
SINGLE = rs.PartitionKeyRange.single
GRID = rs.PartitionsDefinition.multi({"d": DEFINITION, "e": DEFINITION})


@pytest.mark.parametrize("key", KEYS)
def test_a_key_as_text_is_read_as_that_key(key):
    (text,) = texts_of_range(SINGLE(key, key))
    assert range_of_text(text, []) == SINGLE(key, key)
    for keys in ((key, key), [key]):
        (text,) = texts_of_range(rs.PartitionKeyRange.multi({"d": keys}))
        read = range_of_text(text, ["d", "e"])
        assert read.to_polars(GRID)["d"].unique().to_list() == [key]


@pytest.mark.parametrize("part", [SINGLE("a", "c"), SINGLE(None, "c"), SINGLE("a", None)])
def test_so_is_a_range(part):
    (text,) = texts_of_range(part)
    assert range_of_text(text, []) == part


@pytest.mark.parametrize("text", ["a,c", "a, c", "partition=a,c"])
def test_keys_of_a_single_dimension_are_listed_as_those_of_several(text):
    (key,) = partitions_of(text, [])["partition_keys"]
    assert key == rs.PartitionKey.single(["a", "c"])
