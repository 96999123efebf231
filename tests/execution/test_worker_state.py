"""A function sees in a worker process what the user has set up in the calling process."""

import logging
import os
import sys
import warnings
from pathlib import Path

import cloudpickle
import pytest
from tests.support import counts, key, letters, run_script

import rivers as rs

cloudpickle.register_pickle_by_value(sys.modules[__name__])

DEFINED = letters(8)
ALL = rs.PartitionKeyRange.single("a", "h")


@pytest.fixture(params=["threads", "processes"])
def make(request, repo, parallel):
    """Makes repositories whose functions run in threads, or in processes: they see the same."""
    return repo if request.param == "threads" else parallel


class Collect(logging.Handler):
    def __init__(self):
        super().__init__()
        self.records = []

    def emit(self, record):
        self.records.append(record)


@pytest.fixture
def collected():
    """Collects what reaches the root logger, at level INFO."""
    handler, root = Collect(), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield handler.records
    root.removeHandler(handler)
    root.setLevel(level)


def of(records, name):
    return [record for record in records if record.name == name]


def test_log_records_reach_the_handlers_of_the_calling_process(make, collected):
    @rs.Asset(partitions_def=DEFINED)
    def sales(context: rs.AssetExecutionContext):
        context.log.info("context %s", context.partition_key)
        context.log.debug("too low")
        logging.getLogger("user").info("module %d", len(context.partition_key))

    result = make(sales).backfill(partition_range=ALL)
    own = of(collected, "rivers.assets.sales")
    assert sorted(record.getMessage() for record in own) == [
        f"context {each}" for each in "abcdefgh"
    ]
    assert [record.getMessage() for record in of(collected, "user")] == ["module 1"] * 8
    by_run = {record.run: record for record in own}
    assert sorted(by_run) == sorted(result.run_ids)
    for record in own:
        assert (record.backfill, record.asset) == (result.backfill_id, "sales")
        assert record.getMessage().endswith(record.partition)


def test_records_of_any_logger_of_a_worker_name_their_run(parallel, collected):
    @rs.Asset(partitions_def=DEFINED)
    def sales():
        logging.getLogger("user").info("line")

    result = parallel(sales).backfill(partition_range=ALL)
    records = of(collected, "user")
    assert sorted(record.run for record in records) == sorted(result.run_ids)
    assert sorted(record.partition for record in records) == list("abcdefgh")
    assert {(record.backfill, record.asset) for record in records} == {
        (result.backfill_id, "sales")
    }


def test_levels_and_handlers_of_single_loggers_apply(make, collected):
    loud, silent, own = (logging.getLogger(f"user.{name}") for name in ("loud", "silent", "own"))
    handler = Collect()
    loud.setLevel(logging.DEBUG)
    silent.setLevel(logging.ERROR)
    own.addHandler(handler)
    own.propagate = False

    @rs.Asset(partitions_def=DEFINED)
    def sales():
        logging.getLogger("user.loud").debug("heard")
        logging.getLogger("user.silent").warning("not heard")
        logging.getLogger("user.own").info("apart")

    repository = make(sales)
    try:
        repository.backfill(partition_range=ALL)
        assert len(of(collected, "user.loud")) == 8
        assert of(collected, "user.silent") == []
        assert (len(handler.records), of(collected, "user.own")) == (8, [])
        # Levels that change later apply to processes that are there already.
        loud.setLevel(logging.WARNING)
        repository.backfill(partition_range=ALL)
        assert len(of(collected, "user.loud")) == 8
    finally:
        own.removeHandler(handler)
        own.propagate = True
        for logger in (loud, silent):
            logger.setLevel(logging.NOTSET)


class Odd:
    """A value that cannot be pickled."""

    def __init__(self):
        self.stack = sys._getframe()

    def __str__(self):
        return "odd"


def test_exceptions_and_odd_arguments_arrive(make, collected):
    @rs.Asset(partitions_def=DEFINED)
    def sales(context: rs.AssetExecutionContext):
        try:
            int("inner")
        except ValueError:
            context.log.exception("caught %s", Odd(), extra={"odd": Odd(), "plain": 3})

    assert counts(make(sales).backfill(partition_range=ALL)) == (8, 0, 0)
    records = of(collected, "rivers.assets.sales")
    assert [record.getMessage() for record in records] == ["caught odd"] * 8
    assert {record.plain for record in records} == {3}
    for record in records:
        assert "ValueError: invalid literal" in logging.Formatter().format(record)


def test_wrong_arguments_of_a_log_line_fail_no_run(parallel):
    @rs.Asset(partitions_def=DEFINED)
    def sales(context: rs.AssetExecutionContext):
        context.log.warning("%d", "text")

    assert counts(parallel(sales).backfill(partition_range=ALL)) == (8, 0, 0)


def test_lines_of_a_worker_that_dies_arrive(parallel, collected):
    @rs.Asset(partitions_def=DEFINED)
    def sales(context: rs.AssetExecutionContext):
        context.log.warning("last words of %s", context.partition_key)
        if context.partition_key == "c":
            os._exit(1)

    assert counts(parallel(sales).backfill(partition_range=ALL)) == (7, 1, 0)
    messages = {record.getMessage() for record in of(collected, "rivers.assets.sales")}
    assert "last words of c" in messages
    assert len(messages) == 8


def test_environment_and_folder_are_those_of_the_start_of_the_run(make, tmp_path, monkeypatch):
    @rs.Asset(partitions_def=DEFINED, io_handler=rs.PickleIOHandler(tmp_path / "values"))
    def seen():
        return os.environ.get("RIVERS_TEST_SETTING"), str(Path.cwd())

    repository = make(seen)
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        monkeypatch.chdir(folder)
        monkeypatch.setenv("RIVERS_TEST_SETTING", str(number))
        repository.backfill(partition_range=ALL)
        values = {repository.load_node("seen", key(letter)) for letter in "abcdefgh"}
        assert values == {(str(number), str(folder))}
    monkeypatch.delenv("RIVERS_TEST_SETTING")
    repository.backfill(partition_range=ALL)
    assert repository.load_node("seen", key("a"))[0] is None


def test_warnings_are_filtered_and_shown_as_in_a_thread(make):
    @rs.Asset(partitions_def=DEFINED)
    def sales(context: rs.AssetExecutionContext):
        if context.partition_key == "a":
            warnings.warn("old", DeprecationWarning, stacklevel=1)
        if context.partition_key == "b":
            warnings.warn("unsafe", RuntimeWarning, stacklevel=1)

    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        warnings.simplefilter("error", RuntimeWarning)
        repository = make(sales)
        result = repository.backfill(partition_range=ALL)
    assert counts(result) == (7, 1, 0)
    assert "RuntimeWarning: unsafe" in repository.get_backfill(result.backfill_id).error
    assert [str(each.message) for each in shown if each.category is DeprecationWarning] == ["old"]


SCRIPT = """
import logging
import rivers as rs

logging.basicConfig(filename="program.log", level=logging.INFO, format="%(name)s %(message)s")
letters = rs.PartitionsDefinition.static_(list("abcdefgh"))

@rs.Asset(partitions_def=letters)
def sales(context: rs.AssetExecutionContext):
    logging.getLogger("user").info("line of %s", context.partition_key)

if __name__ == "__main__":
    with rs.CodeRepository([sales], default_executor=rs.Executor.parallel(2)).resolve(rs.Storage.memory()) as repo:
        repo.backfill(partition_range=rs.PartitionKeyRange.single("a", "h"))
    lines = open("program.log").read().splitlines()
    print(sorted(line for line in lines if line.startswith("user ")))
"""


def test_a_main_module_that_is_imported_again_logs_each_line_once(tmp_path, monkeypatch):
    (tmp_path / "program.py").write_text(SCRIPT)
    monkeypatch.chdir(tmp_path)
    done = run_script("import runpy; runpy.run_path('program.py', run_name='__main__')")
    assert done.stdout.strip() == str([f"user line of {each}" for each in "abcdefgh"]), done.stderr
