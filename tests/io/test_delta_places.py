"""Delta Lake tables in folders whose names mean something to the libraries that read them."""

import polars as pl
import pytest
from tests.io.contexts import loading, storing

import rivers as rs
from rivers.exceptions import ConfigurationError
from rivers.io import InputContext, OutputContext

pytest.importorskip("deltalake")
BOTH = [rs.PartitionKey.single(text) for text in ("a", "b / c")]
FOLDERS = ["My Data", "jörg", "run=5", "run=5/a b=c d", "a#b", "x=1=2", "=", "k=5", "plain"]


def frame(key, value, **more):
    return pl.DataFrame({"k": [key], "v": [value], **more})


@pytest.fixture(params=FOLDERS)
def deltas(request, tmp_path):
    return rs.DeltaIOHandler(tmp_path / request.param, partition_by="k")


def test_partitions_are_loaded_from_any_folder(deltas):
    deltas.handle_output(storing(BOTH[0]), frame("a", 1, s=[{"x": 1}]))
    deltas.handle_output(storing(BOTH[1]), frame("b / c", 2, s=[{"x": 2, "y": "t"}]))
    assert deltas.load_input(loading(BOTH[1]))["v"].to_list() == [2]
    deltas.handle_output(storing(BOTH[1]), frame("b / c", 2.5, w=["new"]))
    loaded = deltas.load_input(loading(*BOTH, type_hint=pl.LazyFrame)).collect()
    assert loaded["v"].to_list() == [1.0, 2.5]
    assert loaded["w"].to_list() == [None, "new"]
    assert loaded["k"].to_list() == ["a", "b / c"]
    deltas.handle_output(storing(*BOTH), None)
    assert deltas.load_input(loading(BOTH[0])) is None


def test_a_table_without_partitions_is_loaded_from_any_folder(deltas):
    for value in (1, 2):
        deltas.handle_output(OutputContext("a"), frame("a", value))
        loaded = deltas.load_input(InputContext("a", "b"))
        assert loaded["v"].to_list() == [value]


@pytest.mark.parametrize("name", ["daily sales", "Größe", "50%", "x.y"])
def test_assets_may_have_any_name(repo, tmp_path, name):
    handler = rs.DeltaIOHandler(tmp_path, partition_by="k")
    definition = rs.PartitionsDefinition.static_(["a", "b / c"])
    asset = rs.Asset(
        lambda context: frame(context.partition_key, 1),
        name=name, partitions_def=definition, io_handler=handler,
    )  # fmt: skip
    repository = repo(asset)
    assert repository.backfill(partition_keys=BOTH, max_concurrency=1).completed == 2
    assert repository.load_node(name, BOTH[1])["k"].to_list() == ["b / c"]


@pytest.mark.parametrize("folder", ["a[b]", "a%20b"])
def test_a_folder_that_the_library_cannot_use_is_refused(tmp_path, folder):
    with pytest.raises(ConfigurationError, match="in its path"):
        rs.DeltaIOHandler(tmp_path / folder)
