"""`store=` and `prefix=`: where a handler keeps its files, and what it does not see."""

import pickle

import polars as pl
import pytest
from obstore.store import LocalStore, MemoryStore
from tests.io.contexts import loading, multi, storing
from tests.support import keys

from rivers.exceptions import ConfigurationError, ExecutionError
from rivers.io import ParquetIOHandler, PickleIOHandler

HANDLERS = pytest.mark.parametrize("kind", [PickleIOHandler, ParquetIOHandler])
FRAME = pl.DataFrame({"x": [1]})


def names(store):
    return sorted(item["path"] for batch in store.list() for item in batch)


def test_a_store_is_given_by_keyword_or_first():
    store = MemoryStore()
    PickleIOHandler(store=store).handle_output(storing(*keys("k")), 1)
    assert PickleIOHandler(store).load_input(loading(*keys("k"))) == 1


@pytest.mark.parametrize("prefix", ["v1/x", "v1/x/"])
@HANDLERS
def test_every_object_begins_with_the_prefix(kind, prefix):
    store = MemoryStore()
    handler = kind(store=store, prefix=prefix)
    for partitions in ([], keys("k"), multi(("1", "us"))):
        handler.handle_output(storing(*partitions), FRAME)
        handler.load_input(loading(*partitions))
    assert len(names(store)) == 3
    assert all(name.startswith("v1/x/a") for name in names(store))


@pytest.mark.parametrize("make", [MemoryStore, None])
@HANDLERS
def test_handlers_with_different_prefixes_do_not_see_each_other(kind, make, tmp_path):
    place = tmp_path if make is None else make()
    one, other, none = (kind(place, prefix=prefix) for prefix in ("v1", "v2", ""))
    one.handle_output(storing(), FRAME)
    other.handle_output(storing(), None)
    assert one.load_input(loading()).equals(FRAME)
    assert other.load_input(loading()) is None
    with pytest.raises(ExecutionError, match="nothing is stored"):
        none.load_input(loading())


@HANDLERS
def test_a_prefix_is_a_folder_below_a_folder_or_url(kind, tmp_path):
    kind(tmp_path, prefix="v1").handle_output(storing(), FRAME)
    kind((tmp_path / "url").as_uri(), prefix="v1/x").handle_output(storing(), FRAME)
    found = {str(path.parent.relative_to(tmp_path)) for path in tmp_path.rglob("a.*")}
    assert found == {"v1", "url/v1/x"}


@HANDLERS
def test_a_handler_is_picklable_where_its_store_is(kind, tmp_path):
    handler = kind(store=LocalStore(tmp_path), prefix="v1")
    handler.handle_output(storing(), FRAME)
    assert pickle.loads(pickle.dumps(handler)).load_input(loading()).equals(FRAME)


@HANDLERS
def test_the_repr_names_the_prefix(kind):
    assert "prefix='v1'" in repr(kind(store=MemoryStore(), prefix="v1"))


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({}, TypeError),
        ({"base_dir": "x", "store": MemoryStore()}, TypeError),
        ({"store": "folder"}, TypeError),
        ({"store": 3}, TypeError),
        ({"base_dir": "x", "prefix": 3}, TypeError),
        ({"base_dir": "x", "prefix": "/v1"}, ConfigurationError),
        ({"base_dir": "x", "prefix": "../v1"}, ConfigurationError),
        ({"base_dir": "x", "prefix": "v1/../.."}, ConfigurationError),
        ({"base_dir": "x", "prefix": "v1\\..\\.."}, ConfigurationError),
        ({"base_dir": "x", "prefix": "v1//x"}, ConfigurationError),
        ({"base_dir": "x", "prefix": "C:/x"}, ConfigurationError),
    ],
)
@HANDLERS
def test_a_wrong_place_or_prefix_is_refused(kind, arguments, error):
    with pytest.raises(error):
        kind(**arguments)
