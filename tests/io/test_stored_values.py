"""Values of assets without a handler, on a file storage: found by each process, until the next run."""

import contextlib
import datetime as dt
import logging
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import textwrap
import time

import pytest
from tests.support import key, keys, letters, run_script

import rivers as rs
from rivers.io.stored import StoredIOHandler

ONE_RUN = rs.BackfillStrategy.single_run()


@pytest.fixture
def storage(tmp_path):
    return rs.Storage.embedded(tmp_path / "rivers.db")


def again(storage):
    """Opens the storage as another process would: with connections of its own."""
    return rs.Storage.embedded(storage.path)


def everything(repo, **options):
    return repo.backfill(partition_range=rs.PartitionKeyRange.single("a", "c"), **options)


def loaded(repo, name="made", texts="abc"):
    return [repo.load_node(name, partition_key=key(text)) for text in texts]


def asset(fn, definition=None, **options):
    options.setdefault("name", "made")
    return rs.Asset(fn, partitions_def=definition or letters(3), **options)


@pytest.mark.parametrize(
    "value",
    [0, -1, 255, 2**31, -(2**62), 2**80, True, 1.5, float("inf"), "", "ü€", "x" * 5_000, b"", b"\0",
     [1, {"a": (2, None)}], {"a": 1}],
    ids=lambda value: repr(value)[:20],
)  # fmt: skip
def test_a_value_of_any_type_is_found_by_another_repository(repo, storage, value):
    made = repo(asset(lambda: value), storage=storage)
    assert everything(made).status == "completed"
    other = repo(asset(lambda: None), storage=again(storage))
    for found in loaded(other):
        assert found == value
        assert type(found) is type(value)


def test_the_handler_of_a_file_storage_is_the_stored_one(repo, storage):
    made = repo(asset(lambda: 1), storage=storage)
    assert isinstance(made.io_handler_for_output("made"), StoredIOHandler)
    assert isinstance(repo(asset(lambda: 1)).io_handler_for_output("made"), rs.InMemoryIOHandler)


def test_each_partition_has_its_value(repo, storage):
    made = repo(asset(lambda context: context.partition_key), storage=storage)
    everything(made)
    assert loaded(repo(asset(lambda: None), storage=again(storage))) == ["a", "b", "c"]


def test_another_process_finds_the_values(repo, storage, tmp_path):
    made = repo(asset(lambda context: context.partition_key * 2), storage=storage)
    everything(made)
    ended = run_script(
        textwrap.dedent("""
        import sys
        import rivers as rs
        made = rs.Asset(
            lambda: None, name="made", partitions_def=rs.PartitionsDefinition.static_(["a", "b", "c"])
        )
        repo = rs.CodeRepository([made]).resolve(rs.Storage.embedded(sys.argv[1]))
        print([repo.load_node("made", partition_key=rs.PartitionKey.single(k)) for k in "abc"])
        """),
        storage.path,
    )
    assert ended.stdout.strip() == "['aa', 'bb', 'cc']", ended.stderr


def _letter(context):
    return context.partition_key.upper()


def _length(made):
    return len(made)


def test_worker_processes_store_values_for_all(repo, storage):
    upper = rs.Asset(_letter, name="made", partitions_def=letters(3))
    made = repo(upper, storage=storage, default_executor=rs.Executor.parallel(2))
    everything(made)
    assert loaded(made) == ["A", "B", "C"]


def test_worker_processes_load_what_others_stored(repo, storage):
    upper = rs.Asset(_letter, name="made", partitions_def=letters(3))
    size = rs.Asset(_length, name="size", partitions_def=letters(3))
    made = repo(upper, size, storage=storage, default_executor=rs.Executor.parallel(2))
    everything(made, selection=["made"])
    assert everything(made, selection=["size"]).status == "completed"
    assert loaded(made, "size") == [1, 1, 1]


def _nothing():
    return None


def test_worker_processes_store_none(repo, storage):
    nothing = rs.Asset(_nothing, name="made", partitions_def=letters(3))
    made = repo(nothing, storage=storage, default_executor=rs.Executor.parallel(2))
    everything(made)
    assert loaded(repo(nothing, storage=again(storage))) == [None, None, None]


def test_an_async_asset_stores_its_value(repo, storage):
    async def made(context):
        return context.partition_key

    everything(repo(asset(made), storage=storage))
    assert loaded(repo(asset(made), storage=again(storage))) == ["a", "b", "c"]


@pytest.mark.parametrize("values", [[1, None], [None, 1], [1, 2], [None, None], [[1], None, [2]]])
def test_the_value_is_that_of_the_last_run(repo, storage, values):
    for value in values:
        everything(repo(asset(lambda value=value: value), storage=again(storage)))
    assert loaded(repo(asset(lambda: 0), storage=again(storage))) == [values[-1]] * 3


def test_none_for_some_partitions_replaces_their_values_only(repo, storage):
    everything(repo(asset(lambda: 1), storage=storage))
    second = repo(asset(lambda: None), storage=again(storage))
    second.backfill(partition_keys=keys("b"))
    assert loaded(second) == [1, None, 1]
    third = repo(asset(lambda: 3), storage=again(storage))
    third.backfill(partition_keys=keys("c"))
    assert loaded(second) == [1, None, 3]


def test_a_failed_run_keeps_the_earlier_value(repo, storage):
    everything(repo(asset(lambda: 1), storage=storage))

    def fails():
        raise ValueError("no")

    second = repo(asset(fails), storage=again(storage))
    assert everything(second).status == "failed"
    assert loaded(second) == [1, 1, 1]


def test_one_value_of_a_run_of_several_partitions(repo, storage):
    everything(repo(asset(lambda: [1]), storage=storage), strategy=ONE_RUN)
    took = []

    def takes(made):
        took.append(made)

    second = repo(asset(lambda: 0), asset(takes, name="taker"), storage=again(storage))
    everything(second, selection=["taker"], strategy=ONE_RUN)
    everything(second, selection=["taker"])
    assert took == [[1], [1], [1], [1]]


def test_a_dict_of_a_run_of_several_partitions_is_taken_apart(repo, storage):
    def made(context):
        return {each: str(each) for each in context.partition.keys}

    everything(repo(asset(made), storage=storage), strategy=ONE_RUN)
    assert loaded(repo(asset(made), storage=again(storage))) == ["a", "b", "c"]


def test_a_generator_stores_each_value_before_it_fails(repo, storage):
    def made(context):
        for each in context.partition.keys[:2]:
            yield each, str(each)
        raise ValueError("enough")

    first = repo(asset(made), storage=storage)
    result = everything(first, strategy=ONE_RUN)
    assert (result.completed, result.failed) == (2, 1)
    assert loaded(repo(asset(made), storage=again(storage)), texts="ab") == ["a", "b"]


def test_marked_partitions_have_no_value(repo, storage):
    def made(context):
        context.mark_partition_failed(key("b"), "bad")
        return 7

    first = repo(asset(made), storage=storage)
    everything(first, strategy=ONE_RUN)
    assert loaded(first, texts="ac") == [7, 7]
    with pytest.raises(rs.exceptions.ExecutionError, match="nothing is stored"):
        loaded(first, texts="b")


def test_values_pass_within_a_run(repo, storage):
    took = []
    first = asset(lambda: {"n": 1})
    second = asset(_taker(took), name="second")
    everything(repo(first, second, storage=storage))
    assert took == [{"n": 1}] * 3


def test_a_small_value_passes_within_a_run_too(repo, storage):
    took = []
    everything(repo(asset(lambda: 1), asset(_taker(took), name="second"), storage=storage))
    assert took == [1, 1, 1]


def test_values_of_other_partitions_come_from_earlier_runs_and_from_this_one(repo, storage):
    """A run of all days takes the day before of each: one is of an earlier backfill."""
    days = rs.PartitionsDefinition.daily("2024-01-01", end="2024-01-05")
    before = rs.PartitionMapping.time_window(start_offset=-1, end_offset=0)
    took = []

    def total(context, made):
        took.append(dict(made))

    daily = rs.Asset(
        lambda context: {k: str(k) for k in context.partition.keys},
        name="made",
        partitions_def=days,
    )
    taker = rs.Asset(
        total, name="total", partitions_def=days, deps=[rs.AssetDef.input("made", before)]
    )
    made = repo(daily, taker, storage=storage)
    made.backfill(partition_keys=keys("2024-01-01"), selection=["made"])
    made.backfill(
        partition_range=rs.PartitionKeyRange.single("2024-01-02", "2024-01-03"), strategy=ONE_RUN
    )
    assert took == [{f"2024-01-0{n}": f"2024-01-0{n}" for n in (1, 2, 3)}]


def _taker(took):
    def second(made):
        took.append(made)

    return second


class _Unpicklable:
    def __reduce__(self):
        raise TypeError("not this one")


def test_a_value_that_cannot_be_pickled_is_passed_on_within_its_run_only(repo, storage, caplog):
    took = []
    first = asset(_Unpicklable)
    second = asset(lambda made: took.append(type(made)), name="second")
    with caplog.at_level(logging.WARNING, logger="rivers"):
        assert everything(repo(first, second, storage=storage)).status == "completed"
    assert took == [_Unpicklable] * 3
    warned = [record for record in caplog.records if "cannot be pickled" in record.getMessage()]
    assert len(warned) == 1
    other = repo(asset(lambda: 5), storage=again(storage))
    with pytest.raises(rs.exceptions.ExecutionError, match="nothing is stored"):
        loaded(other)
    assert everything(other, only_missing=True).num_partitions == 3
    assert loaded(other) == [5, 5, 5]


def test_a_value_that_cannot_be_pickled_hides_the_earlier_one(repo, storage):
    everything(repo(asset(lambda: 1), storage=storage))
    second = repo(asset(_Unpicklable), storage=again(storage))
    second.backfill(partition_keys=keys("a"))
    assert loaded(second, texts="bc") == [1, 1]
    with pytest.raises(rs.exceptions.ExecutionError, match="nothing is stored"):
        loaded(second, texts="a")


def test_a_value_that_is_changed_after_it_was_returned_is_stored_as_it_was(repo, storage):
    seen = []

    def made(context):
        seen.append(context.partition_key)
        return seen

    first = repo(asset(made), storage=storage)
    everything(first, max_concurrency=1)
    other = repo(asset(made), storage=again(storage))
    assert loaded(other) == [["a"], ["a", "b"], ["a", "b", "c"]]


# -- the grid changes ------------------------------------------------------------------------------


def test_other_keys_and_another_order_of_keys_do_not_matter(repo, storage):
    everything(repo(asset(lambda context: context.partition_key), storage=storage))
    changed = rs.PartitionsDefinition.static_(["z", "c", "b", "y", "a"])
    assert loaded(repo(asset(lambda: 0, changed), storage=again(storage))) == ["a", "b", "c"]


@pytest.mark.parametrize("value", [None, 4, [4]])
def test_a_day_is_found_after_the_grid_has_moved(repo, storage, value):
    days = rs.PartitionsDefinition.daily("2024-01-03", end="2024-01-06")
    first = repo(asset(lambda: value, days), storage=storage)
    first.backfill(partition_range=rs.PartitionKeyRange.single("2024-01-03", "2024-01-05"))
    longer = rs.PartitionsDefinition.daily("2024-01-01", end="2024-02-01")
    other = repo(asset(lambda: 0, longer), storage=again(storage))
    assert loaded(other, texts=["2024-01-03", "2024-01-05"]) == [value, value]
    with pytest.raises(rs.exceptions.ExecutionError, match="nothing is stored"):
        loaded(other, texts=["2024-01-01"])


def test_a_window_of_another_width_is_another_partition(repo, storage):
    days = rs.PartitionsDefinition.daily("2024-01-01", end="2024-01-15")
    first = repo(asset(lambda: 1, days), storage=storage)
    first.backfill(partition_keys=keys("2024-01-01"))
    weeks = rs.PartitionsDefinition.weekly("2024-01-01", end="2024-01-15")
    other = repo(asset(lambda: 1, weeks), storage=again(storage))
    with pytest.raises(rs.exceptions.ExecutionError, match="nothing is stored"):
        loaded(other, texts=["2024-01-01"])


def test_the_order_of_dimensions_does_not_matter(repo, storage):
    dims = {"x": letters(2), "y": letters(2)}
    at = rs.PartitionKey.multi({"x": "a", "y": "b"})
    made = rs.Asset(lambda context: context.partition_key, name="made",
                    partitions_def=rs.PartitionsDefinition.multi(dims))  # fmt: skip
    repo(made, storage=storage).backfill(partition_keys=[at])
    turned = rs.PartitionsDefinition.multi({"y": dims["y"], "x": dims["x"]})
    other = repo(rs.Asset(lambda: 0, name="made", partitions_def=turned), storage=again(storage))
    assert other.load_node("made", partition_key=at) == "x=a|y=b"


# -- kinds of assets -------------------------------------------------------------------------------


def test_outputs_of_a_multi_asset_are_stored_each(repo, storage):
    @rs.Asset.from_multi(
        output_defs=[rs.AssetDef("left"), rs.AssetDef("right")], partitions_def=letters(3)
    )
    def both(context):
        return {"left": context.partition_key, "right": [1]}

    everything(repo(both, storage=storage))
    other = repo(both, storage=again(storage))
    assert loaded(other, "left") == ["a", "b", "c"]
    assert loaded(other, "right") == [[1]] * 3


def test_an_asset_without_partitions_is_stored(repo, storage):
    @rs.Asset
    def made():
        return {"rows": 3}

    first = repo(made, storage=storage)
    first.materialize()
    assert repo(made, storage=again(storage)).load_node("made") == {"rows": 3}


def test_a_graph_asset_is_stored(repo, storage):
    @rs.Task
    def one():
        return 1

    @rs.Task
    def more(value):
        return value + 1

    @rs.Asset.from_graph(partitions_def=letters(3))
    def made():
        return more(one())

    everything(repo(made, storage=storage))
    assert loaded(repo(made, storage=again(storage))) == [2, 2, 2]


# -- files -----------------------------------------------------------------------------------------


def _files(storage):
    handler = StoredIOHandler.beside(storage.path)
    large = handler._values.folder / "large"
    return sorted(large.iterdir()) if large.exists() else []


def test_a_large_value_has_a_file_of_its_own_which_goes_with_it(repo, storage):
    value = os.urandom(200_000)
    everything(repo(asset(lambda: value), storage=storage))
    assert len(_files(storage)) == 3
    other = repo(asset(lambda: 1), storage=again(storage))
    assert loaded(other) == [value] * 3
    other.backfill(partition_keys=keys("b"))
    assert len(_files(storage)) == 2
    assert loaded(other) == [value, 1, value]


def test_a_large_value_of_several_partitions_is_stored_once(repo, storage):
    value = os.urandom(200_000)
    everything(repo(asset(lambda: value), storage=storage), strategy=ONE_RUN)
    assert len(_files(storage)) == 1
    other = repo(asset(lambda: 1), storage=again(storage))
    other.backfill(partition_keys=keys("b"))
    assert loaded(other) == [value, 1, value]
    everything(other)
    assert _files(storage) == []


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_only_the_user_may_read_the_values_of_a_private_storage(repo, tmp_path):
    storage = rs.Storage.embedded(tmp_path / "new" / "rivers.db")
    everything(repo(asset(lambda: os.urandom(200_000)), storage=storage))
    folder = StoredIOHandler.beside(storage.path)._values.folder
    for path in [folder, *folder.rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode & 0o077 == 0, (path, oct(mode))


def test_values_whose_file_is_gone_cannot_be_loaded_until_they_are_made_again(repo, storage):
    everything(repo(asset(lambda: 1), storage=storage))
    shutil.rmtree(StoredIOHandler.beside(storage.path)._values.folder)
    other = repo(asset(lambda: 2), storage=again(storage))
    with pytest.raises(rs.exceptions.ExecutionError, match="nothing is stored"):
        loaded(other)
    everything(other)
    assert loaded(other) == [2, 2, 2]


def test_a_file_that_is_deleted_while_it_is_open_is_an_error(repo, storage):
    made = repo(asset(lambda: 1), storage=storage)
    everything(made)
    shutil.rmtree(StoredIOHandler.beside(storage.path)._values.folder)
    with pytest.raises(rs.exceptions.StorageError, match="deleted"):
        everything(made)


def test_a_file_of_another_program_is_refused(repo, storage):
    folder = StoredIOHandler.beside(storage.path)._values.folder
    folder.mkdir()
    with sqlite3.connect(folder / "values.db") as connection:
        connection.execute("CREATE TABLE mine (x)")
        connection.execute("PRAGMA user_version = 1")
    connection.close()
    with pytest.raises(rs.exceptions.StorageError, match="another program"):
        everything(repo(asset(lambda: 1), storage=storage))


def test_another_connection_in_the_process_does_no_harm(repo, storage):
    made = repo(asset(lambda: 1), storage=storage)
    everything(made)
    path = StoredIOHandler.beside(storage.path)._values.folder / "values.db"
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM value").fetchone() == (3,)
    connection.close()
    everything(made)
    assert loaded(made) == [1, 1, 1]


def test_values_are_pruned_by_backfill(repo, storage):
    made = repo(asset(lambda context: [context.partition_key]), storage=storage)
    first = made.backfill(partition_keys=keys("a", "b"))
    made.backfill(partition_keys=keys("b", "c"))
    handler = made.io_handler_for_output("made")
    handler._values.prune([first.backfill_id])
    with pytest.raises(rs.exceptions.ExecutionError, match="nothing is stored"):
        loaded(made, texts="a")
    assert loaded(made, texts="bc") == [["b"], ["c"]]


# -- another process, and after a crash ------------------------------------------------------------


def test_what_a_dead_process_stored_is_not_made_again(repo, storage):
    script = textwrap.dedent("""
        import os, sys
        import rivers as rs
        letters = rs.PartitionsDefinition.static_(["a", "b", "c"])
        made = rs.Asset(lambda context: context.partition_key, name="made", partitions_def=letters)
        repo = rs.CodeRepository([made]).resolve(rs.Storage.embedded(sys.argv[1]))
        repo.backfill(partition_keys=[rs.PartitionKey.single(k) for k in "ab"])
        os._exit(0)
    """)
    assert run_script(script, storage.path).returncode == 0
    made = repo(asset(lambda: "new"), storage=storage)
    assert everything(made, only_missing=True).num_partitions == 1
    assert loaded(made) == ["a", "b", "new"]


CRASH = """
import os, signal, sys, threading, time
import rivers as rs

side = rs.PartitionsDefinition.static_([str(n) for n in range(200)])
grid = rs.PartitionsDefinition.multi({"x": side, "y": side})

@rs.Asset(partitions_def=grid)
def made(context):
    x, y = (context.partition.key.keys[name][0] for name in "xy")
    return int(x) * 1_000 + int(y)

def main():
    kind, delay = sys.argv[2], float(sys.argv[3])
    executor = rs.Executor.parallel(2) if kind == "processes" else rs.Executor.in_process()
    repo = rs.CodeRepository([made], default_executor=executor)
    repo.resolve(rs.Storage.embedded(sys.argv[1]))
    repo.backfill(partition_range=rs.PartitionKeyRange.multi({}), block=False, max_concurrency=2)
    time.sleep(delay)
    os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    main()
"""


@pytest.mark.parametrize("kind", ["threads", "processes"])
@pytest.mark.parametrize("delay", [0.15, 0.6])
def test_each_recorded_partition_has_its_value_after_a_kill(repo, storage, tmp_path, kind, delay):
    script = tmp_path / "crash.py"
    script.write_text(CRASH)
    ended = subprocess.run(
        [sys.executable, script, storage.path, kind, str(delay)], check=False, timeout=120
    )
    assert ended.returncode == -signal.SIGKILL
    side = rs.PartitionsDefinition.static_([str(n) for n in range(200)])
    grid = rs.PartitionsDefinition.multi({"x": side, "y": side})
    took = {}

    def check(context, made):
        took[context.partition_key] = made

    taker = rs.Asset(check, name="taker", partitions_def=grid)
    made = repo(rs.Asset(lambda: 0, name="made", partitions_def=grid), taker, storage=storage)
    done = storage.get_materialized_partitions("made")
    if done:
        result = made.backfill(partition_keys=done, selection=["taker"])
        assert result.failed == 0, result.error
    assert len(took) == len(done)
    for text, value in took.items():
        x, y = (int(part.partition("=")[2]) for part in text.split("|"))
        assert value == x * 1_000 + y


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_child_stores_values_of_its_own(repo, storage):
    made = repo(asset(lambda context: os.getpid()), storage=storage)
    made.backfill(partition_keys=keys("a"))
    child = os.fork()
    if child == 0:
        try:
            made.backfill(partition_keys=keys("b"))
            own = made.load_node("made", partition_key=key("b")) == os.getpid()
            os._exit(0 if own else 1)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    made.backfill(partition_keys=keys("c"))
    assert loaded(made) == [os.getpid(), child, os.getpid()]


def test_values_of_backfills_without_a_record_and_files_without_a_value_are_pruned(repo, storage):
    made = repo(asset(lambda: "x" * 100_000), storage=storage)
    everything(made)
    handler = made.io_handler_for_output("made")
    database = sqlite3.connect(handler._values.folder / "values.db")
    with database:
        # As a process leaves it that went on with a backfill which others had ended and pruned.
        database.execute("INSERT INTO source (backfill) VALUES ('gone')")
        database.execute(
            "UPDATE value SET source = (SELECT id FROM source WHERE backfill = 'gone') "
            "WHERE partition = (SELECT min(partition) FROM value)"
        )
    database.close()
    kept = _files(storage)
    large = kept[0].parent
    old, new = large / "old", large / "new"
    for orphan in (old, new):
        orphan.write_bytes(b"x")
    two_days_ago = time.time() - 2 * 86_400
    for path in (*kept, old):
        os.utime(path, (two_days_ago, two_days_ago))
    storage.prune(dt.timedelta(days=30))
    # A file that was written just now may belong to a value that is about to be stored.
    assert not old.exists()
    assert new.exists()
    assert len(set(_files(storage)) & set(kept)) == 2
    states = made.partition_status("made")["status"].to_list()
    assert states == ["missing", "materialized", "materialized"]


def test_values_of_many_partitions_that_were_counted_go_with_another_connection(tmp_path):
    """Of more than 100,000 partitions values are counted; a count holds until something is written."""
    many = rs.PartitionsDefinition.multi(
        {
            name: rs.PartitionsDefinition.static_([f"{name}{n}" for n in range(size)])
            for name, size in (("a", 101), ("b", 1000))
        }
    )

    @rs.Asset(partitions_def=many)
    def up():
        return None

    whole = rs.PartitionKeyRange.multi({})
    with rs.CodeRepository([up]).resolve(rs.Storage.embedded(tmp_path / "x.db")) as own:
        own.backfill(partition_range=whole, strategy=ONE_RUN)

        def num_missing():
            plan = own.backfill(partition_range=whole, only_missing=True, dry_run=True)
            return plan.num_partitions

        assert [num_missing(), num_missing()] == [0, 0]
        with contextlib.closing(sqlite3.connect(tmp_path / "x.db-values" / "values.db")) as other:
            other.execute("DELETE FROM none")
            other.execute("DELETE FROM value")
            other.commit()
        assert num_missing() == 101_000
        own.backfill(partition_range=whole, strategy=ONE_RUN)
        assert num_missing() == 0
