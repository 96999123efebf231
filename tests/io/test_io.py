"""IO handlers: what is stored is what is loaded, wherever it is kept."""

import doctest
import importlib
import pickle
import sys
import threading
from datetime import date

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from obstore.store import LocalStore, MemoryStore, S3Store
from polars.testing import assert_frame_equal

import rivers as rs
from rivers import exceptions
from rivers.io import (
    InMemoryIOHandler,
    InputContext,
    OutputContext,
    ParquetIOHandler,
    PickleIOHandler,
)
from rivers.io.paths import MAX_NAME_BYTES, partition_path, replacing


def single(*keys):
    return [rs.PartitionKey.single(key) for key in keys]


def multi(*pairs):
    return [rs.PartitionKey.multi({"day": day, "region": region}) for day, region in pairs]


def out(*partitions, failed=()):
    return OutputContext("a", list(partitions), "r1", failed=list(failed))


def wanted(*partitions, **kwargs):
    return InputContext("a", list(partitions), **kwargs)


@pytest.fixture(params=["memory", "pickle", "objects"])
def handler(request, tmp_path):
    if request.param == "memory":
        return InMemoryIOHandler()
    return PickleIOHandler(tmp_path / "store" if request.param == "pickle" else MemoryStore())


@pytest.fixture
def parquet(tmp_path):
    return ParquetIOHandler(tmp_path / "store", partition_by="day")


@pytest.fixture
def hive(tmp_path):
    return ParquetIOHandler(tmp_path / "store")


@pytest.mark.parametrize("module", ["base", "memory", "parquet", "pickle"])
def test_docstring_examples_run(module):
    result = doctest.testmod(importlib.import_module(f"rivers.io.{module}"))
    assert result.attempted
    assert not result.failed


class TestAnyValue:
    def test_unpartitioned(self, handler):
        handler.handle_output(out(), {"x": 1})
        assert handler.load_input(wanted()) == {"x": 1}

    def test_one_partition_each(self, handler):
        a, b = single("a", "b")
        handler.handle_output(out(a), 1)
        handler.handle_output(out(b), 2)
        assert handler.load_input(wanted(a)) == 1
        assert handler.load_input(wanted(b, a)) == {"b": 2, "a": 1}

    def test_dict_is_the_value_of_a_run_of_one_partition(self, handler):
        (a,) = single("a")
        handler.handle_output(out(a), {"a": 1})
        assert handler.load_input(wanted(a)) == {"a": 1}

    def test_dict_of_partition_keys_is_taken_apart_in_any_run(self, handler):
        (a,) = single("a")
        handler.handle_output(out(a), {a: 1})
        assert handler.load_input(wanted(a)) == 1

    def test_dict_of_texts_is_taken_apart_in_a_run_of_several(self, handler):
        a, b = single("a", "b")
        handler.handle_output(out(a, b), {"b": 2, "a": 1})
        assert handler.load_input(wanted(a)) == 1
        assert handler.load_input(wanted(a, b)) == {"a": 1, "b": 2}

    def test_several_dimensions(self, handler):
        x, y = multi(("1", "us"), ("1", "eu"))
        handler.handle_output(out(x, y), {x: 1, y: 2})
        assert handler.load_input(wanted(y)) == 2
        assert handler.load_input(wanted(x, y)) == {x: 1, y: 2}

    def test_one_value_stands_for_all(self, handler):
        a, b, c = single("a", "b", "c")
        handler.handle_output(out(a, b), {"rate": 7})
        handler.handle_output(out(c), 3)
        assert handler.load_input(wanted(b, a)) == {"rate": 7}
        assert handler.load_input(wanted(a)) == {"rate": 7}
        assert handler.load_input(wanted(a, c)) == {"a": {"rate": 7}, "c": 3}

    def test_one_value_no_longer_stands_for_what_was_replaced(self, handler):
        a, b = single("a", "b")
        handler.handle_output(out(a, b), "both")
        handler.handle_output(out(b), "new")
        assert handler.load_input(wanted(a, b)) == {"a": "both", "b": "new"}

    def test_part_of_a_group_is_a_dict(self, handler):
        a, b, c = single("a", "b", "c")
        handler.handle_output(out(a, b, c), 5)
        assert handler.load_input(wanted(a, b)) == {"a": 5, "b": 5}

    def test_groups_stored_again_one_by_one_are_not_mixed_up(self, handler):
        a, b = single("a", "b")
        handler.handle_output(out(a, b), 1)
        handler.handle_output(out(a, b), 2)
        assert handler.load_input(wanted(a, b)) == 2

    def test_dict_with_other_keys_too_is_refused(self, handler):
        a, b, c = single("a", "b", "c")
        with pytest.raises(ValueError, match="not partitions of its run: 'c', 'n'; the run has"):
            handler.handle_output(out(a, b), {a: 1, b: 2, c: 3, "n": 0})

    @pytest.mark.parametrize("as_text", [True, False])
    def test_dict_that_lacks_a_partition_is_refused(self, handler, as_text):
        a, b = single("a", "b")
        with pytest.raises(exceptions.PartitionValidationError, match="no value for 'b'"):
            handler.handle_output(out(a, b), {"a" if as_text else a: 1})

    def test_failed_partitions_are_left_out(self, handler):
        a, b = single("a", "b")
        handler.handle_output(out(a, failed=[b]), {"a": 1, "b": 2})
        assert handler.load_input(wanted(a)) == 1
        handler.handle_output(out(a, failed=[b]), {"a": 3})
        assert handler.load_input(wanted(a)) == 3
        handler.handle_output(out(failed=[a, b]), 9)
        with pytest.raises(exceptions.ExecutionError, match="'b'"):
            handler.load_input(wanted(a, b))

    def test_none_is_not_kept_and_removes_nothing(self, handler):
        a, b = single("a", "b")
        handler.handle_output(out(a), 1)
        handler.handle_output(out(a), None)
        handler.handle_output(out(a, b), None)
        handler.handle_output(out(a, b), {a: None, b: None})
        assert handler.load_input(wanted(a)) == 1
        with pytest.raises(exceptions.ExecutionError):
            handler.load_input(wanted(b))

    def test_falsy_values_are_kept(self, handler):
        handler.handle_output(out(), 0)
        assert handler.load_input(wanted()) == 0

    def test_missing_says_what_and_what_to_do(self, handler):
        keys = single(*"abcdefg")
        with pytest.raises(exceptions.RiversError) as caught:
            handler.load_input(wanted(*keys, downstream="report"))
        message = str(caught.value)
        for part in ("'a'", "'e' and 2 more", "'report'", "materialize it first"):
            assert part in message

    def test_missing_unpartitioned(self, handler):
        with pytest.raises(exceptions.ExecutionError, match="stored of asset 'a'; materialize it"):
            handler.load_input(wanted())


class TestMemory:
    def test_is_of_one_process(self):
        handler = InMemoryIOHandler()
        handler.handle_output(out(), 1)
        assert not handler.shared_between_processes
        copy = pickle.loads(pickle.dumps(handler))
        with pytest.raises(exceptions.ExecutionError):
            copy.load_input(wanted())

    def test_value_is_the_same_object(self):
        handler, value = InMemoryIOHandler(), object()
        handler.handle_output(out(), value)
        assert handler.load_input(wanted()) is value

    def test_many_threads(self):
        handler = InMemoryIOHandler()
        keys = single(*map(str, range(400)))

        def store(number):
            for key in keys[number::4]:
                handler.handle_output(out(key), key.key[0])

        threads = [threading.Thread(target=store, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert handler.load_input(wanted(*keys)) == {str(n): str(n) for n in range(400)}


class TestPickle:
    def test_making_one_writes_nothing(self, tmp_path):
        assert PickleIOHandler(tmp_path / "store").shared_between_processes
        assert not list(tmp_path.iterdir())

    def test_survives_pickling_and_a_change_of_folder(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        handler = PickleIOHandler("store")
        handler.handle_output(out(), 1)
        monkeypatch.chdir("/")
        assert pickle.loads(pickle.dumps(handler)).load_input(wanted()) == 1

    def test_group_is_stored_once(self, tmp_path):
        keys = single(*map(str, range(50)))
        PickleIOHandler(tmp_path).handle_output(out(*keys), "x")
        assert len({path.stat().st_ino for path in tmp_path.rglob("*.pickle")}) == 1

    def test_group_where_there_are_no_links(self, tmp_path, monkeypatch):
        monkeypatch.setattr("rivers.io.files._link", lambda _source, _target: False)
        a, b = single("a", "b")
        handler = PickleIOHandler(tmp_path)
        handler.handle_output(out(a, b), [1])
        assert handler.load_input(wanted(a, b)) == [1]

    def test_what_cannot_be_pickled_leaves_the_old_value(self, tmp_path):
        handler = PickleIOHandler(tmp_path)
        handler.handle_output(out(), 1)
        with pytest.raises(Exception, match=r"(?i)pickle"):
            handler.handle_output(out(), threading.Lock())
        assert handler.load_input(wanted()) == 1
        assert [path.name for path in tmp_path.iterdir()] == ["a.pickle"]


class TestParquet:
    FRAME = pl.DataFrame({"day": [date(2024, 1, 2), date(2024, 1, 1)], "x": [2, 1]})

    def test_round_trip(self, parquet):
        parquet.handle_output(out(), self.FRAME.lazy())
        assert_frame_equal(parquet.load_input(wanted()), self.FRAME)

    def test_one_frame_is_split(self, parquet):
        first, second, third = single("2024-01-01", "2024-01-02", "2024-01-03")
        parquet.handle_output(out(first, second, third), self.FRAME)
        assert_frame_equal(parquet.load_input(wanted(first)), self.FRAME[1:])
        assert_frame_equal(parquet.load_input(wanted(third)), self.FRAME.clear())
        assert_frame_equal(parquet.load_input(wanted(third, second, first)), self.FRAME)

    def test_files_have_readable_names(self, parquet, hive, tmp_path):
        parquet.handle_output(out(), self.FRAME)
        parquet.handle_output(out(*single("2024-01-01")), self.FRAME)
        hive.handle_output(out(*multi(("2024-01-01", "us"))), self.FRAME)
        names = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.parquet")}
        assert names == {
            "store/a.parquet",
            "store/a/2024-01-01.parquet",
            "store/a/day=2024-01-01/region=us/data.parquet",
        }

    def test_path_gives_no_column(self, hive):
        (key,) = multi(("2024-01-01", "us"))
        hive.handle_output(out(key), pl.DataFrame({"x": [1]}))
        assert hive.load_input(wanted(key)).columns == ["x"]

    def test_only_dimensions_that_vary_need_a_column(self, hive):
        us, eu = multi(("1", "us"), ("1", "eu"))
        hive.handle_output(out(us, eu), pl.DataFrame({"region": ["eu", "us", "eu"]}))
        assert hive.load_input(wanted(eu)).height == 2

    def test_columns_may_be_renamed_and_runs_sparse(self, tmp_path):
        handler = ParquetIOHandler(tmp_path, partition_by={"region": "r"})
        x, y = multi(("1", "us"), ("2", "eu"))
        handler.handle_output(out(x, y), pl.DataFrame({"day": [1, 2], "r": ["us", "eu"]}))
        assert handler.load_input(wanted(y)).rows() == [(2, "eu")]
        with pytest.raises(exceptions.PartitionValidationError, match="day, r is '1, eu'"):
            handler.handle_output(out(x, y), pl.DataFrame({"day": [1], "r": ["eu"]}))

    def test_rows_of_no_partition_are_refused(self, parquet, tmp_path):
        keys = single("2024-01-01", "2024-01-05")
        with pytest.raises(exceptions.PartitionValidationError, match="day is '2024-01-02'"):
            parquet.handle_output(out(*keys), self.FRAME)
        with pytest.raises(ValueError, match=r"rows \(1\) that belong to none.*'None'"):
            parquet.handle_output(out(*keys), pl.DataFrame({"day": ["2024-01-01", None]}))
        assert not list(tmp_path.rglob("*.parquet"))

    def test_rows_of_failed_partitions_are_left_out(self, parquet):
        first, second = single("2024-01-01", "2024-01-02")
        parquet.handle_output(out(first, failed=[second]), self.FRAME)
        assert_frame_equal(parquet.load_input(wanted(first)), self.FRAME[1:])
        with pytest.raises(exceptions.ExecutionError, match="'2024-01-02'"):
            parquet.load_input(wanted(second))

    def test_missing_column_is_refused(self, hive, parquet):
        with pytest.raises(exceptions.PartitionValidationError, match=r"'day'.*it has"):
            parquet.handle_output(out(*single("1", "2")), pl.DataFrame({"x": [1]}))
        with pytest.raises(exceptions.PartitionValidationError, match="'region'"):
            hive.handle_output(out(*multi(("1", "us"), ("1", "eu"))), pl.DataFrame({"x": [1]}))

    def test_single_dimension_needs_a_column_name(self, hive):
        with pytest.raises(exceptions.ConfigurationError, match="partition_by='day'"):
            hive.handle_output(out(*single("1", "2")), self.FRAME)

    def test_partition_by_must_fit_the_dimensions(self, parquet, tmp_path):
        keys = multi(("1", "us"), ("1", "eu"))
        unknown = ParquetIOHandler(tmp_path, partition_by={"hour": "h"})
        clash = ParquetIOHandler(tmp_path, partition_by={"day": "region"})
        with pytest.raises(exceptions.ConfigurationError, match=r"\['day', 'region'\]"):
            parquet.handle_output(out(*keys), self.FRAME)
        with pytest.raises(exceptions.ConfigurationError, match="hour"):
            unknown.handle_output(out(*keys), self.FRAME)
        with pytest.raises(exceptions.ConfigurationError, match="same column"):
            clash.handle_output(out(*multi(("1", "us"), ("2", "eu"))), self.FRAME)

    def test_partition_by_is_checked(self, tmp_path):
        with pytest.raises(TypeError, match="not 3"):
            ParquetIOHandler(tmp_path, partition_by=3)
        with pytest.raises(exceptions.ConfigurationError, match="same column"):
            ParquetIOHandler(tmp_path, partition_by={"a": "x", "b": "x"})

    @pytest.mark.parametrize("count", [1, 2])
    def test_dict_of_frames(self, parquet, count):
        keys = single("a", "b")[:count]
        parquet.handle_output(out(*keys), {key.key[0]: self.FRAME for key in keys})
        assert parquet.load_input(wanted(*keys)).height == 2 * count

    def test_dict_that_does_not_fit_is_refused(self, parquet):
        keys = single("a", "b")
        for value, message in [({}, "no value for 'a', 'b'"), ({"c": self.FRAME}, "run: 'c'")]:
            with pytest.raises(exceptions.PartitionValidationError, match=message):
                parquet.handle_output(out(*keys), value)

    @pytest.mark.parametrize("value", [None, 1, {"a": 1}, [FRAME]])
    def test_other_values_are_refused(self, parquet, value):
        with pytest.raises(TypeError, match="DataFrame or LazyFrame"):
            parquet.handle_output(out(*single("a")), value)

    def test_folder_with_a_pattern_in_its_name(self, tmp_path):
        handler = ParquetIOHandler(tmp_path / "[x]*?")
        handler.handle_output(out(), self.FRAME)
        assert_frame_equal(handler.load_input(wanted()), self.FRAME)


class TestObjectStores:
    """The rules for values are tested above, with a store in memory beside a folder."""

    FRAME = pl.DataFrame({"day": ["1", "2"], "x": [1, 2]})

    def test_objects_have_the_names_of_files(self, tmp_path):
        store = LocalStore(tmp_path)
        PickleIOHandler(store).handle_output(out(*single("1")), 1)
        ParquetIOHandler(store).handle_output(out(*multi(("1", "us"))), self.FRAME)
        names = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
        assert names == {"a/1.pickle", "a/day=1/region=us/data.parquet"}
        assert PickleIOHandler(tmp_path).load_input(wanted(*single("1"))) == 1

    def test_frames_are_split_and_replaced(self):
        handler = ParquetIOHandler(MemoryStore(), partition_by="day")
        one, two = single("1", "2")
        handler.handle_output(out(one, two), self.FRAME)
        handler.handle_output(out(two), self.FRAME.clear())
        assert_frame_equal(handler.load_input(wanted(one)), self.FRAME[:1])
        assert handler.load_input(wanted(two)).is_empty()
        with pytest.raises(exceptions.ExecutionError, match="'3'"):
            handler.load_input(wanted(*single("3")))

    def test_nasty_names_stay_apart_and_come_back(self):
        handler = PickleIOHandler(MemoryStore())
        names = [name for name in TestPaths.NASTY if name]
        for name in names:
            handler.handle_output(OutputContext(name, [], "r1"), name)
        assert [handler.load_input(InputContext(name, [])) for name in names] == names

    def test_what_fails_to_be_written_leaves_the_old_object(self):
        handler = PickleIOHandler(MemoryStore())
        handler.handle_output(out(), 1)
        with pytest.raises(Exception, match=r"(?i)pickle"):
            handler.handle_output(out(), threading.Lock())
        frames = ParquetIOHandler(MemoryStore())
        frames.handle_output(out(), self.FRAME)
        with pytest.raises(pl.exceptions.PolarsError):
            frames.handle_output(out(), pl.DataFrame({"x": [object()]}))
        assert handler.load_input(wanted()) == 1
        assert_frame_equal(frames.load_input(wanted()), self.FRAME)

    def test_only_a_store_in_memory_is_of_one_process(self, tmp_path):
        for memory in (MemoryStore(), "memory:///"):
            assert not PickleIOHandler(memory).shared_between_processes
            assert not ParquetIOHandler(memory).shared_between_processes
        assert PickleIOHandler(LocalStore(tmp_path)).shared_between_processes

    def test_url_with_options_opens_a_store_that_can_travel(self):
        options = {"access_key_id": "id", "secret_access_key": "hidden", "region": "eu-west-1"}
        handler = PickleIOHandler("s3://bucket/prefix", storage_options=options)
        copy = pickle.loads(pickle.dumps(handler))
        assert isinstance(copy._files._store, S3Store)
        assert copy._files._store.prefix == "prefix"
        assert copy._files._store.config["region"] == "eu-west-1"
        assert repr(copy) == "PickleIOHandler('s3://bucket/prefix')"

    def test_url_of_a_file_is_a_folder(self, tmp_path):
        handler = PickleIOHandler((tmp_path / "with space").as_uri())
        handler.handle_output(out(), 1)
        assert [path.name for path in (tmp_path / "with space").iterdir()] == ["a.pickle"]

    @pytest.mark.parametrize("make", [PickleIOHandler, ParquetIOHandler])
    def test_what_cannot_be_opened_is_refused_at_once(self, make, tmp_path, monkeypatch):
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


class TestPaths:
    NASTY = ("..", ".", "", "../../x", "/etc", "a\\b", "a\0b", ".hidden", "x.", "C:x", "%2E", "a b",
             '*?"<>|', "é", "ü" * 300, "n" * 201, "n" * 202, "\udc80", "~", "+", "%")  # fmt: skip

    def test_nasty_names_stay_below_the_folder_and_apart(self, tmp_path):
        paths = [partition_path(tmp_path, name, None, ".p") for name in self.NASTY]
        assert len(set(paths)) == len(paths)
        for path in paths:
            assert path.parent == tmp_path
            assert len(path.name) <= MAX_NAME_BYTES + 2
            assert path.name.isascii()
            with replacing(path) as temporary:
                temporary.write_bytes(b"x")
            assert path.read_bytes() == b"x"

    @given(
        st.lists(
            st.text(st.characters(codec="utf-8", exclude_characters="|,"), min_size=1),
            min_size=2,
            max_size=2,
            unique=True,
        )
    )
    def test_any_two_keys_have_two_files(self, tmp_path_factory, keys):
        base = tmp_path_factory.getbasetemp()
        first, second = (partition_path(base, "a", key, ".p") for key in single(*keys))
        assert first != second
        assert first.parent == second.parent == base / "a"

    def test_asset_is_not_mistaken_for_another_ones_file(self, tmp_path):
        (key,) = single("k")
        inside = partition_path(tmp_path, "a.parquet", key, ".parquet")
        assert partition_path(tmp_path, "a", None, ".parquet") not in inside.parents

    def test_failed_write_leaves_the_old_file_and_no_other(self, tmp_path):
        path = tmp_path / "x"
        path.write_bytes(b"old")

        def write_half():
            with replacing(path) as temporary:
                temporary.write_bytes(b"ha")
                raise OSError

        with pytest.raises(OSError):  # noqa: PT011 (it is the one raised above)
            write_half()
        assert path.read_bytes() == b"old"
        assert list(tmp_path.iterdir()) == [path]


class TestExceptions:
    @pytest.mark.parametrize("name", exceptions.__all__)
    def test_has_one_root_a_plain_text_and_can_be_pickled(self, name):
        error = getattr(exceptions, name)("no 'x'")
        assert isinstance(error, exceptions.RiversError)
        assert str(error) == "no 'x'"
        copy = pickle.loads(pickle.dumps(error))
        assert (type(copy), str(copy)) == (type(error), "no 'x'")
