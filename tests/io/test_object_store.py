"""Handlers on an object store. `test_values.py` has the rules for values, also with a store in memory."""

import pickle
import sys
import threading

import obstore
import polars as pl
import pytest
from obstore.store import LocalStore, MemoryStore, S3Store
from polars.testing import assert_frame_equal
from tests.io.contexts import loading, multi, storing
from tests.io.test_paths import NASTY
from tests.support import keys

from rivers import exceptions
from rivers.io import (
    InputContext,
    OutputContext,
    ParquetIOHandler,
    PickleIOHandler,
)

FRAME = pl.DataFrame({"day": ["1", "2"], "x": [1, 2]})


def test_objects_have_the_names_of_files(tmp_path):
    store = LocalStore(tmp_path)
    PickleIOHandler(store).handle_output(storing(*keys("1")), 1)
    ParquetIOHandler(store).handle_output(storing(*multi(("1", "us"))), FRAME)
    names = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert names == {"a/1.pickle", "a/day=1/region=us/data.parquet"}
    assert PickleIOHandler(tmp_path).load_input(loading(*keys("1"))) == 1


def test_frames_are_split_and_replaced():
    handler = ParquetIOHandler(MemoryStore(), partition_by="day")
    one, two = keys("1", "2")
    handler.handle_output(storing(one, two), FRAME)
    handler.handle_output(storing(two), FRAME.clear())
    assert_frame_equal(handler.load_input(loading(one)), FRAME[:1])
    assert handler.load_input(loading(two)).is_empty()
    with pytest.raises(exceptions.ExecutionError, match="'3'"):
        handler.load_input(loading(*keys("3")))


def test_nasty_names_stay_apart_and_come_back():
    handler = PickleIOHandler(MemoryStore())
    names = [name for name in NASTY if name]
    for name in names:
        handler.handle_output(OutputContext(name), name)
    assert [handler.load_input(InputContext(name, None)) for name in names] == names


def test_what_fails_to_be_written_leaves_the_old_object():
    handler = PickleIOHandler(MemoryStore())
    handler.handle_output(storing(), 1)
    with pytest.raises(Exception, match=r"(?i)pickle"):
        handler.handle_output(storing(), threading.Lock())
    frames = ParquetIOHandler(MemoryStore())
    frames.handle_output(storing(), FRAME)
    with pytest.raises(pl.exceptions.PolarsError):
        frames.handle_output(storing(), pl.DataFrame({"x": [object()]}))
    assert handler.load_input(loading()) == 1
    assert_frame_equal(frames.load_input(loading()), FRAME)


def test_only_a_store_in_memory_is_of_one_process(tmp_path):
    for memory in (MemoryStore(), "memory:///"):
        assert PickleIOHandler(memory).reach == "process"
        assert ParquetIOHandler(memory).reach == "process"
    assert PickleIOHandler(LocalStore(tmp_path)).reach == "machine"


def test_url_with_options_opens_a_store_that_can_travel():
    options = {"access_key_id": "id", "secret_access_key": "hidden", "region": "eu-west-1"}
    handler = PickleIOHandler("s3://bucket/prefix", storage_options=options)
    copy = pickle.loads(pickle.dumps(handler))
    assert isinstance(copy._files._store, S3Store)
    assert copy._files._store.prefix == "prefix"
    assert copy._files._store.config["region"] == "eu-west-1"
    assert repr(copy) == "PickleIOHandler('s3://bucket/prefix')"


def test_url_of_a_file_is_a_folder(tmp_path):
    handler = PickleIOHandler((tmp_path / "with space").as_uri())
    handler.handle_output(storing(), 1)
    assert [path.name for path in (tmp_path / "with space").iterdir()] == ["a.pickle"]


@pytest.mark.parametrize("make", [PickleIOHandler, ParquetIOHandler])
def test_what_cannot_be_opened_is_refused_at_once(make, tmp_path, monkeypatch):
    with pytest.raises(exceptions.ConfigurationError, match="'foo://x' cannot be opened"):
        make("foo://x")
    with pytest.raises(exceptions.ConfigurationError, match="'nope' is not valid for store"):
        make("s3://bucket", storage_options={"nope": "x"})
    for place in (tmp_path, MemoryStore()):
        with pytest.raises(exceptions.ConfigurationError, match="storage_options are for"):
            make(place, storage_options={"region": "x"})
    with pytest.raises(TypeError, match="obstore store, not in 3"):
        make(3)
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    with pytest.raises(exceptions.ConfigurationError, match=r"pip install 'rivers\[obstore\]'"):
        make("s3://bucket")


# -- lazy frames -----------------------------------------------------------------------------------

PARTS = {
    "a": pl.DataFrame({"k": ["a"], "x": [1]}),
    "b": pl.DataFrame({"x": [2.5, 3.5], "y": ["p", None]}),
}


@pytest.fixture
def fetched(monkeypatch):
    """The paths of the objects that are fetched whole."""
    paths = []
    get = obstore.get

    def recording(store, path, **options):
        paths.append(path)
        return get(store, path, **options)

    monkeypatch.setattr(obstore, "get", recording)
    return paths


@pytest.fixture(params=["memory", "local"])
def parts(request, tmp_path):
    """A handler over a store to which Polars has no access, with two partitions."""
    store = MemoryStore() if request.param == "memory" else LocalStore(tmp_path)
    handler = ParquetIOHandler(store)
    for key, frame in PARTS.items():
        handler.handle_output(storing(*keys(key)), frame)
    return handler


def test_objects_of_a_lazy_frame_are_fetched_when_it_is_collected(parts, fetched):
    lazy = parts.load_input(loading(*keys("a", "b"), type_hint=pl.LazyFrame))
    assert fetched == []
    assert lazy.collect_schema() == {"k": pl.String, "x": pl.Float64, "y": pl.String}
    assert fetched == []
    rows = [("a", 1.0, None), (None, 2.5, "p"), (None, 3.5, None)]
    assert lazy.collect().rows() == rows
    assert sorted(fetched) == ["a/a.parquet", "a/b.parquet"]


def test_what_is_done_to_a_lazy_frame_is_done_to_its_objects(parts):
    lazy = parts.load_input(loading(*keys("a", "b"), type_hint=pl.LazyFrame))
    assert lazy.filter(pl.col("x") > 1).select("y").collect().rows() == [("p",), (None,)]
    assert lazy.select(pl.len()).collect().item() == 3
    assert lazy.head(2).collect().height == 2
    assert lazy.select(pl.col("x").sum()).collect().item() == 7
    assert lazy.collect(engine="streaming").height == 3
    one = parts.load_input(loading(*keys("b"), type_hint=pl.LazyFrame))
    assert one.select(pl.len()).collect().item() == 2


def test_objects_that_cannot_be_combined_are_named_before_they_are_fetched(parts, fetched):
    parts.handle_output(storing(*keys("c")), pl.DataFrame({"x": ["text"]}))
    with pytest.raises(exceptions.ExecutionError, match="'x'"):
        parts.load_input(loading(*keys("a", "c"), type_hint=pl.LazyFrame))
    assert fetched == []
