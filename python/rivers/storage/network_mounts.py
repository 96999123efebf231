"""Detects network file systems, where SQLite's locks cannot be relied on."""

from __future__ import annotations

import re
from pathlib import Path

_MOUNTS = Path("/proc/self/mountinfo")
"""The mounted file systems. Only Linux has this file; elsewhere none is detected."""

_NETWORK = frozenset(
    {
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "fuse.ceph",
        "fuse.gcsfuse",
        "fuse.glusterfs",
        "fuse.juicefs",
        "fuse.rclone",
        "fuse.s3fs",
        "fuse.sshfs",
        "gfs2",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "ocfs2",
        "orangefs",
        "smb2",
        "smb3",
        "smbfs",
        "virtiofs",
    }
)


def network_file_system(path: Path, mounts: Path = _MOUNTS) -> str | None:
    """Returns the type of the network file system that a file is on, such as `nfs4`, or `None`.

    Args:
        path: The absolute path of the file, which need not exist.
        mounts: The mounted file systems, in the format of `/proc/self/mountinfo`.
    """
    try:
        lines = mounts.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return None
    types = {}  # A later mount hides an earlier one at its mount point.
    for line in lines:
        before, _, after = line.partition(" - ")
        types[_unescaped(before.split(" ")[4])] = after.split(" ")[0]
    real = path.resolve()
    nearest = next((str(folder) for folder in (real, *real.parents) if str(folder) in types), None)
    kind = types.get(nearest or "")
    return kind if kind in _NETWORK else None


def _unescaped(mount_point: str) -> str:
    """Decodes a mount point, in which spaces and similar characters are octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), mount_point)
