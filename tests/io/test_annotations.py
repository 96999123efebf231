"""The annotation of a parameter says as what a frame is loaded."""

import typing
from collections.abc import Callable

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from obstore.store import MemoryStore
from tests.io.contexts import loading, storing
from tests.support import keys

import rivers as rs

FRAME = pl.DataFrame({"k": ["0", "1"], "x": [1, 2]})
MAKERS: dict[str, Callable] = {
    "memory": lambda _place: rs.InMemoryIOHandler(),
    "pickle": rs.PickleIOHandler,
    "parquet": lambda place: rs.ParquetIOHandler(place, "k"),
    "objects": lambda _place: rs.ParquetIOHandler(store=MemoryStore(), partition_by="k"),
    "delta": lambda place: rs.DeltaIOHandler(place, "k"),
}
HINTS = [pl.DataFrame, pl.LazyFrame, pd.DataFrame, pa.Table]
BOTH = keys("0", "1")


@pytest.fixture(params=MAKERS)
def handler(request, tmp_path):
    return MAKERS[request.param](tmp_path)


def rows(frame):
    """The rows of any frame, sorted."""
    if isinstance(frame, pl.LazyFrame):
        frame = frame.collect()
    if not isinstance(frame, pl.DataFrame):
        frame = pl.from_pandas(frame) if isinstance(frame, pd.DataFrame) else pl.from_arrow(frame)
    return sorted(frame.select("k", "x").rows())


@pytest.mark.parametrize(
    "hint", [*HINTS, *(hint | None for hint in HINTS), typing.Annotated[pl.LazyFrame, 1]]
)
def test_one_partition_and_several_are_loaded_as_annotated(handler, hint):
    handler.handle_output(storing(*BOTH), {"0": FRAME[:1], "1": FRAME[1:]})
    kind = next((of for of in HINTS if of in (hint, *typing.get_args(hint))), pl.DataFrame)
    for partitions, expected in [(BOTH, [("0", 1), ("1", 2)]), (BOTH[1:], [("1", 2)])]:
        loaded = handler.load_input(loading(*partitions, type_hint=hint))
        assert isinstance(loaded, kind)
        assert rows(loaded) == expected


@pytest.mark.parametrize("hint", HINTS)
def test_an_asset_without_partitions_is_loaded_as_annotated(handler, hint):
    handler.handle_output(storing(), FRAME)
    loaded = handler.load_input(loading(type_hint=hint))
    assert isinstance(loaded, hint)
    assert rows(loaded) == FRAME.rows()


@pytest.mark.parametrize(
    "value",
    [FRAME, FRAME.lazy(), FRAME.to_pandas(), FRAME.to_arrow(), FRAME.to_arrow().to_batches()[0]],
    ids=["polars", "lazy", "pandas", "arrow", "batch"],
)
def test_frames_of_any_library_are_stored(handler, value):
    if isinstance(value, pl.LazyFrame) and isinstance(handler, rs.PickleIOHandler):
        value = value.collect()
    handler.handle_output(storing(), value)
    assert rows(handler.load_input(loading(type_hint=pl.DataFrame))) == FRAME.rows()


def test_a_named_index_of_pandas_is_stored_as_a_column(tmp_path):
    handler = rs.ParquetIOHandler(tmp_path)
    handler.handle_output(storing(), FRAME.to_pandas().set_index("k"))
    assert rows(handler.load_input(loading())) == FRAME.rows()


def test_several_values_of_memory_are_a_dict_without_such_an_annotation(tmp_path):
    handler = rs.InMemoryIOHandler()
    handler.handle_output(storing(*BOTH), {"0": FRAME, "1": FRAME})
    for hint in (None, dict, dict[str, pl.DataFrame], int):
        assert list(handler.load_input(loading(*BOTH, type_hint=hint))) == ["0", "1"]


def test_a_lazy_frame_reads_nothing_yet(tmp_path):
    handler = rs.ParquetIOHandler(tmp_path)
    handler.handle_output(storing(*BOTH), {"0": FRAME[:1], "1": FRAME[1:]})
    lazy = handler.load_input(loading(*BOTH, type_hint=pl.LazyFrame))
    FRAME[:0].write_parquet(tmp_path / "a" / "1.parquet")
    assert lazy.collect().rows() == [("0", 1)]


def test_annotations_of_functions_reach_the_handler(repo, tmp_path):
    letters = rs.PartitionsDefinition.static_(["0", "1"])
    seen = {}

    @rs.Asset(partitions_def=letters, io_handler=rs.ParquetIOHandler(tmp_path, "k"))
    def up(context) -> pd.DataFrame:
        return pd.DataFrame({"k": [context.partition_key], "x": [1]})

    @rs.Asset
    def lazy(up: pl.LazyFrame) -> None:
        seen["lazy"] = up

    @rs.Asset
    def pandas(up: "pd.DataFrame") -> None:
        seen["pandas"] = up

    @rs.Asset
    def plain(up) -> None:
        seen["plain"] = up

    repository = repo(up, lazy, pandas, plain)
    everything = rs.PartitionKeyRange.single("0", "1")
    assert repository.backfill(["up"], partition_range=everything).completed == 2
    assert repository.materialize(["lazy", "pandas", "plain"]).success
    kinds = {"lazy": pl.LazyFrame, "pandas": pd.DataFrame, "plain": pl.DataFrame}
    for name, kind in kinds.items():
        assert isinstance(seen[name], kind)
        assert rows(seen[name]) == [("0", 1), ("1", 1)]


def test_load_node_takes_an_annotation(repo, tmp_path):
    @rs.Asset(io_handler=rs.ParquetIOHandler(tmp_path))
    def up():
        return FRAME

    repository = repo(up)
    assert repository.materialize().success
    assert isinstance(repository.load_node("up", type_hint=pl.LazyFrame), pl.LazyFrame)
    assert isinstance(repository.load_node("up"), pl.DataFrame)
