"""Values between machines: handlers that reach them all, and refusals of those that do not."""

import pytest
from tests.support import letters

import rivers as rs
from rivers.exceptions import ConfigurationError, ExecutionError

FOUR = letters(4)
ALL = rs.PartitionKeyRange.single("a", "d")


@pytest.fixture
def on_machines():
    """Makes a repository whose runs would be executed on a cluster; nothing is submitted."""
    pytest.importorskip("ray")
    return lambda *assets: rs.CodeRepository(
        list(assets), default_executor=rs.Executor.ray("auto")
    ).resolve(rs.Storage.memory())


def test_a_handler_of_one_machine_is_refused_and_one_that_works_is_named(on_machines, tmp_path):
    asset = rs.Asset(
        lambda: 1, name="a", partitions_def=FOUR, io_handler=rs.PickleIOHandler(tmp_path)
    )
    with pytest.raises(ExecutionError, match=r"PickleIOHandler\(folder, shared=True\)"):
        on_machines(asset).backfill(partition_range=ALL, dry_run=True)


@pytest.mark.parametrize("handler", [rs.PickleIOHandler, rs.ParquetIOHandler])
def test_a_shared_folder_is_declared(on_machines, tmp_path, handler):
    shared = handler(tmp_path, shared=True)
    assert shared.reach == "anywhere"
    asset = rs.Asset(lambda: 1, name="a", partitions_def=FOUR, io_handler=shared)
    result = on_machines(asset).backfill(partition_range=ALL, dry_run=True)
    assert result.num_runs == 4


def test_memory_is_refused_for_an_input_from_another_run(on_machines):
    up = rs.Asset(lambda: 1, name="up", partitions_def=FOUR)
    mapping = rs.PartitionMapping.all_partitions()
    down = rs.Asset(
        lambda up: 2, name="down", partitions_def=FOUR, deps=[rs.AssetDef.input("up", mapping)]
    )
    with pytest.raises(ExecutionError, match="that all machines reach"):
        on_machines(up, down).backfill(partition_range=ALL, dry_run=True)


@pytest.mark.parametrize(
    "arguments",
    [{"address": 3}, {"max_workers": 0}, {"max_deaths": 0}, {"runtime_env": ["pip"]}],
)
def test_arguments_are_checked_when_the_executor_is_made(arguments):
    with pytest.raises(ConfigurationError):
        rs.Executor.ray(**arguments)
