"""Whether a file lies on a network file system, where SQLite's locks cannot be relied on."""

from __future__ import annotations

import re
from pathlib import Path

_MOUNTS = Path("/proc/self/mountinfo")
"""What is mounted where, as Linux tells it; elsewhere there is no such file, and nothing is said."""

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
    """The type of the network file system that a file lies on, such as `nfs4`; `None` if on none.

    Args:
        path: The file, absolute; it need not exist.
        mounts: What is mounted where, in the format of `/proc/self/mountinfo`.
    """
    try:
        lines = mounts.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return None
    types = {}  # What was mounted last on a place hides what was there before.
    for line in lines:
        before, _, after = line.partition(" - ")
        types[_unescaped(before.split(" ")[4])] = after.split(" ")[0]
    real = path.resolve()
    nearest = next((str(place) for place in (real, *real.parents) if str(place) in types), None)
    kind = types.get(nearest or "")
    return kind if kind in _NETWORK else None


def _unescaped(place: str) -> str:
    """A mount point as it is: spaces and their like are written as octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), place)
