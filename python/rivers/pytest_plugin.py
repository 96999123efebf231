"""A pytest fixture that makes repositories in memory: `pytest_plugins = ["rivers.pytest_plugin"]`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from rivers.testing import memory_repository

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rivers.assets.asset import Asset
    from rivers.repository.repository import CodeRepository


@pytest.fixture
def rivers_repository() -> Iterator[Callable[..., CodeRepository]]:
    """Makes repositories of assets, whose records and values are in memory; closes them after the test.

    It is called with the assets, and with arguments of `CodeRepository` by name.
    """
    made: list[CodeRepository] = []

    def make(*assets: Asset, **options: Any) -> CodeRepository:
        made.append(memory_repository(list(assets), **options))
        return made[-1]

    yield make
    for repository in made:
        repository.close()
