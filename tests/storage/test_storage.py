"""`Storage`: the records of runs and backfills, dynamic partitions, what is materialized."""

import datetime as dt
import subprocess
import sys
import threading

import pytest
from tests.support import TIMEOUT, keys, letters, wait_until

import rivers as rs
from rivers.exceptions import ConfigurationError, PartitionDefinitionError

LETTERS = letters(4)
ALL = rs.PartitionKeyRange.single("a", "d")


@rs.Asset(partitions_def=LETTERS)
def source(context: rs.AssetExecutionContext):
    if context.partition_key == "b":
        raise ValueError("boom")


@rs.Asset(partitions_def=LETTERS, deps=[source])
def sink():
    pass


@rs.Asset
def plain():
    pass


def repository(storage=None):
    return rs.CodeRepository([sink, source, plain]).resolve(storage or rs.Storage.memory())


def test_run_record_fields():
    repo = repository()
    before = dt.datetime.now(dt.UTC)
    result = repo.backfill(partition_range=ALL, tags=[("team", "data")])
    after = dt.datetime.now(dt.UTC)
    done, failed = (repo.storage.get_run(result.run_ids[number]) for number in (0, 1))
    assert (done.run_id, done.status, done.error) == (result.run_ids[0], "completed", None)
    assert (failed.run_id, failed.status) == (result.run_ids[1], "failed")
    assert "ValueError: boom" in failed.error
    for run, text in ((done, "a"), (failed, "b")):
        assert run.node_names == ["source", "sink"]
        assert run.partition_keys == keys(text)
        assert type(run.partition_keys) is list
        assert run.tags == [("team", "data"), ("rivers/priority", "-10")]
        assert run.priority == -10
        assert run.launched_by == rs.LaunchedBy("backfill", result.backfill_id)
        assert before <= run.started_at <= run.ended_at <= after
    assert done.run_id in repr(done)
    assert "boom" in repr(failed)


def test_run_record_of_materialize_is_manual():
    repo = repository()
    result = repo.materialize(["plain"])
    run = repo.storage.get_run(result.run_id)
    assert run.launched_by == rs.LaunchedBy("manual", None)
    assert (run.node_names, run.partition_keys, run.priority) == (["plain"], [], 0)
    assert run.tags == [("rivers/priority", "0")]
    assert [run.run_id for run in repo.storage.get_runs()] == [result.run_id]


def test_get_run_unknown_is_none():
    repo = repository()
    backfill_id = repo.backfill(partition_keys=keys("a", "c")).backfill_id
    for number in ("0", "1"):
        assert repo.storage.get_run(f"{backfill_id}.{number}") is not None
    for number in ("2", "-1", "01", "x", "", "0.0", " 0", "+1", "99999999999999999999"):
        assert repo.storage.get_run(f"{backfill_id}.{number}") is None
    for run_id in ("", ".", backfill_id, "nonsense.0", "é"):
        assert repo.storage.get_run(run_id) is None


def test_get_runs_limit_and_status():
    repo = repository()
    first = repo.backfill(partition_range=ALL)
    second = repo.backfill(partition_keys=keys("a", "b"))
    get_runs = repo.storage.get_runs
    assert {run.run_id for run in get_runs()} == {*first.run_ids, *second.run_ids}
    assert {run.run_id for run in get_runs(limit=2)} == set(second.run_ids)
    assert [run.run_id for run in get_runs(limit=5)] == [run.run_id for run in get_runs()][:5]
    failed = [second.run_ids[1], first.run_ids[1]]
    assert [run.run_id for run in get_runs(status="failed")] == failed
    assert [run.run_id for run in get_runs(1, "failed")] == failed[:1]
    assert len(get_runs(status="completed")) == 4
    assert get_runs(limit=0) == get_runs(status="running") == []
    for wrong in ({"status": "done"}, {"limit": -1}, {"limit": "2"}):
        with pytest.raises(ConfigurationError):
            get_runs(**wrong)


def test_get_runs_shows_what_is_in_flight():
    gate, begun = threading.Event(), threading.Event()

    @rs.Asset(partitions_def=LETTERS)
    def held():
        begun.set()
        assert gate.wait(TIMEOUT)

    with rs.CodeRepository([held]).resolve(rs.Storage.memory()) as repo:
        result = repo.backfill(partition_range=ALL, max_concurrency=1, block=False)
        assert begun.wait(TIMEOUT)
        wait_until(lambda: repo.storage.get_runs(status="running"))
        runs = repo.storage.get_runs(status="running")
        assert [run.run_id for run in runs] == result.run_ids[:1]
        assert (runs[0].started_at is not None, runs[0].ended_at) == (True, None)
        waiting = repo.storage.get_run(result.run_ids[3])
        assert (waiting.status, waiting.started_at) == ("pending", None)
        assert waiting.partition_keys == keys("d")
        repo.cancel_backfill(result.backfill_id)
        gate.set()
    assert repo.storage.get_runs(status="running") == []
    assert repo.storage.get_run(result.run_ids[3]).status == "canceled"


def test_get_materialized_partitions_over_several_backfills():
    repo = repository()
    materialized = repo.storage.get_materialized_partitions
    assert materialized("source") == []
    repo.backfill(partition_keys=keys("d"))
    repo.backfill(partition_keys=keys("b", "a", "d"))
    for asset in ("source", "sink"):
        assert materialized(asset) == keys("a", "d")
    repo.materialize(["sink"], keys("b")[0])
    assert materialized("sink") == keys("a", "b", "d")
    assert materialized("source") == keys("a", "d")
    assert materialized("nonsense") == []


def test_get_materialized_partitions_of_a_run_that_failed_in_part():
    @rs.Asset(partitions_def=LETTERS)
    def marking(context: rs.AssetExecutionContext):
        context.mark_partition_failed("c", "broken")

    @rs.Asset(partitions_def=LETTERS, deps=[marking])
    def after(context: rs.AssetExecutionContext):
        context.mark_partition_failed("a", "broken")

    repo = rs.CodeRepository([marking, after]).resolve(rs.Storage.memory())
    repo.backfill(partition_range=ALL, strategy=rs.BackfillStrategy.single_run())
    assert repo.storage.get_materialized_partitions("marking") == keys("a", "b", "d")
    assert repo.storage.get_materialized_partitions("after") == keys("b", "d")


def test_dynamic_partitions(tmp_path):
    storage = rs.Storage.embedded(tmp_path / "rivers.db")
    storage.add_dynamic_partitions("customers", ["eve", "ada"])
    storage.add_dynamic_partitions("customers", ["bob", "eve", rs.PartitionKey.single("zoe")])
    storage.add_dynamic_partitions("others", [])
    assert storage.get_dynamic_partitions("customers") == ["eve", "ada", "bob", "zoe"]
    with pytest.warns(UserWarning, match="No dynamic partitions found for 'others'"):
        assert storage.get_dynamic_partitions("others") == []
    assert storage.has_dynamic_partition("customers", "ada")
    assert not storage.has_dynamic_partition("others", "ada")
    assert storage.delete_dynamic_partition("customers", "ada") is True
    assert storage.delete_dynamic_partition("customers", "ada") is False
    storage.add_dynamic_partitions("customers", ["ada"])
    again = rs.Storage.embedded(tmp_path / "rivers.db")
    assert again.get_dynamic_partitions("customers") == ["eve", "bob", "zoe", "ada"]
    seen = []

    @rs.Asset(partitions_def=rs.PartitionsDefinition.dynamic("customers"))
    def letters(context: rs.AssetExecutionContext):
        seen.append(context.partition_key)

    repo = rs.CodeRepository([letters]).resolve(again)
    repo.backfill(partition_range=rs.PartitionKeyRange.single("bob", "ada"), max_concurrency=1)
    assert seen == ["bob", "zoe", "ada"]


@pytest.mark.parametrize("key", ["", "a|b", "a,b"])
def test_dynamic_partitions_refuse_reserved_characters_and_store_nothing(key):
    storage = rs.Storage.memory()
    with pytest.raises(PartitionDefinitionError):
        storage.add_dynamic_partitions("customers", ["fine", key])
    with pytest.warns(UserWarning, match="No dynamic partitions found for 'customers'"):
        assert storage.get_dynamic_partitions("customers") == []
    with pytest.raises(TypeError):
        storage.add_dynamic_partitions("customers", "fine")


def test_importing_opens_no_file_and_starts_no_thread(tmp_path):
    code = "import threading, rivers; print(threading.active_count(), rivers.__name__)"
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path, capture_output=True, text=True, timeout=TIMEOUT, check=True,
    )  # fmt: skip
    assert (ran.stdout, ran.stderr) == ("1 rivers\n", "")
    assert list(tmp_path.iterdir()) == []
