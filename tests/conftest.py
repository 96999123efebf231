"""Fixtures that all tests share."""

import datetime as dt
import uuid

import pytest
from tests.about_files import reason_of
from tests.cli.shell import Shell
from tests.postgres_server import VARIABLE, in_a_server, running_server
from tests.ray_cluster import TestCluster

import rivers as rs

NOW = dt.datetime(2024, 1, 10, 12, 30)


@pytest.fixture(scope="session", autouse=True)
def _storage_kind():
    """With `RIVERS_TEST_STORAGE=postgres`, each storage in memory is a schema of a server instead."""
    if not in_a_server():
        yield
        return
    memory = rs.Storage.memory
    with running_server() as url:
        made = staticmethod(lambda: rs.Storage.postgres(f"{url}?schema=t_{uuid.uuid4().hex}"))
        rs.Storage.memory = made
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(VARIABLE, url)  # All tests share the server.
            yield
        rs.Storage.memory = memory


@pytest.fixture
def now():
    """The current time of the repositories that `repo` makes."""
    return NOW


@pytest.fixture
def repo():
    """Makes a repository of assets, or of definitions, with a storage in memory; closes it at the end.

    For a definition, an asset is made that does nothing; these are named `a`, `b`, and so on.
    """
    made = []

    def make(*assets, storage=None, **options):
        declared = [
            _idle(chr(ord("a") + place), asset)
            if isinstance(asset, rs.PartitionsDefinition)
            else asset
            for place, asset in enumerate(assets)
        ]
        options.setdefault("clock", lambda: NOW)
        repository = rs.CodeRepository(declared, **options)
        made.append(repository)
        return repository.resolve(storage or rs.Storage.memory())

    yield make
    for repository in made:
        repository.close()


@pytest.fixture
def recording():
    """Makes an asset and the list of its calls; each call is a list of the partitions' texts."""

    def make(definition, name="recorded", **options):
        calls = []

        def record(context):
            calls.append([str(key) for key in context.partition.keys])

        return rs.Asset(record, name=name, partitions_def=definition, **options), calls

    return make


def _idle(name, definition):
    return rs.Asset(lambda: None, name=name, partitions_def=definition)


@pytest.fixture
def shell(tmp_path):
    """Runs `rivers` in separate processes, and ends those that still run."""
    made = Shell(tmp_path)
    yield made
    made.close()


@pytest.fixture
def repo_on():
    """Makes a repository whose runs an executor executes, with a storage in memory; closes it."""
    made = []

    def make(executor, *assets, storage=None, **options):
        made.append(rs.CodeRepository(list(assets), default_executor=executor, **options))
        return made[-1].resolve(storage or rs.Storage.memory())

    yield make
    for repository in made:
        repository.close()


@pytest.fixture
def notes(tmp_path):
    """Returns a file that several processes append lines to."""

    class Notes:
        path = tmp_path / "notes"

        def add(self, *texts):
            with self.path.open("a") as file:
                file.write(" ".join(map(str, texts)) + "\n")

        def lines(self):
            text = self.path.read_text() if self.path.exists() else ""
            return [line.split() for line in text.splitlines()]

    return Notes()


@pytest.fixture(scope="session")
def ray_cluster():
    """A Ray cluster of three nodes with two processors each, which this process is connected to."""
    cluster = TestCluster(num_nodes=3, num_cpus=2)
    yield cluster
    cluster.close()


def pytest_collection_modifyitems(items):
    """Moves the tests on a Ray cluster to the end: Ray changes the process that starts it.

    Where two processes execute tests, those of a module stay together, and those that share a cluster or a browser.
    """
    items.sort(key=_needs_ray)
    for item in items:
        group = "ray" if _needs_ray(item) else str(item.path)
        item.add_marker(pytest.mark.xdist_group("ui" if "/ui/" in group else group))
        if in_a_server() and (reason := reason_of(item.nodeid)):
            item.add_marker(pytest.mark.skip(reason=reason))


def _needs_ray(item):
    if "ray_cluster" in getattr(item, "fixturenames", ()):
        return True
    callspec = getattr(item, "callspec", None)
    return callspec is not None and "ray" in callspec.id.split("-")
