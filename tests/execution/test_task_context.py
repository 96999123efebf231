"""`TaskExecutionContext`: what a task of a graph asset learns about itself and its run."""

import pydantic
import pytest
from tests.support import keys, letters

import rivers as rs
from rivers.exceptions import AssetDefinitionError, PartitionValidationError

DAYS = rs.PartitionsDefinition.daily("2024-01-01", end="2024-01-10")


class Settings(pydantic.BaseModel):
    factor: int = 2


@rs.Task(tags={"team": "data"})
async def read_async(context: rs.TaskExecutionContext):
    return described(context)


@rs.Task(tags={"team": "data"}, name="read")
def read_plain(run: rs.TaskExecutionContext):
    return described(run)


def described(context):
    return [context.task_name, context.tags, context.partition_key, str(context.partition.key)]


@rs.Task
def scaled(rows, context: rs.TaskExecutionContext[Settings]):
    return [*rows, context.tags, context.has_partition_key, context.config.factor]


@pytest.mark.parametrize("read", [read_async, read_plain])
@pytest.mark.parametrize("executor", [rs.Executor.in_process(), rs.Executor.parallel(1)])
def test_a_task_learns_about_itself_and_its_run(repo, tmp_path, read, executor):
    @rs.Asset.from_graph(partitions_def=DAYS, io_handler=rs.PickleIOHandler(tmp_path))
    def graph():
        return scaled(read())

    repository = repo(graph, default_executor=executor)
    result = repository.backfill(partition_keys=keys("2024-01-02"), config={"graph": {"factor": 5}})
    assert result.status == "completed"
    assert repository.load_node("graph", keys("2024-01-02")[0]) == [
        read.name, {"team": "data"}, "2024-01-02", "2024-01-02", None, True, 5,
    ]  # fmt: skip


def test_a_task_of_an_unpartitioned_asset_has_no_partition(repo):
    @rs.Task
    def one(context: rs.TaskExecutionContext):
        assert context.partition is None
        assert context.partition_time_window is None
        assert context.config is None
        with pytest.raises(PartitionValidationError, match="not partitioned"):
            _ = context.partition_key
        return 1

    @rs.Asset.from_graph
    def graph():
        return one()

    assert repo(graph).materialize().success


def test_a_task_that_is_called_twice_keeps_its_name(repo, caplog):
    @rs.Task
    def named(value, context: rs.TaskExecutionContext):
        context.log.warning("logged")
        return [*value, context.task_name]

    @rs.Asset.from_graph
    def graph():
        return named(named([]))

    repository = repo(graph)
    assert repository.materialize().success
    assert repository.load_node("graph") == ["named", "named"]
    assert [record.name for record in caplog.records] == ["rivers.tasks.named"] * 2


def test_log_lines_of_a_task_stand_below_the_traceback(repo):
    @rs.Task
    def fails(context: rs.TaskExecutionContext):
        context.log.info("about to fail")
        raise ValueError("boom")

    @rs.Asset.from_graph(partitions_def=letters(1))
    def graph():
        return fails()

    repository = repo(graph)
    failed = repository.backfill(partition_keys=keys("a")).backfill_id
    assert "INFO: about to fail" in repository.backfill_errors(failed)["traceback"][0]


def test_a_graph_asset_called_directly_gives_its_tasks_a_context():
    @rs.Task
    def named(context: rs.TaskExecutionContext):
        return context.task_name

    @rs.Asset.from_graph
    def graph():
        return named()

    assert graph() == "named"


def test_only_tasks_take_a_task_context():
    def takes_it(context: rs.TaskExecutionContext):
        pass

    with pytest.raises(AssetDefinitionError, match="only a task"):
        rs.Asset(takes_it)
