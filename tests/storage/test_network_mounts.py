"""Network file systems are recognised and warned about."""

import logging
from pathlib import Path

import pytest

import rivers as rs
from rivers.storage import network_mounts as mounts

TABLE = """\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 253:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
40 27 0:50 / /data rw,relatime - nfs4 server:/data rw
41 40 253:1 / /data/local rw,relatime master:2 - xfs /dev/vdb rw
42 27 0:51 / /with\\040space rw - fuse.sshfs host: rw
43 27 0:52 / /covered rw - nfs server:/x rw
44 43 253:2 / /covered rw - ext4 /dev/vdc rw
"""


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "mountinfo"
    path.write_text(TABLE)
    return path


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/rivers.db", None),
        ("/data/rivers.db", "nfs4"),
        ("/data/deep/er/rivers.db", "nfs4"),
        ("/database/rivers.db", None),
        ("/data/local/rivers.db", None),
        ("/with space/rivers.db", "fuse.sshfs"),
        ("/covered/rivers.db", None),
    ],
)
def test_the_nearest_mount_decides(table, path, kind):
    assert mounts.network_file_system(Path(path), table) == kind


def test_without_a_table_of_mounts_nothing_is_said(tmp_path):
    assert mounts.network_file_system(tmp_path, tmp_path / "missing") is None


def test_the_present_machine_is_asked(tmp_path, caplog, monkeypatch):
    rs.Storage.embedded(tmp_path / "rivers.db")
    assert not caplog.records
    # From now on the file system of this directory counts as a network file system.
    own = mounts.network_file_system.__globals__
    kinds = {
        line.partition(" - ")[2].split(" ")[0] for line in mounts._MOUNTS.read_text().splitlines()
    }
    monkeypatch.setitem(own, "_NETWORK", kinds)
    with caplog.at_level(logging.WARNING, "rivers"):
        rs.Storage.embedded(tmp_path / "rivers.db")
    (record,) = caplog.records
    assert str(tmp_path / "rivers.db") in record.message
    assert "network file system" in record.message
