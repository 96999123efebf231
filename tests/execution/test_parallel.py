"""`Executor.parallel`: whole runs in other processes."""

import os
import subprocess
import sys
import threading
import types
from pathlib import Path

import cloudpickle
import polars as pl
import pydantic
import pytest
from tests.support import counts, key

import rivers as rs
from rivers.exceptions import ConfigurationError, ExecutionError

cloudpickle.register_pickle_by_value(sys.modules[__name__])

LETTERS = ["a", "b", "c", "d", "e", "f", "g", "h"]
DEFINED = rs.PartitionsDefinition.static_(LETTERS)
ALL = rs.PartitionKeyRange.single("a", "h")

SCRIPT = """
import dataclasses
import functools

import helper
import rivers as rs

FACTOR = 3
letters = rs.PartitionsDefinition.static_(["a", "b", "c"])


@dataclasses.dataclass
class Value:
    text: str


@functools.cache
def twice(text):
    return Value(text * 2 * FACTOR)


@rs.Asset(partitions_def=letters)
def source(context: rs.AssetExecutionContext):
    return twice(helper.upper(context.partition_key))


@rs.Asset(partitions_def=letters, io_handler=rs.PickleIOHandler("values"))
def sink(source):
    assert isinstance(source, Value)
    return source.text


repo = rs.CodeRepository([source, sink], default_executor=rs.Executor.parallel(2)).resolve(rs.Storage.memory())
with repo:
    result = repo.backfill(partition_range=rs.PartitionKeyRange.single("a", "c"))
print(result.status, repo.load_node("sink", rs.PartitionKey.single("b")))
"""


class Settings(pydantic.BaseModel):
    factor: int = 1


def test_assets_of_a_script_and_modules_beside_it(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "helper.py").write_text("def upper(text):\n    return text.upper()\n")
    ran = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ran.stdout == "completed BBBBBB\n", ran.stderr
    (warning,) = ran.stderr.splitlines()
    assert warning.startswith(
        "values of 'source' are kept in memory and cannot be loaded after the end of"
    )


def test_a_whole_run_goes_to_one_process_and_memory_serves_it(parallel, notes):
    @rs.Asset(partitions_def=DEFINED)
    def source(context: rs.AssetExecutionContext):
        notes.add(context.partition_key, os.getpid())
        return threading.Lock()  # Cannot be pickled.

    @rs.Asset(partitions_def=DEFINED)
    def sink(context: rs.AssetExecutionContext, source):
        assert not source.locked()
        notes.add(context.partition_key, os.getpid())

    repo = parallel(source, sink)
    assert counts(repo.backfill(partition_range=ALL)) == (8, 0, 0)
    places = {}
    for letter, process in notes.lines():
        places.setdefault(letter, []).append(process)
    assert all(len(set(pair)) == 1 and len(pair) == 2 for pair in places.values())
    assert str(os.getpid()) not in {pair[0] for pair in places.values()}
    with pytest.raises(ExecutionError):
        repo.load_node("source", key("a"))


def test_pickle_and_parquet_carry_values_across_runs(parallel, tmp_path):
    @rs.Asset(partitions_def=DEFINED, io_handler=rs.ParquetIOHandler(tmp_path / "frames"))
    def frame(context: rs.AssetExecutionContext):
        return pl.DataFrame({"letter": [context.partition_key], "n": [1]})

    @rs.Asset(partitions_def=DEFINED, io_handler=rs.PickleIOHandler(tmp_path / "values"))
    def rows(frame):
        return frame.rows()

    @rs.Asset(io_handler=rs.PickleIOHandler(tmp_path / "values"))
    def total(rows):
        return sum(n for ((_, n),) in rows.values())

    repo = parallel(frame, rows, total)
    for asset in ("frame", "rows"):
        assert counts(repo.backfill([asset], partition_range=ALL)) == (8, 0, 0)
    assert repo.load_node("rows", key("c")) == [("c", 1)]
    assert repo.materialize(["total"]).success
    assert repo.load_node("total") == 8


def test_context_config_tags_and_marks_in_another_process(parallel, notes):
    @rs.Asset(partitions_def=DEFINED)
    def source(context: rs.AssetExecutionContext[Settings]):
        notes.add(context.run_id, context.config.factor, dict(context.run_tags)["team"])
        context.mark_partition_failed("b", ValueError("first"))
        context.mark_partition_failed("b", ValueError("last"))

    @rs.Asset(partitions_def=DEFINED, deps=[source])
    def sink(context: rs.AssetExecutionContext):
        notes.add(*(text.key[0] for text in context.partition.keys))

    repo = parallel(source, sink)
    result = repo.backfill(
        partition_keys=[key("c"), key("b"), key("a")],
        strategy=rs.BackfillStrategy.single_run(),
        config={"source": {"factor": 7}},
        tags=[("team", "data")],
    )
    assert notes.lines() == [[result.run_ids[0], "7", "data"], ["a", "c"]]
    assert counts(result) == (2, 1, 0)
    assert "ValueError: last" in repo.get_backfill(result.backfill_id).error


def test_async_functions_in_another_process(parallel, notes):
    @rs.Asset(partitions_def=DEFINED)
    async def source(context: rs.AssetExecutionContext):
        return context.partition_key.upper()

    @rs.Asset(partitions_def=DEFINED)
    def sink(source):
        notes.add(source)

    assert counts(parallel(source, sink).backfill(partition_range=ALL)) == (8, 0, 0)
    assert sorted(notes.lines()) == [[letter.upper()] for letter in LETTERS]


def test_message_and_traceback_come_back_from_another_process(tmp_path):
    import sqlite3
    from contextlib import closing

    class CannotBePickledError(Exception):
        def __init__(self, one, two):
            super().__init__(f"{one} and {two}")

    @rs.Asset(partitions_def=DEFINED)
    def letter():
        raise CannotBePickledError("one", "two")

    storage = rs.Storage.embedded(tmp_path / "rivers.db")
    with rs.CodeRepository([letter], default_executor=rs.Executor.parallel(1)).resolve(
        storage
    ) as repo:
        assert repo.backfill(partition_range=ALL).failed == 8
    with closing(sqlite3.connect(tmp_path / "rivers.db")) as connection:
        ((kind, message, traceback),) = connection.execute(
            "SELECT error_type, message, traceback FROM cause"
        )
    assert (kind, message) == ("CannotBePickledError", "one and two")
    assert "in letter" in traceback


def test_what_cannot_go_to_another_process_is_refused_before_it_runs(parallel):
    lock = threading.Lock()

    @rs.Asset(partitions_def=DEFINED)
    def letter():
        with lock:
            pytest.fail("executed")

    repo = parallel(letter)
    with pytest.raises(ExecutionError, match="'letter'"):
        repo.backfill(partition_range=ALL)
    assert repo.storage.get_runs() == []


def test_a_cached_function_goes_along_with_its_package(parallel, monkeypatch, tmp_path):
    package, module = types.ModuleType("along"), types.ModuleType("along.inner")
    text = "import functools\n@functools.cache\ndef double(number):\n    return 2 * number"
    exec(text, vars(module))
    for each in (package, module):
        monkeypatch.setitem(sys.modules, each.__name__, each)
    double = module.double
    cloudpickle.register_pickle_by_value(package)
    try:
        files = rs.PickleIOHandler(tmp_path)
        repo = parallel(rs.Asset(lambda: double(4), name="eight", io_handler=files), workers=1)
        repo.materialize()
    finally:
        cloudpickle.unregister_pickle_by_value(package)
    assert repo.load_node("eight") == 8


def test_closing_ends_the_processes(parallel, notes):
    letter = rs.Asset(lambda: notes.add(os.getpid()), name="letter", partitions_def=DEFINED)
    repo = parallel(letter)
    repo.backfill(partition_range=ALL)
    repo.close()
    processes = {int(line[0]) for line in notes.lines()}
    assert processes
    assert not [process for process in processes if Path(f"/proc/{process}").exists()]
    assert repo.backfill(partition_range=ALL).completed == 8


@pytest.mark.parametrize("wrong", [0, -1, 1.5, "2", True])
def test_max_workers_refused(wrong):
    with pytest.raises(ConfigurationError, match="max_workers"):
        rs.Executor.parallel(wrong)
