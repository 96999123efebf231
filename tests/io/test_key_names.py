"""Names of files: no two keys share one on any system, and none is reserved anywhere."""

import itertools

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from obstore.store import MemoryStore
from tests.io.contexts import loading, multi, storing
from tests.support import keys

import rivers as rs
from rivers.io.paths import folder_name as name_of_folder
from rivers.io.paths import former_folder_name, partition_path

DEVICES = [
    "con",
    "CON",
    "Con",
    "prn",
    "aux",
    "nul",
    "NUL.2024",
    "nul.2024",
    "com1",
    "LPT9",
    "lpt0.a.b",
]
UNUSUAL = [
    "US", "us", "Us", "uS", "2024-Q1", "2024-q1", "2024-W05", "2024-w05", "2024-01-01T05:00", "2024-01-01t05:00",
    "x.", "x", "x ", " x", ".x", "..", ".", "~", "%", "%25", "+", "US+3", "__HIVE_DEFAULT_PARTITION__",
    "__hive_default_partition__", "é", "É", "e\u0301", "ß", "ss", "\u017f", "s", "K", "\u212a", "k",  # the sign of Kelvin
    "n" * 255, "N" * 255, "n" * 256, "ü" * 300, "con." + "n" * 300, "a/b", "a\\b", "a:b", "null", "None", "0", "00",
]  # fmt: skip
KEYS = [*DEVICES, *UNUSUAL]
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="|,"), min_size=1, max_size=40)
CASES = st.text(st.sampled_from("aAbB2TtQq-.%"), min_size=1, max_size=8)
RESERVED = {"con", "prn", "aux", "nul", *(f"{of}{n}" for of in ("com", "lpt") for n in range(10))}


def file_of(tmp_path, key):
    return partition_path(tmp_path, "a", key, ".p").relative_to(tmp_path)


def check_names(path):
    for part in path.parts:
        assert part.isascii()
        assert part.isprintable()
        assert len(part) <= 255
        assert part[-1] not in ". "
        assert part.split(".")[0].lower() not in RESERVED
        assert not set(part) & set('<>:"/\\|?*')


def test_no_two_unusual_keys_share_a_file_where_case_is_ignored(tmp_path):
    single = [file_of(tmp_path, key) for key in keys(*KEYS)]
    several = [file_of(tmp_path, key) for key in multi(*itertools.product(KEYS[:12], repeat=2))]
    for paths in (single, several):
        assert len({str(path).lower() for path in paths}) == len(paths)
        for path in paths:
            check_names(path)


@given(st.lists(st.one_of(TEXT, CASES), min_size=2, max_size=6, unique=True))
def test_no_two_keys_share_a_file_where_case_is_ignored(tmp_path_factory, texts):
    base = tmp_path_factory.getbasetemp()
    paths = [file_of(base, key) for key in keys(*texts)]
    assert len({str(path).lower() for path in paths}) == len(paths)
    for path in paths:
        check_names(path)


@given(st.lists(st.one_of(TEXT, CASES), min_size=2, max_size=6, unique=True))
def test_no_two_assets_share_a_folder_where_case_is_ignored(names):
    assert len({name_of_folder(name).lower() for name in names}) == len(names)


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("us", "us.p"),
        ("2024-01-01", "2024-01-01.p"),
        ("2024-01-01T05:00", "2024-01-01T05%3A00.p"),
        ("2024-Q1", "2024-Q1.p"),
        ("2024-W05", "2024-W05.p"),
        ("20240101T05", "20240101T05.p"),
        ("US", "US+3.p"),
        ("con", "%63on.p"),
    ],
)
def test_usual_keys_are_their_own_names(tmp_path, key, name):
    assert file_of(tmp_path, keys(key)[0]).name == name


def handlers(place):
    return [
        rs.InMemoryIOHandler(),
        rs.PickleIOHandler(place / "pickle"),
        rs.PickleIOHandler(store=MemoryStore()),
        rs.ParquetIOHandler(place / "parquet", partition_by="k"),
        rs.DeltaIOHandler(place / "delta", partition_by="k"),
    ]


@pytest.mark.parametrize("at", range(5))
def test_every_handler_keeps_each_unusual_key_apart(tmp_path, at):
    handler = handlers(tmp_path)[at]
    texts = [key for key in KEYS if len(key) < 250 or at != 4]
    everything = pl.DataFrame({"k": texts, "x": range(len(texts))})
    by_key = {key: everything.filter(k=key.key[0]) for key in keys(*texts)}
    handler.handle_output(storing(*by_key), by_key)
    for number, key in enumerate(by_key):
        assert handler.load_input(loading(key))["x"].to_list() == [number]
    loaded = handler.load_input(loading(*by_key, type_hint=pl.DataFrame))
    assert loaded["k"].to_list() == texts


def test_delta_replaces_and_removes_the_key_that_hive_reserves(tmp_path):
    handler = rs.DeltaIOHandler(tmp_path, partition_by="k")
    reserved, other = keys("__HIVE_DEFAULT_PARTITION__", "b")
    frame = pl.DataFrame({"k": [reserved.key[0], "b"], "x": [1, 2]})
    handler.handle_output(storing(reserved, other), frame)
    handler.handle_output(storing(reserved), frame[:1].with_columns(x=pl.lit(7)))
    assert handler.load_input(loading(reserved)).rows() == [(reserved.key[0], 7)]
    # Rows that are written again for a wider type keep their key.
    handler.handle_output(storing(other), frame[1:].with_columns(x=pl.lit(2.5)))
    assert sorted(handler.load_input(loading(reserved, other))["x"]) == [2.5, 7.0]
    assert handler.load_input(loading(reserved)).rows() == [(reserved.key[0], 7.0)]
    handler.handle_output(storing(reserved), None)
    assert handler.load_input(loading(reserved)) is None
    assert handler.load_input(loading(other)).height == 1


def old_names(monkeypatch):
    """Has handlers write under the names of earlier versions."""
    from rivers.io import paths

    monkeypatch.setattr(paths, "_name", paths._former_name)
    monkeypatch.setattr("rivers.io.delta_tables.folder_name", former_folder_name)


@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_what_earlier_versions_wrote_is_found(tmp_path, at, monkeypatch):
    handler = handlers(tmp_path)[at]
    frame = pl.DataFrame({"k": ["US"], "x": [1]})
    with monkeypatch.context() as patch:
        old_names(patch)
        for asset in ("Sales", "con"):
            handler.handle_output(storing(*keys("US"), asset=asset), frame)
        handler.handle_output(storing(asset="Whole"), frame)
    for asset in ("Sales", "con"):
        assert handler.load_input(loading(*keys("US"), asset=asset)).equals(frame)
    assert handler.load_input(loading(asset="Whole")).equals(frame)
    new = frame.with_columns(x=pl.lit(2, pl.Int64))
    for value in (new, None, new):
        handler.handle_output(storing(*keys("US"), asset="Sales"), value)
        loaded = handler.load_input(loading(*keys("US"), asset="Sales"))
        assert loaded is None if value is None else loaded.equals(new)
