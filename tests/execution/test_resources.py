"""Resources: objects that functions take by name, set up once per process, torn down at the end."""

import os
import pickle
import threading
from pathlib import Path

import pydantic
import pytest
from tests.support import key, keys, letters

import rivers as rs
from rivers.exceptions import ConfigurationError, ExecutionError, GraphValidationError
from rivers.execution.resources import Resources

LETTERS = letters(6)


class Db(rs.Resource):
    url: str
    rows: list = []  # noqa: RUF012  (a default is copied for each resource)
    retries: int = 3

    def setup(self):
        self._connection = threading.Lock()  # What cannot be pickled, as a connection.
        self.rows.append("setup")

    def teardown(self):
        del self._connection
        self.rows.append("teardown")

    def read(self):
        assert not self._connection.locked()
        return self.url


@pytest.fixture
def db():
    return Db(url="db://x")


@rs.Asset
def read(db):
    return db.read()


def plain():
    pass


# -- fields ------------------------------------------------------------------------------------------


def test_annotated_attributes_are_fields():
    class Warehouse(Db):
        schema: str = "public"
        _hidden: int = 4
        constant = 5

    made = Warehouse(url="x", retries="7")
    assert (made.url, made.retries, made.schema, made.rows) == ("x", 7, "public", [])
    made.rows.append(1)
    assert Warehouse(url="x").rows == []
    for fields, name in [
        ({}, "url"),
        ({"url": "x", "retries": "y"}, "retries"),
        ({"uri": 1}, "uri"),
    ]:
        with pytest.raises(ValueError, match=name):
            Warehouse(**fields)
    with pytest.raises(ValueError, match="_hidden"):
        Warehouse(url="x", _hidden=5)


def test_nothing_is_read_from_the_environment(monkeypatch):
    monkeypatch.setenv("URL", "wrong")
    with pytest.raises(ValueError, match="url"):
        Db()


def test_a_resource_with_a_constructor_and_private_attributes():
    class Own(rs.Resource):
        def __init__(self, size):
            self.size = size

    class Private(rs.Resource):
        name: str = "x"
        _connection = pydantic.PrivateAttr(default=None)

    assert Own(3).size == 3
    assert Private()._connection is None
    assert repr(Db(url="x")) == "Db(url='x', rows=[], retries=3)"
    assert pickle.loads(pickle.dumps(Db(url="x"))).url == "x"
    assert len({Db(url="x"), Db(url="x")}) == 2


# -- parameters --------------------------------------------------------------------------------------


def test_a_parameter_takes_the_resource_of_its_name(repo, db):
    @rs.Asset
    def later(read, db, other="default"):
        return [read, db.retries, other]

    repository = repo(read, later, resources={"db": db})
    assert repository.materialize().success
    assert repository.load_node("later") == ["db://x", 3, "default"]


def test_a_resource_takes_precedence_over_a_default(repo, db):
    @rs.Asset
    def optional(db=None):
        return db is not None

    repository = repo(optional, resources={"db": db})
    repository.materialize()
    assert repository.load_node("optional") is True


def test_async_multi_and_graph_assets_take_resources(repo, db):
    @rs.Asset
    async def from_async(db):
        return db.read()

    @rs.Asset.from_multi(output_defs=[rs.AssetDef("left"), rs.AssetDef("right")])
    def both(db):
        yield rs.Output(db.read(), "left")
        yield rs.Output(db.retries, "right")

    @rs.Task
    def first(db):
        return db.read()

    @rs.Task
    async def second(value, db):
        return [value, db.retries]

    @rs.Asset.from_graph
    def graph():
        return second(first())

    repository = repo(from_async, both, graph, resources={"db": db})
    assert repository.materialize().success
    names = ("from_async", "left", "right", "graph")
    assert [repository.load_node(name) for name in names] == [
        "db://x", "db://x", 3, ["db://x", 3],
    ]  # fmt: skip


def test_an_asset_takes_precedence_with_a_warning(repo, db):
    @rs.Asset(name="db")
    def asset():
        return "the asset"

    @rs.Asset
    def after(db):
        return db

    with pytest.warns(UserWarning, match="'db'.*both an asset and a resource"):
        repository = repo(asset, after, resources={"db": db})
    repository.materialize()
    assert repository.load_node("after") == "the asset"


def test_neither_an_asset_nor_a_resource():
    for kind in (GraphValidationError, ConfigurationError):
        with pytest.raises(kind, match="'db'"):
            rs.CodeRepository([read])
        with pytest.raises(kind, match="did you mean 'dbs'"):
            rs.CodeRepository([read], resources={"dbs": Db(url="x")})


@pytest.mark.parametrize("wrong", [{"db": 3}, {"db": Db}, {"db": {}}, {3: Db(url="x")}, [1], "db"])
def test_what_is_no_resource_is_refused(wrong):
    with pytest.raises(ConfigurationError, match="resource"):
        rs.CodeRepository([], resources=wrong)


def test_an_async_setup_or_teardown_is_refused():
    class Later(rs.Resource):
        async def setup(self):
            pass

    class LaterStill(rs.Resource):
        async def teardown(self):
            pass

    for resource, method in [(Later(), "setup"), (LaterStill(), "teardown")]:
        with pytest.raises(ConfigurationError, match=f"{method}.*'db'.*async"):
            rs.CodeRepository([], resources={"db": resource})


def test_any_pydantic_model_can_be_a_resource(repo):
    class Limits(pydantic.BaseModel):
        limit: int = 3

    class Opened(Limits):
        _open: bool = pydantic.PrivateAttr(default=False)

        def setup(self):
            self._open = True

    @rs.Asset
    def limited(limits, opened):
        return limits.limit, opened._open

    repository = repo(limited, resources={"limits": Limits(), "opened": Opened()})
    repository.materialize()
    assert repository.load_node("limited") == (3, True)


# -- setup and teardown ------------------------------------------------------------------------------


def test_setup_at_the_first_connection_and_teardown_at_close(db):
    repository = rs.CodeRepository([read], resources={"db": db})
    repository.validate()
    assert db.rows == []
    repository.resolve(rs.Storage.memory())
    assert db.rows == ["setup"]
    repository.materialize()
    repository.resolve(rs.Storage.memory())
    repository.materialize()
    assert db.rows == ["setup"]
    repository.close()
    repository.close()
    assert db.rows == ["setup", "teardown"]
    repository.materialize()
    assert db.rows == ["setup", "teardown", "setup"]
    repository.shutdown()
    assert db.rows[3:] == ["teardown"]


def test_teardown_at_the_end_of_with_after_what_runs_in_the_background(db):
    @rs.Asset(partitions_def=LETTERS)
    def letter(db):
        db.rows.append(db.read())

    with rs.CodeRepository([letter], resources={"db": db}).resolve(rs.Storage.memory()) as repo:
        repo.backfill(partition_keys=keys("a", "b", "c"), block=False)
    assert db.rows == ["setup", "db://x", "db://x", "db://x", "teardown"]


def test_setup_once_from_many_threads(db):
    repository = rs.CodeRepository([read], resources={"db": db})
    storage = rs.Storage.memory()
    threads = [threading.Thread(target=repository.resolve, args=(storage,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    repository.close()
    assert db.rows == ["setup", "teardown"]


def test_a_forked_child_sets_up_for_itself(tmp_path):
    noted = tmp_path / "noted"
    shared = Resources({"noting": Noting(path=str(noted))})
    shared.setup()
    child = os.fork()
    if not child:
        shared.teardown()  # It is the parent's.
        shared.setup()
        shared.setup()
        shared.teardown()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    shared.teardown()
    parent = str(os.getpid())
    assert [line.split() for line in noted.read_text().splitlines()] == [
        ["setup", parent], ["setup", str(child)], ["teardown", str(child)], ["teardown", parent],
    ]  # fmt: skip


def test_teardown_in_reverse_order_and_after_exceptions(caplog):
    calls = []

    class Noted(rs.Resource):
        name: str

        def setup(self):
            calls.append(f"setup {self.name}")

        def teardown(self):
            calls.append(f"teardown {self.name}")
            if self.name == "b":
                raise ValueError("boom")

    resources = {name: Noted(name=name) for name in "abc"}
    rs.CodeRepository([], resources=resources).resolve(rs.Storage.memory()).close()
    assert calls == [
        "setup a", "setup b", "setup c", "teardown c", "teardown b", "teardown a",
    ]  # fmt: skip
    assert "'b'" in caplog.text


def test_a_setup_that_raises_connects_nothing_and_can_be_tried_again(db):
    class Broken(rs.Resource):
        def setup(self):
            if broken:
                raise OSError("no route to host")

    broken = True
    repository = rs.CodeRepository([read], resources={"db": db, "other": Broken()})
    with pytest.raises(OSError, match="no route"):
        repository.resolve(rs.Storage.memory())
    assert db.rows == ["setup", "teardown"]
    broken = False
    assert repository.resolve(rs.Storage.memory()).materialize().success
    repository.close()


# -- handlers by name --------------------------------------------------------------------------------


class Kept(rs.BaseIOHandler):
    values: dict = {}  # noqa: RUF012  (a default is copied for each handler)

    def handle_output(self, context, value):
        self.values[context.asset_name] = value

    def load_input(self, context):
        return self.values[context.asset_name]


def test_io_handler_names_a_resource_everywhere(repo):
    kept = Kept(values={"outside": 1})

    @rs.Task
    def one():
        return 1

    @rs.Task(io_handler="kept")
    def two(value):
        return value + 1

    @rs.Asset(io_handler="kept", deps=[rs.AssetDef.input("outside", io_handler="kept")])
    def plain(outside):
        return outside

    @rs.Asset.from_multi(
        output_defs=[rs.AssetDef("left", io_handler="kept"), rs.AssetDef("right")],
        io_handler="kept",
    )
    def both():
        return {"left": 2, "right": 3}

    @rs.Asset.from_graph(node_io_handler="kept", io_handler="kept")
    def graph():
        return two(one())

    outside = rs.Asset.external("outside", io_handler="kept")
    repository = repo(outside, plain, both, graph, resources={"kept": kept})
    assert repository.io_handler_for_output("plain") is kept
    assert repository.materialize().success
    assert kept.values == {
        "outside": 1, "plain": 1, "left": 2, "right": 3, "graph/one": 1, "graph/two": 2, "graph": 2,
    }  # fmt: skip
    assert [repository.load_node(name) for name in ("graph/one", "graph/two", "left")] == [1, 2, 2]


@pytest.mark.parametrize(
    ("resources", "match"),
    [({}, "no entry"), ({"keep": Kept()}, "did you mean 'keep'"), ({"kept": Db(url="x")}, "no IO")],
)
@pytest.mark.parametrize("where", ["asset", "input", "task", "node", "output", "external"])
def test_a_name_that_is_no_handler_is_refused(where, resources, match):
    source = rs.Asset(lambda: 1, name="source")
    task = rs.Task(lambda: 1, name="task", io_handler="kept" if where == "task" else None)

    def graph():
        return task()

    assets = {
        "asset": lambda: [rs.Asset(lambda: 1, name="x", io_handler="kept")],
        "input": lambda: [
            source,
            rs.Asset(
                lambda source: 1, name="x", deps=[rs.AssetDef.input("source", io_handler="kept")]
            ),
        ],
        "task": lambda: [rs.Asset.from_graph(graph)],
        "node": lambda: [rs.Asset.from_graph(graph, node_io_handler="kept")],
        "output": lambda: [
            rs.Asset.from_multi(plain, name="m", output_defs=[rs.AssetDef("x", io_handler="kept")])
        ],
        "external": lambda: [rs.Asset.external("x", io_handler="kept")],
    }[where]()
    with pytest.raises(ConfigurationError, match=match):
        rs.CodeRepository(assets, resources=resources)


# -- worker processes --------------------------------------------------------------------------------


class Noting(rs.Resource):
    path: str

    def setup(self):
        self._lock = threading.Lock()
        self.note("setup")

    def teardown(self):
        self.note("teardown")

    def note(self, what):
        with Path(self.path).open("a") as file:
            file.write(f"{what} {os.getpid()}\n")


@pytest.fixture
def noted(tmp_path):
    """Makes a repository with worker processes and a resource that notes what is called where."""
    path = tmp_path / "noted"

    @rs.Asset(partitions_def=LETTERS)
    def letter(noting):
        assert not noting._lock.locked()
        noting.note("run")

    def make(*assets, workers=2, **resources):
        resources = {"noting": Noting(path=str(path)), **resources}
        executor = rs.Executor.parallel(workers)
        return rs.CodeRepository([letter, *assets], default_executor=executor, resources=resources)

    make.lines = lambda: [tuple(line.split()) for line in path.read_text().splitlines()]
    return make


def test_setup_once_in_each_worker_before_its_first_run_and_teardown_at_its_end(noted):
    with noted().resolve(rs.Storage.memory()) as repository:
        for _ in range(2):  # The second backfill has a program of its own.
            result = repository.backfill(partition_keys=keys(*"abcdef"))
            assert result.status == "completed"
    here = str(os.getpid())
    by_process = {}
    for what, process in noted.lines():
        by_process.setdefault(process, []).append(what)
    assert by_process.pop(here) == ["setup", "teardown"]
    assert 1 <= len(by_process) <= 2
    for calls in by_process.values():
        assert (calls[0], calls[-1]) == ("setup", "teardown")
        assert set(calls[1:-1]) == {"run"}
    assert sum(calls.count("run") for calls in by_process.values()) == 12


def test_a_handler_by_name_in_worker_processes(noted, tmp_path):
    @rs.Asset(partitions_def=LETTERS, io_handler="files")
    def stored(noting):
        return os.getpid()

    files = rs.PickleIOHandler(tmp_path / "values")
    with noted(stored, files=files).resolve(rs.Storage.memory()) as repository:
        assert repository.backfill(["stored"], keys("a")).status == "completed"
        assert repository.load_node("stored", key("a")) != os.getpid()


class FailsInWorkers(rs.Resource):
    home: int

    def setup(self):
        if os.getpid() != self.home:
            raise OSError("no route to host")


def test_a_setup_that_raises_in_a_worker_fails_the_runs_that_need_it(noted):
    @rs.Asset(partitions_def=LETTERS)
    def needs_it(fails):
        pytest.fail("executed")

    resources = {"fails": FailsInWorkers(home=os.getpid())}
    with noted(needs_it, **resources).resolve(rs.Storage.memory()) as repository:
        assert repository.backfill(["letter"], keys("a")).status == "completed"
        result = repository.backfill(["needs_it"], keys("a", "b"))
        assert (result.status, result.failed) == ("failed", 2)
        errors = repository.backfill_errors(result.backfill_id)
        assert errors["error_type"].to_list() == ["OSError"]
        assert "resource 'fails'" in errors["traceback"][0]


def test_a_new_worker_sets_up_after_one_has_died(noted):
    @rs.Asset(partitions_def=LETTERS)
    def dies(context, noting):
        noting.note("run")
        if context.partition_key == "b":
            os._exit(3)

    with noted(dies, workers=1).resolve(rs.Storage.memory()) as repository:
        result = repository.backfill(["dies"], keys("a", "b", "c"))
        assert (result.completed, result.failed) == (2, 1)
    by_process = {}
    for what, process in noted.lines():
        by_process.setdefault(process, []).append(what)
    assert len(by_process) >= 3  # This one, the worker that died, and at least one after it.
    assert all(calls[0] == "setup" for calls in by_process.values())


def test_a_resource_that_cannot_be_pickled_is_refused_where_it_is_used(noted):
    class Locked(rs.Resource):
        def __init__(self):
            self.lock = threading.Lock()

    @rs.Asset(partitions_def=LETTERS)
    def needs_it(locked):
        pass

    with noted(needs_it, locked=Locked()).resolve(rs.Storage.memory()) as repository:
        assert repository.backfill(["letter"], keys("a")).status == "completed"
        with pytest.raises(ExecutionError, match="needs_it"):
            repository.backfill(["needs_it"], keys("a"))


def test_resources_in_a_rerun(repo, db):
    calls = []

    @rs.Asset(partitions_def=LETTERS)
    def flaky(db):
        calls.append(db.read())
        assert len(calls) > 1

    repository = repo(flaky, resources={"db": db})
    failed = repository.backfill(partition_keys=keys("a"))
    assert failed.failed == 1
    assert repository.rerun_backfill(failed.backfill_id).status == "completed"
    assert calls == ["db://x"] * 2
