"""The files of partitions: where they are, and how one is replaced."""

from pathlib import PurePath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import keys

from rivers.io.folder import Folder
from rivers.io.paths import MAX_NAME_BYTES, partition_path

NASTY = ("..", ".", "", "../../x", "/etc", "a\\b", "a\0b", ".hidden", "x.", "C:x", "%2E", "a b",
         '*?"<>|', "é", "ü" * 300, "n" * 201, "n" * 202, "\udc80", "~", "+", "%")  # fmt: skip


def test_nasty_names_stay_below_the_folder_and_apart(tmp_path):
    paths = [partition_path(tmp_path, name, None, ".p") for name in NASTY]
    assert len(set(paths)) == len(paths)
    for path in paths:
        assert path.parent == tmp_path
        assert len(path.name) <= MAX_NAME_BYTES + 2
        assert path.name.isascii()
        with Folder(tmp_path, PurePath()).batch() as replacing, replacing(path) as temporary:
            temporary.write_bytes(b"x")
        assert path.read_bytes() == b"x"


@given(
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="|,"), min_size=1),
        min_size=2,
        max_size=2,
        unique=True,
    )
)
def test_any_two_keys_have_two_files(tmp_path_factory, partitions):
    base = tmp_path_factory.getbasetemp()
    first, second = (partition_path(base, "a", key, ".p") for key in keys(*partitions))
    assert first != second
    assert first.parent == second.parent == base / "a"


def test_asset_is_not_mistaken_for_another_ones_file(tmp_path):
    (key,) = keys("k")
    inside = partition_path(tmp_path, "a.parquet", key, ".parquet")
    assert partition_path(tmp_path, "a", None, ".parquet") not in inside.parents


def test_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"old")

    def write_half():
        with Folder(tmp_path, PurePath()).batch() as replacing, replacing(path) as temporary:
            temporary.write_bytes(b"ha")
            raise OSError

    with pytest.raises(OSError):  # noqa: PT011 (it is the one raised above)
        write_half()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
