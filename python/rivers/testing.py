"""Helps users to test their assets: storages, contexts, runs in memory, a pytest fixture.

The fixture is made available by a line in `conftest.py`:

    pytest_plugins = ["rivers.pytest_plugin"]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from rivers.storage.storage import Storage

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from rivers.assets.asset import Asset
    from rivers.execution.context import AssetExecutionContext
    from rivers.partitions import PartitionKey
    from rivers.partitions.key_forms import KeyLike
    from rivers.repository.repository import CodeRepository

__all__ = [
    "embedded_storage",
    "make_context",
    "materialize_to_memory",
    "memory_repository",
    "memory_storage",
]


def memory_storage() -> Storage:
    """Returns a new storage in memory, which shares nothing with any other.

    Example:
        >>> import rivers as rs
        >>> from rivers.testing import memory_storage
        >>> rs.CodeRepository([]).resolve(memory_storage()).backfills().height
        0
    """
    return Storage.memory()


def embedded_storage(path: str | os.PathLike[str]) -> Storage:
    """Returns a storage in one SQLite file.

    Args:
        path: The file, such as `tmp_path / "rivers.db"`; made if it is missing.
    """
    return Storage.embedded(path)


def make_context(
    asset: Asset, partition: KeyLike | None = None, config: Any = None
) -> AssetExecutionContext[Any]:
    """Returns a context to call an asset's function with, in a unit test and without a repository.

    Args:
        asset: The asset.
        partition: Its partition or partitions, for a partitioned asset: a key, a text, a dict or a date.
        config: An instance of the asset's config model.

    Raises:
        PartitionValidationError: The asset does not have the partition.
        TypeError: A partitioned asset needs a partition, another takes none.

    Example:
        >>> import rivers as rs
        >>> from rivers.testing import make_context
        >>> @rs.Asset(partitions_def=rs.PartitionsDefinition.static_(["us", "eu"]))
        ... def greeting(context: rs.AssetExecutionContext) -> str:
        ...     return f"hello {context.partition_key}"
        >>> greeting(make_context(greeting, "us"))
        'hello us'
    """
    from rivers.execution.context import AssetExecutionContext  # noqa: PLC0415
    from rivers.partitions.key_forms import select_key_likes  # noqa: PLC0415
    from rivers.partitions.partition_context import context_of  # noqa: PLC0415

    definition = asset.partitions_def
    if isinstance(definition, str):
        msg = f"the asset {asset.name!r} refers to its partitions by name; give it a definition for this test"
        raise TypeError(msg)
    if (definition is None) != (partition is None):
        what = "is not partitioned" if definition is None else "is partitioned; name a partition"
        raise TypeError(f"the asset {asset.name!r} {what}")
    chosen = None
    if definition is not None and partition is not None:
        selection = select_key_likes(definition.resolve(), [partition])
        chosen = context_of(selection, definition)
    return AssetExecutionContext(asset.name, partition=chosen, config=config)


def materialize_to_memory(
    assets: Sequence[Asset],
    partition: KeyLike | None = None,
    *,
    selection: Sequence[str] | None = None,
    config: Mapping[str, Mapping[str, Any]] | None = None,
    resources: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Executes assets in one run, keeps everything in memory, and returns their values.

    What the assets declare as their handler is not used: nothing is written anywhere.

    Args:
        assets: The assets, with all that they need.
        partition: The partition or partitions: a key, a text, a dict or a date.
        selection: The assets to execute; all by default.
        config: Values of the assets' config models, by asset.
        resources: What functions share, as in `CodeRepository`.

    Returns:
        The value of each asset by name; of several partitions a dict by key.

    Raises:
        ExecutionError: An asset failed; the exception is its cause.

    Example:
        >>> import rivers as rs
        >>> from rivers.testing import materialize_to_memory
        >>> letters = rs.PartitionsDefinition.static_(["a", "b"])
        >>> @rs.Asset(partitions_def=letters)
        ... def word(context: rs.AssetExecutionContext) -> str:
        ...     return context.partition_key * 2
        >>> @rs.Asset(partitions_def=letters)
        ... def length(word: str) -> int:
        ...     return len(word)
        >>> materialize_to_memory([word, length], "a")
        {'word': 'aa', 'length': 2}
    """
    with memory_repository(assets, resources=resources) as repository:
        result = repository.materialize(selection, _key(partition), config=config)
        values = {}
        for name in result.materialized_assets:
            is_partitioned = repository.assets[name].partitions_def is not None
            values[name] = repository.load_node(name, _key(partition) if is_partitioned else None)
    return values


def memory_repository(
    assets: Sequence[Asset], *, resources: Mapping[str, Any] | None = None, **options: Any
) -> CodeRepository:
    """Returns a repository of which everything is in memory: its records and all values.

    What the assets declare as their handler is not used, but for external assets, which are loaded.

    Args:
        assets: The assets.
        resources: What functions share, as in `CodeRepository`.
        options: Other arguments of `CodeRepository`.

    Example:
        >>> import rivers as rs
        >>> from rivers.testing import memory_repository
        >>> @rs.Asset(io_handler=rs.PickleIOHandler("/data"))
        ... def answer() -> int:
        ...     return 42
        >>> with memory_repository([answer]) as repo:
        ...     _ = repo.materialize()
        ...     repo.load_node("answer")
        42
    """
    from rivers.repository.internals import keep_in_memory  # noqa: PLC0415
    from rivers.repository.repository import CodeRepository  # noqa: PLC0415

    repository = CodeRepository(assets, resources=resources, **options)
    keep_in_memory(repository)
    return repository.resolve(memory_storage())


def _key(partition: KeyLike | None) -> PartitionKey | None:
    """A key in any form; the methods take them all, which their documented types do not say."""
    return cast("PartitionKey | None", partition)
