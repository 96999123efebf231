"""Code written for the package `rivers` 0.6 finds the handlers and their contexts that it knows."""

import importlib
import pickle
from typing import ClassVar

import polars as pl
import pytest
from tests.support import counts, keys, letters

import rivers as rs
from rivers.exceptions import ConfigurationError

store_module = pytest.importorskip("obstore.store")
AB = letters(2)
WHOLE = rs.PartitionKeyRange.single("a", "b")


class Recording(rs.BaseIOHandler):
    """Keeps every value and context."""

    def __init__(self):
        self.stored, self.loaded = [], []

    def handle_output(self, context, value):
        self.stored.append((context, value))

    def load_input(self, context):
        self.loaded.append(context)
        return [value for _, value in self.stored][-1] if self.stored else None


def test_a_store_and_a_prefix():
    store = store_module.MemoryStore()
    first = rs.PickleIOHandler(store=store, prefix="v1/x")
    second = rs.PickleIOHandler(store=store, prefix="v2")
    context = rs.OutputContext(asset_name="n")
    wanted = rs.InputContext(asset_name="n", downstream_asset="d")
    first.handle_output(context, 1)
    second.handle_output(context, 2)
    assert (first.load_input(wanted), second.load_input(wanted)) == (1, 2)
    names = sorted(item["path"] for page in store.list() for item in page)
    assert [name.startswith(("v1/x/", "v2/")) for name in names] == [True, True]
    assert rs.PickleIOHandler(store=store, prefix="v2/").load_input(wanted) == 2
    assert "v1/x" in repr(first)


def test_a_store_in_a_folder_is_picklable_and_folders_take_a_prefix(tmp_path):
    stored = rs.PickleIOHandler(store=store_module.LocalStore(str(tmp_path)), prefix="p")
    stored.handle_output(rs.OutputContext("n"), 7)
    copy = pickle.loads(pickle.dumps(stored))
    assert copy.load_input(rs.InputContext("n", "d")) == 7
    folder = rs.PickleIOHandler(tmp_path, prefix="p")
    assert folder.load_input(rs.InputContext("n", "d")) == 7


@pytest.mark.parametrize("arguments", [{}, {"base_dir": "x", "store": "memory"}, {"store": "x"}])
def test_neither_or_both_places_are_refused(arguments):
    if arguments.get("store") == "memory":
        arguments = {**arguments, "store": store_module.MemoryStore()}
    with pytest.raises(TypeError):
        rs.PickleIOHandler(**arguments)


@pytest.mark.parametrize("prefix", ["/v1", "../v1", "a/../b"])
def test_a_prefix_outside_of_the_store_is_refused(prefix):
    with pytest.raises(ConfigurationError):
        rs.PickleIOHandler(store=store_module.MemoryStore(), prefix=prefix)


class Base(rs.BaseIOHandler):
    """A handler with fields."""

    base: str
    retries: int = 3
    seen: list = []  # noqa: RUF012  (as users write it)
    unannotated = 5
    _hidden: int = 1
    constant: ClassVar[int] = 2

    def handle_output(self, context, value):
        self.seen.append(value)

    def load_input(self, context):
        return self.seen[-1]


class Derived(Base):
    """Inherits the fields."""

    path: str = "none"


class OwnInit(Base):
    """Defines its own constructor."""

    def __init__(self, name):
        self.base = name


def test_annotated_attributes_are_fields(monkeypatch):
    monkeypatch.setenv("PATH", "/bin")
    made = Derived(base="x", retries="4")
    assert (made.base, made.retries, made.path, made.seen) == ("x", 4, "none", [])
    made.seen.append(1)
    assert Derived(base="y").seen == []
    assert len({made, Derived(base="x", retries=4)}) == 2
    assert pickle.loads(pickle.dumps(made)).seen == [1]
    assert OwnInit("z").base == "z"


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({}, "base"),
        ({"base": "x", "colour": 1}, "colour"),
        ({"base": "x", "retries": "many"}, "retries"),
        ({"base": "x", "unannotated": 1}, "unannotated"),
        ({"base": "x", "_hidden": 1}, "_hidden"),
    ],
)
def test_wrong_fields_are_refused_by_name(fields, named):
    with pytest.raises(ValueError, match=named):
        Derived(**fields)


def test_contexts_of_a_run_have_the_documented_names(repo):
    handler = Recording()

    @rs.Asset(partitions_def=AB, metadata={"unit": "EUR"}, io_handler=handler)
    def up() -> int:
        return 1

    @rs.Asset(io_handler=handler)
    def plain():
        return 2

    @rs.Asset.from_multi(output_defs=[rs.AssetDef("x"), rs.AssetDef("y")], io_handler=handler)
    def several() -> dict:
        return {"x": 1, "y": 2}

    @rs.Asset(partitions_def=AB, io_handler=rs.InMemoryIOHandler())
    def down(up: float):
        return up

    repository = repo(up, plain, several, down)
    repository.backfill(["up", "down"], keys("a"))
    repository.materialize(["plain", "x", "y"])
    of_up, of_plain, of_x = (context for context, _ in handler.stored[:3])
    assert (of_up.asset_name, of_up.asset_metadata, of_up.type_hint) == ("up", {"unit": "EUR"}, int)
    assert (of_up.partition.keys, of_up.partition.definition) == (keys("a"), AB)
    assert (of_plain.asset_metadata, of_plain.partition, of_plain.type_hint) == (None, None, None)
    assert of_x.type_hint is None
    assert of_up.output_metadata == {}
    (taken,) = handler.loaded
    assert (taken.asset_name, taken.downstream_asset) == ("up", "down")
    assert (taken.asset_metadata, taken.type_hint) == ({"unit": "EUR"}, float)
    assert (taken.partition.keys, taken.partition.definition) == (keys("a"), AB)


def test_contexts_by_hand():
    partition = rs.PartitionContext(keys("a"), AB)
    out = rs.OutputContext("n", {"m": 1}, partition, int)
    assert (out.asset_name, out.asset_metadata, out.partition) == ("n", {"m": 1}, partition)
    assert out.type_hint is int
    taken = rs.InputContext("n", "d", {"m": 1}, partition, int)
    assert (taken.asset_name, taken.downstream_asset, taken.type_hint) == ("n", "d", int)
    assert (taken.asset_metadata, taken.partition) == ({"m": 1}, partition)
    with pytest.raises(TypeError, match="downstream_asset"):
        rs.InputContext(asset_name="n")


@pytest.mark.parametrize("kind", ["memory", "pickle", "parquet", "delta"])
@pytest.mark.parametrize("is_partitioned", [False, True])
def test_the_handlers_work_with_contexts_by_hand(kind, is_partitioned, tmp_path):
    if kind == "delta":
        pytest.importorskip("deltalake")
    handler = {
        "memory": rs.InMemoryIOHandler,
        "pickle": lambda: rs.PickleIOHandler(tmp_path),
        "parquet": lambda: rs.ParquetIOHandler(tmp_path),
        "delta": lambda: rs.DeltaIOHandler(tmp_path, partition_by="k"),
    }[kind]()
    partition = rs.PartitionContext(keys("a"), AB) if is_partitioned else None
    is_frame = kind in ("parquet", "delta")
    value = pl.DataFrame({"k": ["a"], "n": [7]}) if is_frame else 7
    handler.handle_output(rs.OutputContext(asset_name="n", partition=partition), value)
    wanted = rs.InputContext(asset_name="n", downstream_asset="d", partition=partition)
    loaded = handler.load_input(wanted)
    assert loaded.equals(value) if is_frame else loaded == value


def test_none_is_a_value(repo):
    handler = Recording()
    returned = [5, None]

    @rs.Asset(partitions_def=AB, io_handler=handler)
    def up():
        return returned.pop(0)

    @rs.Asset(partitions_def=AB, io_handler=handler)
    def nothing() -> None:
        return None

    taken = []

    @rs.Asset(partitions_def=AB)
    def down(up):
        taken.append(up)

    repository = repo(up, nothing, down)
    assert counts(repository.backfill(["up"], keys("a"))) == (1, 0, 0)
    assert counts(repository.backfill(["up", "down"], keys("a"))) == (1, 0, 0)
    assert [value for _, value in handler.stored] == [5, None]
    assert taken == [None]
    assert repository.load_node("up", partition_key=keys("a")[0]) is None
    repository.backfill(["nothing"], keys("a"))
    assert len(handler.stored) == 2


def test_the_metadata_of_an_input_replaces_that_of_the_upstream(repo):
    handler = Recording()
    up = rs.Asset(lambda: 1, name="up", metadata={"unit": "EUR"}, io_handler=handler)
    first = rs.Asset(
        lambda up: up, name="first", deps=[rs.AssetDef.input("up", metadata={"columns": ["x"]})]
    )
    second = rs.Asset(lambda up: up, name="second")
    assert repo(up, first, second).materialize().success
    assert sorted(str(context.asset_metadata) for context in handler.loaded) == [
        "{'columns': ['x']}",
        "{'unit': 'EUR'}",
    ]


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("rivers.io_handlers", "PickleIOHandler"),
        ("rivers.io_handlers", "InMemoryIOHandler"),
        ("rivers.io_handlers", "BaseIOHandler"),
        ("rivers.io_handlers.base", "BaseIOHandler"),
        ("rivers.io_handlers.memory", "InMemoryIOHandler"),
        ("rivers.io_handlers.pickle", "PickleIOHandler"),
        ("rivers.io_handlers.delta", "DeltaIOHandler"),
        ("rivers.io", "ParquetIOHandler"),
    ],
)
def test_the_modules_of_0_6_have_the_handlers(module, name):
    assert getattr(importlib.import_module(module), name) is getattr(rs, name)


def test_storages_for_tests(tmp_path):
    testing = importlib.import_module("rivers.testing")
    asset = rs.Asset(lambda: 1, name="x")
    for storage in (testing.memory_storage(), testing.embedded_storage(tmp_path / "r.db")):
        with rs.CodeRepository([asset]).resolve(storage) as repository:
            assert repository.materialize().success
