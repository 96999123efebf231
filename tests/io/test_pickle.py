"""The handler that keeps values as pickles in a folder."""

import pickle
import threading

import pytest
from tests.io.contexts import loading, storing
from tests.support import keys

from rivers.io import (
    PickleIOHandler,
)


def test_making_one_writes_nothing(tmp_path):
    assert PickleIOHandler(tmp_path / "store").reach == "machine"
    assert not list(tmp_path.iterdir())


def test_survives_pickling_and_a_change_of_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    handler = PickleIOHandler("store")
    handler.handle_output(storing(), 1)
    monkeypatch.chdir("/")
    assert pickle.loads(pickle.dumps(handler)).load_input(loading()) == 1


def test_group_is_stored_once(tmp_path):
    partitions = keys(*map(str, range(50)))
    PickleIOHandler(tmp_path).handle_output(storing(*partitions), "x")
    assert len({path.stat().st_ino for path in tmp_path.rglob("*.pickle")}) == 1


def test_group_where_there_are_no_links(tmp_path, monkeypatch):
    monkeypatch.setattr("rivers.io.folder._link", lambda _source, _target: False)
    a, b = keys("a", "b")
    handler = PickleIOHandler(tmp_path)
    handler.handle_output(storing(a, b), [1])
    assert handler.load_input(loading(a, b)) == [1]


def test_what_cannot_be_pickled_leaves_the_old_value(tmp_path):
    handler = PickleIOHandler(tmp_path)
    handler.handle_output(storing(), 1)
    with pytest.raises(Exception, match=r"(?i)pickle"):
        handler.handle_output(storing(), threading.Lock())
    assert handler.load_input(loading()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.pickle"]
