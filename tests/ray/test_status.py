"""What other processes see of the workers of a backfill: how many there are, and what no node has."""

import json
import subprocess
import sys
import time

import pytest
from tests.support import counts, letters, wait_until

import rivers as rs
from rivers.exceptions import ConfigurationError

EIGHT = letters(8)
ALL = rs.PartitionKeyRange.single("a", "h")


@pytest.fixture
def storage(tmp_path):
    """A storage that other processes can read."""
    return rs.Storage.embedded(tmp_path / "rivers.db")


def status_elsewhere(storage, backfill_id):
    """What `rivers status --json` says."""
    command = [sys.executable, "-m", "rivers", "status", backfill_id, "--storage", storage.path]
    out = subprocess.run([*command, "--json"], capture_output=True, check=True, text=True).stdout
    shown = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    return json.loads(out)["workers"], " ".join(shown.split())


def test_workers_and_nodes_are_seen_from_another_process(on_ray, storage, tmp_path):
    gate = tmp_path / "gate"

    def waits():
        deadline = time.monotonic() + 60
        while not gate.exists() and time.monotonic() < deadline:
            time.sleep(0.01)

    asset = rs.Asset(waits, name="a", partitions_def=EIGHT, compute={"num_cpus": 2})
    repo = on_ray(asset, storage=storage)
    launched = repo.backfill(partition_range=ALL, max_concurrency=3, block=False)
    client = rs.BackfillClient(storage)
    three = lambda: getattr(client.get_backfill(launched.backfill_id).workers, "num_nodes", 0) == 3  # noqa: E731
    wait_until(three)
    workers, shown = status_elsewhere(storage, launched.backfill_id)
    gate.touch()
    assert workers == {"num_workers": 3, "num_nodes": 3, "unmet": None}
    assert "workers 3 on 3 nodes" in shown
    assert counts(repo.wait_backfill(launched.backfill_id)) == (8, 0, 0)
    assert client.get_backfill(launched.backfill_id).workers is None


def test_what_no_node_has_is_seen_from_another_process(on_ray, storage):
    asset = rs.Asset(lambda: None, name="a", partitions_def=EIGHT, compute={"num_gpus": 8})
    repo = on_ray(asset, storage=storage)
    launched = repo.backfill(partition_range=ALL, block=False)
    wait_until(lambda: getattr(repo.get_backfill(launched.backfill_id).workers, "unmet", None))
    workers, shown = status_elsewhere(storage, launched.backfill_id)
    repo.cancel_backfill(launched.backfill_id)
    assert workers["num_workers"] == 0
    assert "none has 1 CPU, 8 GPU; the largest has" in workers["unmet"]
    assert "waits of 3 nodes" in shown or "waits of 4 nodes" in shown


def test_other_executors_record_nothing_of_workers(storage, repo_on):
    repo = repo_on(rs.Executor.in_process(), rs.Asset(lambda: None, name="a", partitions_def=EIGHT))
    result = repo.backfill(partition_range=ALL)
    assert repo.get_backfill(result.backfill_id).workers is None


def test_an_executor_on_ray_is_refused_where_ray_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'rivers\[ray\]'"):
        rs.Executor.ray()


def test_the_command_line_names_the_extra_that_is_missing(tmp_path):
    code = "import sys; sys.modules['ray'] = None; from rivers.cli import main; sys.exit(main())"
    module = tmp_path / "module.py"
    module.write_text(
        "import rivers as rs\nrepo = rs.CodeRepository([rs.Asset(lambda: 1, name='a')])\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, "backfill", str(module), "--executor", "ray"],
        capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert ended.returncode == 2
    assert "pip install 'rivers[ray]'" in " ".join(ended.stderr.split())
    assert not (tmp_path / ".rivers").exists()


def test_a_cluster_that_is_not_there_is_refused_before_anything_is_stored(tmp_path):
    code = """
import sys, rivers as rs
asset = rs.Asset(lambda: 1, name="a", partitions_def=rs.PartitionsDefinition.static_(["x"]))
repo = rs.CodeRepository([asset], default_executor=rs.Executor.ray("127.0.0.1:9"))
repo = repo.resolve(rs.Storage.embedded(sys.argv[1]))
try:
    repo.backfill(partition_keys=["x"])
except rs.exceptions.RiversError as error:
    print(type(error).__name__, error)
print(len(repo.backfills()))
"""
    command = [sys.executable, "-c", code, str(tmp_path / "rivers.db")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "ExecutionError the Ray cluster '127.0.0.1:9' could not be used" in ended.stdout
    assert ended.stdout.strip().endswith("0")
