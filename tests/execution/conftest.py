"""Fixtures for tests of worker processes."""

import pytest

import rivers as rs


@pytest.fixture
def parallel():
    """Makes a repository with two worker processes, and closes it."""
    made = []

    def make(*assets, workers=2):
        executor = rs.Executor.parallel(workers)
        made.append(
            rs.CodeRepository(list(assets), default_executor=executor).resolve(rs.Storage.memory())
        )
        return made[-1]

    yield make
    for repo in made:
        repo.close()


@pytest.fixture
def notes(tmp_path):
    """Returns a file that several processes append lines to."""

    class Notes:
        path = tmp_path / "notes"

        def add(self, *texts):
            with self.path.open("a") as file:
                file.write(" ".join(map(str, texts)) + "\n")

        def lines(self):
            return [line.split() for line in self.path.read_text().splitlines()]

    return Notes()
