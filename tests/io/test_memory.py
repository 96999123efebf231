"""The handler that keeps values in the memory of its process."""

import pickle
import threading

import pytest
from tests.io.contexts import loading, storing
from tests.support import keys

import rivers as rs
from rivers import exceptions
from rivers.io import (
    InMemoryIOHandler,
)


def test_is_of_one_process():
    handler = InMemoryIOHandler()
    handler.handle_output(storing(), 1)
    assert handler.reach == "process"
    copy = pickle.loads(pickle.dumps(handler))
    with pytest.raises(exceptions.ExecutionError):
        copy.load_input(loading())


def test_value_is_the_same_object():
    handler, value = InMemoryIOHandler(), object()
    handler.handle_output(storing(), value)
    assert handler.load_input(loading()) is value


def test_many_threads():
    handler = InMemoryIOHandler()
    partitions = keys(*map(str, range(400)))

    def store(number):
        for key in partitions[number::4]:
            handler.handle_output(storing(key), key.key[0])

    threads = [threading.Thread(target=store, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert handler.load_input(loading(*partitions)) == {str(n): str(n) for n in range(400)}


def test_values_of_many_runs_are_found_by_their_partitions(repo):
    handler = rs.InMemoryIOHandler()
    letters = rs.PartitionsDefinition.static_([f"k{number}" for number in range(500)])
    factor = [1]

    @rs.Asset(partitions_def=letters, io_handler=handler)
    def number(context: rs.AssetExecutionContext) -> int | None:
        own = int(context.partition_key[1:])
        return own * factor[0] if own % 3 else None

    repository = repo(number)
    whole = rs.PartitionKeyRange.single("k0", "k499")
    repository.backfill(partition_range=whole, max_concurrency=2)
    assert repository.load_node("number", partition_key=rs.PartitionKey.single("k6")) is None
    factor[0] = 10
    repository.backfill(partition_range=rs.PartitionKeyRange.single("k0", "k9"))
    every = rs.PartitionKey.single([f"k{number}" for number in range(500)])
    loaded = repository.load_node("number", partition_key=every)
    assert loaded["k7"] == 70
    assert loaded["k11"] == 11
    assert [key for key, item in loaded.items() if item is None] == [
        f"k{n}" for n in range(0, 500, 3)
    ]


def test_a_value_passed_within_a_run_is_the_same_object(repo):
    letters = rs.PartitionsDefinition.static_(["a", "b", "c"])
    made: list[list[int]] = []
    taken: list[list[int]] = []

    @rs.Asset(partitions_def=letters, io_handler=rs.InMemoryIOHandler())
    def source() -> list[int]:
        made.append([1])
        return made[-1]

    @rs.Asset(partitions_def=letters)
    def sink(context: rs.AssetExecutionContext, source: list[int], *, extra: int = 3) -> None:
        taken.append(source)
        assert extra == 3

    repo(source, sink).backfill(
        selection=["source", "sink"], partition_range=rs.PartitionKeyRange.single("a", "c")
    )
    assert all(one is other for one, other in zip(made, taken, strict=True))
    assert len(taken) == 3
