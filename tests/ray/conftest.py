"""Fixtures for tests on a Ray cluster."""

import os
import signal

import pytest

import rivers as rs


@pytest.fixture
def on_ray(ray_cluster):
    """Makes a repository whose runs are executed on the cluster, and closes it."""
    made = []

    def make(*assets, **options):
        executor = rs.Executor.ray(**options)
        repository = rs.CodeRepository(list(assets), default_executor=executor)
        made.append(repository)
        return repository.resolve(rs.Storage.memory())

    yield make
    for repository in made:
        repository.close()


@pytest.fixture
def notes(tmp_path):
    """Returns a file that workers append lines to."""

    class Notes:
        path = tmp_path / "notes"

        def add(self, *texts):
            with self.path.open("a") as file:
                file.write(" ".join(map(str, texts)) + "\n")

        def lines(self):
            text = self.path.read_text() if self.path.exists() else ""
            return [line.split() for line in text.splitlines()]

    return Notes()


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
