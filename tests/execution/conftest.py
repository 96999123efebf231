"""Fixtures for tests of executors."""

import pytest

import rivers as rs
from rivers.execution.direct import OFF

CALLED_BOTH_WAYS = {
    "test_context",
    "test_failures",
    "test_generators",
    "test_hooks",
    "test_input_forms",
    "test_mark_failed",
    "test_materialize",
    "test_output_metadata",
    "test_outputs",
    "test_pending_values",
    "test_retry",
    "test_running",
    "test_skips",
}
"""Modules that say what executing a run means: each test is executed with functions called by Rust and by
Python."""


def pytest_generate_tests(metafunc):
    if metafunc.module.__name__.rpartition(".")[2] in CALLED_BOTH_WAYS:
        metafunc.fixturenames.append("called_by")
        metafunc.parametrize("called_by", ["rust", "python"], indirect=True)


@pytest.fixture
def called_by(request, monkeypatch):
    """Which language calls the functions of assets."""
    if request.param == "python":
        monkeypatch.setenv(OFF, "1")
    else:
        monkeypatch.delenv(OFF, raising=False)
    return request.param


@pytest.fixture
def parallel(repo_on):
    """Makes a repository with two worker processes, and closes it."""
    return lambda *assets, workers=2: repo_on(rs.Executor.parallel(workers), *assets)


@pytest.fixture(params=["threads", "processes", "ray"])
def on_each_executor(request, repo_on):
    """Makes a repository whose runs are executed in threads, in two processes, or on a Ray cluster."""
    if request.param == "ray":
        request.getfixturevalue("ray_cluster")
    make_executor = {
        "threads": rs.Executor.in_process,
        "processes": lambda: rs.Executor.parallel(2),
        "ray": rs.Executor.ray,
    }
    return lambda *assets, **options: repo_on(make_executor[request.param](), *assets, **options)
