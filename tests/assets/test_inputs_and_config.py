"""What a function receives: inputs, config and tags."""

import functools
import json

import pydantic
import pytest
from tests.support import keys, letters, repository

import rivers as rs
from rivers.exceptions import ConfigurationError, ExecutionError
from rivers.io import BaseIOHandler

LETTERS = letters(4)
REGIONS = rs.PartitionsDefinition.static_(["us", "eu"])
GRID = rs.PartitionsDefinition.multi({"letter": LETTERS, "region": REGIONS})
WIDE = rs.PartitionsDefinition.multi(
    {"region": REGIONS, "letter": LETTERS, "size": rs.PartitionsDefinition.static_(["s", "l"])}
)
ALL = rs.PartitionKeyRange.single("a", "d")
ONE_RUN = rs.BackfillStrategy.single_run()


class Recording(BaseIOHandler):
    """A handler that keeps one value per partition and the contexts of its calls."""

    def __init__(self):
        self.outputs, self.inputs, self.values = [], [], {}

    def handle_output(self, context, value):
        self.outputs.append((context, value))
        self.values.update(dict.fromkeys([str(key) for key in context.partitions] or [""], value))

    def load_input(self, context):
        self.inputs.append(context)
        return [self.values[str(key)] for key in context.partitions] or self.values[""]


class Settings(pydantic.BaseModel):
    factor: int = 2
    names: list[str] = []


def configured(seen, storage=None, **kwargs):
    @rs.Asset(partitions_def=LETTERS)
    def scaled(context: rs.AssetExecutionContext[Settings]):
        seen.append((context.partition_key, context.config))
        if context.partition_key == "b" and len(seen) <= 4:
            raise ValueError("boom")

    @rs.Asset(partitions_def=LETTERS)
    def without():
        pass

    repo = rs.CodeRepository([scaled, without], **kwargs)
    return repo.resolve(storage or rs.Storage.memory())


def test_inputs_come_by_parameter_through_the_io_handler():
    handler, got = Recording(), []

    @rs.Asset(partitions_def=LETTERS, io_handler=handler, metadata={"unit": "m"})
    def source(context: rs.AssetExecutionContext):
        return context.partition.keys[0].key[0].upper()

    @rs.Asset(partitions_def=LETTERS)
    def sink(source):
        got.append(source)

    repo = repository(source, sink)
    result = repo.backfill(partition_keys=keys("b"), tags=[("team", "data")])
    assert got == [["B"]]
    ((output, value),) = handler.outputs
    assert (output.asset, output.partitions, value) == ("source", keys("b"), "B")
    assert (output.run_id, output.metadata) == (result.run_ids[0], {"unit": "m"})
    assert ("team", "data") in output.tags
    (wanted,) = handler.inputs
    assert (wanted.asset, wanted.downstream) == ("source", "sink")
    assert (wanted.partitions, wanted.metadata) == (keys("b"), {"unit": "m"})


def test_inputs_for_the_partitions_that_the_mapping_names():
    handler, got = Recording(), {}
    source = rs.Asset(lambda: 1, name="source", partitions_def=WIDE, io_handler=handler)

    @rs.Asset(partitions_def=GRID)
    def cell(context: rs.AssetExecutionContext, source):
        got[context.partition_key] = len(source)

    @rs.Asset
    def everything(source):
        got["everything"] = len(source)

    repo = repository(source, cell, everything)
    whole = rs.PartitionKeyRange.multi({})
    assert repo.backfill(["source"], partition_range=whole, strategy=ONE_RUN).status == "completed"
    key = rs.PartitionKey.multi({"letter": "c", "region": "eu"})
    assert repo.backfill(["cell"], partition_keys=[key]).status == "completed"
    repo.materialize(["everything"])
    assert got == {"letter=c|region=eu": 2, "everything": 16}
    asked = [key.keys for key in handler.inputs[0].partitions]
    assert asked == [{"region": ["eu"], "letter": ["c"], "size": [size]} for size in "sl"]


def test_an_unpartitioned_input_is_the_same_for_all():
    got = []
    base = rs.Asset(lambda: 7, name="base")

    @rs.Asset(partitions_def=LETTERS)
    def sink(base):
        got.append(base)

    repo = repository(base, sink)
    repo.materialize(["base"])
    assert repo.backfill(partition_range=ALL).status == "completed"
    assert got == [7, 7, 7, 7]


def test_an_input_that_was_never_stored_fails_the_run():
    source = rs.Asset(lambda: 1, name="source", partitions_def=LETTERS)

    @rs.Asset(partitions_def=LETTERS)
    def sink(source):
        pytest.fail("called")

    repo = repository(source, sink)
    repo.backfill(["source"], partition_keys=keys("a"))
    result = repo.backfill(["sink"], partition_keys=keys("b"))
    assert result.failed == 1
    error = repo.get_backfill(result.backfill_id).error
    assert all(part in error for part in ("sink", "source", "ExecutionError"))


def test_optional_parameters_and_partial_functions():
    got = []

    def scale(letter, factor=3):
        got.append(letter * factor)

    letter = rs.Asset(lambda: 2, name="letter", partitions_def=LETTERS)
    scaled = rs.Asset(functools.partial(scale, factor=5), name="scaled", partitions_def=LETTERS)
    assert repository(letter, scaled).backfill(partition_keys=keys("a")).status == "completed"
    assert got == [10]


def test_config_reaches_the_context_as_its_model():
    seen = []
    repo = configured(seen)
    repo.backfill(partition_keys=keys("a"), config={"scaled": {"factor": 3, "names": ["x"]}})
    repo.backfill(partition_keys=keys("a"))
    assert seen == [("a", Settings(factor=3, names=["x"])), ("a", Settings())]
    assert type(seen[0][1]) is Settings


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"scald": {"factor": 1}}, "scald"),
        ({"without": {"factor": 1}}, "takes no config"),
        ({"scaled": {"factor": "many"}}, "factor"),
        ({"scaled": {"facto": 1}}, "facto"),
        ({"scaled": {"names": {1, 2}}}, "JSON"),
        ({"scaled": {"factor": float("nan")}}, "JSON"),
        ({"scaled": 3}, "dict"),
        ([("scaled", {})], "dict"),
    ],
)
@pytest.mark.parametrize("dry_run", [False, True])
def test_config_is_refused_before_anything_runs(config, told, dry_run):
    seen = []
    repo = configured(seen)
    with pytest.raises(ConfigurationError, match=told):
        repo.backfill(partition_range=ALL, config=config, dry_run=dry_run)
    assert (seen, repo.storage.get_runs()) == ([], [])


def test_config_outside_the_selection_is_refused():
    with pytest.raises(ConfigurationError, match="'scaled'"):
        configured([]).backfill(["without"], partition_range=ALL, config={"scaled": {"factor": 1}})


def test_config_is_kept_for_a_rerun(tmp_path):
    seen = []
    config = {"scaled": {"factor": 9}}
    with configured(seen, rs.Storage.embedded(tmp_path / "rivers.db")) as repo:
        first = repo.backfill(partition_range=ALL, config=config)
        config["scaled"]["factor"] = 1
        assert (first.failed, len(seen)) == (1, 4)
    with configured(seen, rs.Storage.embedded(tmp_path / "rivers.db")) as repo:
        again = repo.rerun_backfill(first.backfill_id)
        assert (again.status, again.num_partitions) == ("completed", 1)
        assert seen[4:] == [("b", Settings(factor=9))]
        kept = repo.storage._store.backfill(again.backfill_id)["config"]
        assert json.loads(kept) == {"scaled": {"factor": 9}}


def test_tags_reach_the_backfill_and_each_run():
    seen = []

    @rs.Asset(partitions_def=LETTERS)
    def letter(context: rs.AssetExecutionContext):
        seen.append(context.run_tags)

    repo = repository(letter)
    tags = [("team", "data"), ("team", "ops"), ("rivers/priority", "5")]
    result = repo.backfill(partition_keys=keys("a", "b"), tags=tags)
    assert repo.get_backfill(result.backfill_id).tags == tags
    assert seen == [tags, tags]
    runs = [repo.storage.get_run(run) for run in result.run_ids]
    assert [(run.tags, run.priority) for run in runs] == [(tags, 5)] * 2


@pytest.mark.parametrize(
    "tags",
    [
        [("rivers/priority", "high")],
        [("rivers/priority", "1.5")],
        [("rivers/priority", str(1 << 70))],
        [("rivers/rerun_of", "x")],
        [("rivers/owner", "me")],
        [("team", 3)],
        [("team",)],
        ["ab"],
        {"team": "data"},
    ],
)
def test_tags_refused(tags):
    with pytest.raises(ConfigurationError, match="tag"):
        configured([]).backfill(partition_range=ALL, tags=tags, dry_run=True)


@pytest.mark.parametrize("own_handler", [False, True])
def test_memory_input_across_runs_is_refused_with_parallel(own_handler):
    kept = {"io_handler": rs.InMemoryIOHandler()} if own_handler else {}
    source = rs.Asset(lambda: 1, name="source", partitions_def=LETTERS, **kept)
    sink = rs.Asset(lambda source: source, name="sink", partitions_def=LETTERS)
    repo = repository(source, sink, default_executor=rs.Executor.parallel(1))
    for dry_run in (False, True):
        with pytest.raises(ExecutionError, match="PickleIOHandler") as caught:
            repo.backfill(["sink"], partition_range=ALL, dry_run=dry_run)
        assert "'source'" in str(caught.value)
    assert repo.storage.get_runs() == []
    assert repo.backfill(partition_range=ALL, dry_run=True).num_runs == 4
