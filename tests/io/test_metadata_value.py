"""Kinds of metadata values."""

import pickle

import pytest

import rivers as rs
from rivers import MetadataValue

CASES = [
    ("text", "Text", "x"),
    ("int", "Int", 5),
    ("float_", "Float", 1.5),
    ("bool_", "Bool", True),
    ("url", "Url", "https://a.b/c"),
    ("path", "Path", "/a b"),
    ("json", "Json", {"a": [1, None]}),
    ("json", "Json", '{"a": 1}'),
    ("md", "Markdown", "# h"),
    ("timestamp", "Timestamp", 1700000000.5),
]


@pytest.mark.parametrize(("name", "kind", "content"), CASES)
def test_each_kind_is_a_class_that_holds_its_content(name, kind, content):
    value = getattr(MetadataValue, name)(content)
    assert value.raw_value() == content
    assert type(value.raw_value()) is type(content)
    assert isinstance(value, MetadataValue)
    assert isinstance(value, getattr(MetadataValue, name))
    assert isinstance(value, getattr(MetadataValue, kind))
    assert not isinstance(value, MetadataValue.Null)
    assert eval(repr(value), {"MetadataValue": MetadataValue}) == value
    assert pickle.loads(pickle.dumps(value)) == value
    assert hash(value) == hash(getattr(MetadataValue, name)(content))


def test_null_takes_no_content():
    value = MetadataValue.null()
    assert value.raw_value() is None
    assert isinstance(value, MetadataValue.Null)
    assert repr(value) == "MetadataValue.null()"
    assert pickle.loads(pickle.dumps(value)) == value


def test_equal_values_are_of_one_kind():
    assert MetadataValue.text("a") == MetadataValue.text("a") == "a"
    assert MetadataValue.text("a") != MetadataValue.path("a")
    assert MetadataValue.text("a") != MetadataValue.text("b")
    assert {"rows": MetadataValue.int(5)} == {"rows": 5}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("text", 5),
        ("int", "5"),
        ("int", 1.5),
        ("int", True),
        ("float_", "1"),
        ("bool_", 1),
        ("url", None),
        ("timestamp", "now"),
        ("json", object()),
        ("json", "{no json"),
    ],
)
def test_other_content_is_refused(name, content):
    with pytest.raises(TypeError, match=name):
        getattr(MetadataValue, name)(content)


def test_the_base_class_is_not_made():
    with pytest.raises(TypeError, match=r"MetadataValue\.text"):
        rs.MetadataValue()
