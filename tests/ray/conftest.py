"""Fixtures for tests on a Ray cluster."""

import os
import signal

import pytest

import rivers as rs


@pytest.fixture
def on_ray(ray_cluster, repo_on):
    """Makes a repository whose runs are executed on the cluster, and closes it."""

    def make(*assets, storage=None, **options):
        return repo_on(rs.Executor.ray(**options), *assets, storage=storage)

    return make


@pytest.fixture
def stopped():
    """Process ids that a test has stopped, which are killed at its end."""
    ids = []
    yield ids
    for process in ids:
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            continue
