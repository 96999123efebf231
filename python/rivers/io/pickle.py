"""Any Python value, in a file per partition."""

from __future__ import annotations

import os
import pickle
from typing import TYPE_CHECKING

from rivers.io.base import (
    BaseIOHandler,
    InputContext,
    OutputContext,
    group,
    nothing_stored,
    ungroup,
    wanted_keys,
)
from rivers.io.paths import base_folder, partition_path, replacing

if TYPE_CHECKING:
    from pathlib import Path

    from rivers._rivers import PartitionKey

_SUFFIX = ".pickle"


class PickleIOHandler(BaseIOHandler):
    """Keeps any value that can be pickled, in a file per partition.

    Unpickling a file can run any code that its writer chose. Only files in the handler's own
    folder are read: let nobody write there whom you do not trust.

    A file is replaced in one step, so that a reader sees the old value or the new one. `None` is
    not kept: what was stored before stays. A run's one value stands for all of its partitions
    (their files are then hard links to one, where the file system has them); a dict that has the
    run's partitions as its keys is kept partition by partition.

    Args:
        base_dir: The folder to keep the files in; made when the first value is stored.

    Example:
        >>> import tempfile
        >>> from rivers.io import InputContext, OutputContext, PickleIOHandler
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     handler = PickleIOHandler(folder)
        ...     handler.handle_output(OutputContext("report", [], "r1"), {"rows": 3})
        ...     handler.load_input(InputContext("report", []))
        {'rows': 3}
    """

    def __init__(self, base_dir: str | os.PathLike[str]) -> None:
        self.base_dir = base_folder(base_dir)

    def __repr__(self) -> str:
        return f"PickleIOHandler({str(self.base_dir)!r})"

    def handle_output(self, context: OutputContext, value: object) -> None:
        """Keep a value; see `BaseIOHandler.handle_output`.

        Raises:
            PartitionValidationError: If a dict's keys are not just the run's partitions.
        """
        for partitions, item in group(context, value):
            data = pickle.dumps(item, protocol=pickle.HIGHEST_PROTOCOL)
            first, *rest = [self._path(context.asset, partition) for partition in partitions]
            # Until it takes its place, the first file is ours alone: nobody can put another value
            # where the links point to.
            with replacing(first) as original:
                original.write_bytes(data)
                for path in rest:
                    with replacing(path) as temporary:
                        if not _link(original, temporary):
                            temporary.write_bytes(data)

    def load_input(self, context: InputContext) -> object:
        """Return the value of one partition, or a dict of several; see `BaseIOHandler.load_input`.

        Raises:
            ExecutionError: If nothing is stored for one of the partitions.
        """
        wanted = wanted_keys(context)
        stored: list[object] = []
        lacking: list[PartitionKey | None] = []
        seen: dict[tuple[int, int], object] = {}  # Linked files hold one value: read it once.
        for partition in wanted:
            try:
                file = self._path(context.asset, partition).open("rb")
            except FileNotFoundError:
                lacking.append(partition)
                continue
            with file:
                status = os.fstat(file.fileno())
                identity = (status.st_dev, status.st_ino)
                if identity not in seen:
                    seen[identity] = pickle.load(file)
            stored.append(seen[identity])
        if lacking:
            raise nothing_stored(context, lacking, f"in {self.base_dir}; None is not kept")
        return ungroup(context, stored)

    def _path(self, asset: str, partition: PartitionKey | None) -> Path:
        return partition_path(self.base_dir, asset, partition, _SUFFIX)


def _link(source: Path, target: Path) -> bool:
    """Make `target` a hard link to `source`; False if there can be none (or no more) here."""
    try:
        target.hardlink_to(source)
    except (OSError, NotImplementedError):
        return False
    return True
