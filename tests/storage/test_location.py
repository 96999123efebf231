"""A location is a path or `memory`, and nothing else becomes a folder."""

from pathlib import Path

import pytest

import rivers as rs
from rivers.exceptions import ConfigurationError
from rivers.storage.location import DEFAULT_PATH, StorageLocation


@pytest.mark.parametrize(
    "text",
    [
        "runs.db",
        "./memory",
        "a/b.db",
        "C:\\data\\runs.db",
        "C:/data/runs.db",
        "c://x",
        "a:b",
        "x:/y",
    ],
)
def test_a_path_is_a_path(text):
    location = StorageLocation.parse(text)
    assert (location.kind, location.path) == ("file", Path(text))
    assert location.display == str(Path(text))


def test_memory_is_no_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    location = StorageLocation.parse("memory", relative_to="elsewhere")
    assert (location.kind, location.path, location.display) == ("memory", None, "memory")
    assert location.log_folder == tmp_path / ".rivers" / "logs"
    assert StorageLocation.file("memory").path == Path("memory")


def test_a_relative_path_starts_from_the_folder_given(tmp_path):
    location = StorageLocation.parse("runs.db", relative_to=tmp_path)
    assert location.path == tmp_path / "runs.db"
    assert location.log_folder == tmp_path / "logs"
    absolute = tmp_path / "absolute.db"
    assert StorageLocation.parse(absolute, relative_to="elsewhere").path == absolute


@pytest.mark.parametrize(
    "text",
    [
        "mysql://user:secret@host/db",
        "http://host",
        "https://host:80",
        "sqlite:///x.db",
        "memory://",
    ],
)
@pytest.mark.parametrize(
    "opened", [StorageLocation.parse, rs.Storage.open, rs.Storage.embedded, "environment"]
)
def test_a_url_of_an_unknown_kind_is_refused_and_makes_no_folder(
    text, opened, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    if opened == "environment":
        monkeypatch.setenv("RIVERS_STORAGE", text)
    with pytest.raises(ConfigurationError) as refused:
        rs.Storage.default() if opened == "environment" else opened(text)
    message = str(refused.value)
    assert text.partition(":")[0] in message
    assert "'memory'" in message
    assert "secret" not in message
    assert list(tmp_path.iterdir()) == []


def test_an_empty_text_is_refused():
    with pytest.raises(ConfigurationError, match="empty"):
        StorageLocation.parse("")


def test_a_storage_is_opened_by_its_location(tmp_path):
    assert rs.Storage.open("memory").path == "memory"
    storage = rs.Storage.open(tmp_path / "runs.db")
    assert storage.path == str(tmp_path / "runs.db")
    assert rs.Storage.open(StorageLocation.file(tmp_path / "runs.db")).path == storage.path
    assert Path(".rivers") / "rivers.db" == DEFAULT_PATH
