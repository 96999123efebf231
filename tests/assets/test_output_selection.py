"""Selecting some outputs of a multi-asset: only they are made, recorded and counted."""

import pytest
from pydantic import BaseModel
from tests.support import run_script

import rivers as rs

LETTERS = rs.PartitionsDefinition.static_(["a", "b"])
ALL = rs.PartitionKeyRange.single("a", "b")
KEY = rs.PartitionKey.single("a")
OUTPUTS = [rs.AssetDef("x"), rs.AssetDef("y"), rs.AssetDef("z")]


@pytest.fixture
def step():
    """A multi-asset of three outputs, and what it was asked for in each call."""
    asked = []

    @rs.Asset.from_multi(output_defs=OUTPUTS, partitions_def=LETTERS)
    def step(context: rs.AssetExecutionContext):
        asked.append((context.is_multi_asset, context.output_selection))
        for name in context.output_selection:
            yield rs.Output(f"{name} {context.partition_key}", name)

    return step, asked


def materialized(repository):
    """The outputs that are materialized for both partitions."""
    return [
        name
        for name in "xyz"
        if repository.partition_status(name, status="materialized").height == 2
    ]


def test_only_the_selected_output_is_stored_recorded_and_counted(repo, step):
    asset, asked = step
    repository = repo(asset)
    result = repository.backfill(["y"], partition_range=ALL)
    assert (result.completed, result.num_partitions) == (2, 2)
    assert repository.backfills()["assets"].to_list() == [["y"]]
    assert materialized(repository) == ["y"]
    assert repository.load_node("y", KEY) == "y a"
    with pytest.raises(rs.exceptions.ExecutionError):
        repository.load_node("x", KEY)
    assert asked == [(True, ["y"])] * 2


def test_the_selection_is_in_the_order_of_the_output_defs(repo, step):
    asset, asked = step
    repo(asset).backfill(["z", "x"], partition_keys=[KEY])
    assert asked == [(True, ["x", "z"])]


@pytest.mark.parametrize("run", ["backfill", "materialize"])
def test_without_a_selection_all_outputs_are_selected(repo, step, run):
    asset, asked = step
    repository = repo(asset)
    if run == "backfill":
        repository.backfill(partition_keys=[KEY])
    else:
        repository.materialize(partition_key=KEY)
    assert asked == [(True, ["x", "y", "z"])]


def test_an_asset_that_is_no_multi_asset_has_no_selection(repo):
    asked = []

    @rs.Asset
    def single(context: rs.AssetExecutionContext):
        asked.append((context.is_multi_asset, context.output_selection))

    repo(single).materialize(["single"])
    assert asked == [(False, [])]


def test_what_the_function_makes_besides_is_dropped(repo):
    step = rs.Asset.from_multi(lambda: {"x": 1, "y": 2, "z": 3}, name="step", output_defs=OUTPUTS)
    repository = repo(step)
    assert repository.materialize(["y"]).success
    assert repository.load_node("y") == 2
    with pytest.raises(rs.exceptions.ExecutionError):
        repository.load_node("x")


def test_nothing_is_recorded_of_an_output_that_is_skipped_and_not_selected(repo):
    @rs.Asset.from_multi(output_defs=OUTPUTS, partitions_def=LETTERS)
    def step(context: rs.AssetExecutionContext):
        context.skip_partition(context.partition.key, "nothing today", output_name="y")
        yield rs.Output(1, "x")

    repository = repo(step)
    assert repository.backfill(["x"], partition_range=ALL).status == "completed"
    assert repository.partition_status("y")["status"].to_list() == ["missing"] * 2


def test_a_misspelled_output_of_a_skip_is_named_with_the_nearest_one(repo):
    outputs = [rs.AssetDef("orders"), rs.AssetDef("refunds")]

    @rs.Asset.from_multi(output_defs=outputs, partitions_def=LETTERS)
    def step(context: rs.AssetExecutionContext):
        context.skip_partition(context.partition.key, "nothing today", output_name="refund")

    with pytest.raises(rs.exceptions.ExecutionError, match=r"no output 'refund'.*'refunds'"):
        repo(step).materialize(["orders"], KEY)


def test_a_selected_output_that_is_not_made_fails_the_run(repo):
    step = rs.Asset.from_multi(lambda: {"x": 1}, name="step", output_defs=OUTPUTS)
    assert repo(step).materialize(["x"]).success
    with pytest.raises(rs.exceptions.ExecutionError, match="no Output for 'y'"):
        repo(step).materialize(["x", "y"])


def test_a_rerun_keeps_the_selection(repo):
    asked, failing = [], [True]

    @rs.Asset.from_multi(output_defs=OUTPUTS, partitions_def=LETTERS)
    def step(context: rs.AssetExecutionContext):
        asked.append(context.output_selection)
        if failing:
            raise ValueError
        return dict.fromkeys(context.output_selection, 1)

    repository = repo(step)
    failed = repository.backfill(["y"], partition_range=ALL)
    assert failed.failed == 2
    failing.clear()
    assert repository.rerun_backfill(failed.backfill_id).completed == 2
    assert asked == [["y"]] * 4
    assert materialized(repository) == ["y"]


def test_an_upstream_output_is_included_without_the_others(repo, step):
    asset, _ = step
    after = rs.Asset(lambda y: y.upper(), name="after", partitions_def=LETTERS)
    repository = repo(asset, after)
    result = repository.backfill(["after"], partition_range=ALL, include_upstream=True)
    assert result.status == "completed"
    assert repository.load_node("after", KEY) == "Y A"
    assert materialized(repository) == ["y"]


def test_outputs_that_miss_different_partitions_are_made_for_these(repo, step):
    asset, _ = step
    repository = repo(asset)
    repository.backfill(["x"], partition_keys=[KEY])
    result = repository.backfill(["x", "y"], partition_range=ALL, only_missing=True)
    assert result.status == "completed"
    assert materialized(repository) == ["x", "y"]


@pytest.mark.parametrize("executor", [rs.Executor.in_process(), rs.Executor.parallel(1)])
def test_worker_processes_know_the_selection(repo, tmp_path, executor):
    handler = rs.PickleIOHandler(tmp_path)
    step = rs.Asset.from_multi(
        lambda: {"x": 1, "y": 2}, name="step", output_defs=OUTPUTS[:2], partitions_def=LETTERS,
        io_handler=handler,
    )  # fmt: skip
    repository = repo(step, default_executor=executor)
    assert repository.backfill(["y"], partition_range=ALL).completed == 2
    assert repository.load_node("y", KEY) == 2


class Settings(BaseModel):
    factor: int = 1


@pytest.mark.parametrize("named", [{"y": {"factor": 3}}, {"step": {"factor": 3}}])
def test_a_rerun_keeps_the_config_that_an_output_names(repo, named):
    seen, failing = [], [True]

    @rs.Asset.from_multi(output_defs=OUTPUTS, partitions_def=LETTERS)
    def step(context: rs.AssetExecutionContext[Settings]):
        seen.append((context.output_selection, context.config.factor))
        if failing:
            raise ValueError
        return dict.fromkeys(context.output_selection, 1)

    repository = repo(step)
    failed = repository.backfill(["y"], partition_keys=[KEY], config=named)
    failing.clear()
    assert repository.rerun_backfill(failed.backfill_id).completed == 1
    assert seen == [(["y"], 3)] * 2


STEP = """
import os, pathlib, sys
import rivers as rs
from pydantic import BaseModel

class Settings(BaseModel):
    factor: int = 1

letters = rs.PartitionsDefinition.static_(["a", "b"])
handler = rs.PickleIOHandler(pathlib.Path(sys.argv[1]) / "values")
outputs = [rs.AssetDef(name, io_handler=handler) for name in "xyz"]
notes = pathlib.Path(sys.argv[1]) / "notes"

@rs.Asset.from_multi(output_defs=outputs, partitions_def=letters)
def step(context: rs.AssetExecutionContext[Settings]):
    with notes.open("a") as file:
        print(context.partition_key, *context.output_selection, context.config.factor, file=file)
    if sys.argv[2] == "die" and context.partition_key == "b":
        os._exit(1)
    for name in "xyz":  # Also what is not selected.
        yield rs.Output(context.config.factor, output_name=name)

repo = rs.CodeRepository([step]).resolve(rs.Storage.embedded(sys.argv[1] + "/rivers.db"))
everything = rs.PartitionKeyRange.single("a", "b")
if sys.argv[2] == "die":
    repo.backfill(["z", "x"], partition_range=everything, max_concurrency=1, config={"z": {"factor": 5}})
else:
    (backfill_id,) = repo.backfills()["backfill_id"]
    print(repo.resume_backfill(backfill_id).status)
    for name in "xyz":
        print(name, repo.partition_status(name, status="materialized").height)
"""


def test_a_resume_keeps_the_selection_and_the_config_that_an_output_names(tmp_path):
    assert run_script(STEP, tmp_path, "die").returncode == 1
    resumed = run_script(STEP, tmp_path, "resume")
    assert resumed.stdout.splitlines() == ["completed", "x 2", "y 0", "z 2"], resumed.stderr
    notes = (tmp_path / "notes").read_text().splitlines()
    assert set(notes) == {"a x z 5", "b x z 5"}
    assert notes[-1] == "b x z 5"
