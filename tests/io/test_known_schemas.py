"""Many Parquet files of one schema are read without a look at each; others are looked at."""

import shutil

import polars as pl
import pytest
from tests.io.contexts import loading, storing
from tests.support import keys

import rivers as rs
from rivers.exceptions import ExecutionError

ONE, WIDER, TEXT = pl.DataFrame({"x": [1]}), pl.DataFrame({"x": [1.5]}), pl.DataFrame({"x": ["t"]})
BOTH = keys("0", "1")


@pytest.fixture
def parquet(tmp_path):
    return rs.ParquetIOHandler(tmp_path)


@pytest.fixture
def looked_at(monkeypatch):
    """The files whose schemas are read one by one."""
    seen = []
    read = pl.read_parquet_schema
    monkeypatch.setattr(
        pl, "read_parquet_schema", lambda source: seen.append(source) or read(source)
    )
    return seen


def store(handler, *frames):
    for key, frame in zip(BOTH, frames, strict=False):
        handler.handle_output(storing(key), frame)


@pytest.mark.parametrize("hint", [pl.LazyFrame, pl.DataFrame])
def test_files_of_one_schema_are_read_in_one_operation(parquet, looked_at, hint):
    store(parquet, ONE, ONE)
    loaded = parquet.load_input(loading(*BOTH, type_hint=hint))
    assert loaded.lazy().collect()["x"].to_list() == [1, 1]
    assert looked_at == []


@pytest.mark.parametrize("hint", [pl.LazyFrame, pl.DataFrame])
def test_files_of_several_schemas_are_looked_at(parquet, looked_at, hint):
    store(parquet, ONE, WIDER)
    loaded = parquet.load_input(loading(*BOTH, type_hint=hint))
    assert loaded.lazy().collect()["x"].to_list() == [1.0, 1.5]
    assert len(looked_at) == 2


def test_what_is_no_longer_stored_does_not_count(parquet):
    store(parquet, ONE, TEXT)
    with pytest.raises(ExecutionError, match="cannot be combined"):
        parquet.load_input(loading(*BOTH))
    store(parquet, ONE, ONE)
    assert parquet.load_input(loading(*BOTH))["x"].to_list() == [1, 1]


def test_a_folder_of_an_earlier_version_is_looked_at(parquet, tmp_path, looked_at):
    (tmp_path / "a").mkdir()
    WIDER.write_parquet(tmp_path / "a" / "1.parquet")
    store(parquet, ONE)
    loaded = parquet.load_input(loading(*BOTH, type_hint=pl.LazyFrame))
    assert loaded.collect()["x"].to_list() == [1.0, 1.5]
    assert len(looked_at) == 2
    assert not (tmp_path / "a" / ".schemas").exists()


def test_a_file_that_another_program_replaced_is_noticed(parquet, tmp_path):
    store(parquet, ONE, ONE)
    WIDER.write_parquet(tmp_path / "a" / "1.parquet")
    assert parquet.load_input(loading(*BOTH))["x"].to_list() == [1.0, 1.5]


def test_a_folder_that_was_removed_is_made_again(parquet, tmp_path):
    store(parquet, ONE, WIDER)
    shutil.rmtree(tmp_path / "a")
    store(parquet, WIDER, WIDER)
    assert parquet.load_input(loading(*BOTH, type_hint=pl.LazyFrame)).collect().height == 2


def test_other_programs_read_the_folder(parquet, tmp_path):
    store(parquet, ONE, ONE)
    parquet.handle_output(storing(*keys("2")), None)
    assert pl.read_parquet(tmp_path / "a").height == 2


@pytest.mark.parametrize("wanted", [120, 600])
def test_of_many_files_each_is_looked_for(parquet, tmp_path, looked_at, wanted):
    """A folder is listed only as far as it pays: here, not to its end for 120 files of 600."""
    every = keys(*(f"{number:03d}" for number in range(600)))
    parquet.handle_output(storing(every[0]), ONE)
    for key in every[1:]:
        shutil.copy(tmp_path / "a" / "000.parquet", tmp_path / "a" / f"{key.key[0]}.parquet")
    some = every[-wanted:]
    loaded = parquet.load_input(loading(*some, type_hint=pl.LazyFrame))
    assert loaded.collect().height == wanted
    assert looked_at == []
    (tmp_path / "a" / "599.parquet").unlink()
    with pytest.raises(ExecutionError, match=r"nothing is stored.*599"):
        parquet.load_input(loading(*some))
