"""The handler that keeps values in the memory of its process."""

import pickle
import threading

import pytest
from tests.io.contexts import loading, storing
from tests.support import keys

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
