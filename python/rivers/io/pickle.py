"""Any Python value, in a file per partition."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

from rivers.io.base import (
    BaseIOHandler,
    InputContext,
    OutputContext,
    group,
    nothing_stored,
    ungroup,
    wanted_keys,
)
from rivers.io.files import files_at

if TYPE_CHECKING:
    import os
    from collections.abc import Hashable, Mapping
    from pathlib import PurePath

    from obstore.store import ObjectStore

    from rivers._rivers import PartitionKey

_SUFFIX = ".pickle"


class PickleIOHandler(BaseIOHandler):
    """Keeps any value that can be pickled, in a file or an object per partition.

    Unpickling a file can run any code that its writer chose. Only files in the handler's own
    place are read: let nobody write there whom you do not trust.

    A file is replaced in one step, so that a reader sees the old value or the new one. `None` is
    not kept: what was stored before stays. A run's one value stands for all of its partitions
    (their files are then hard links to one, where the file system has them); a dict that has the
    run's partitions as its keys is kept partition by partition.

    Args:
        base_dir: The folder to keep the files in; made when the first value is stored. Or an object
            store (needs `pip install 'rivers[obstore]'`): the URL of one, with the prefix of all
            names (`s3://bucket/prefix`, `gs://`, `az://`, `memory://`), or an `obstore` store.
            One in memory is of this process alone.
        storage_options: The configuration of the URL's store, such as `{"region": "eu-west-1"}`;
            what it lacks comes from the environment, as `obstore` describes.

    Raises:
        ConfigurationError: If `obstore` is missing, or the store cannot be opened as told.

    Example:
        >>> import tempfile
        >>> from rivers.io import InputContext, OutputContext, PickleIOHandler
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     handler = PickleIOHandler(folder)
        ...     handler.handle_output(OutputContext("report", [], "r1"), {"rows": 3})
        ...     handler.load_input(InputContext("report", []))
        {'rows': 3}
    """

    def __init__(
        self,
        base_dir: str | os.PathLike[str] | ObjectStore,
        *,
        storage_options: Mapping[str, Any] | None = None,
    ) -> None:
        self._files = files_at(base_dir, storage_options)
        self.reach = self._files.reach

    def __repr__(self) -> str:
        return f"PickleIOHandler({str(self._files)!r})"

    def handle_output(self, context: OutputContext, value: object) -> None:
        """Keep a value; see `BaseIOHandler.handle_output`.

        Raises:
            PartitionValidationError: If a dict's keys are not just the run's partitions.
        """
        for partitions, item in group(context, value):
            data = pickle.dumps(item, protocol=pickle.HIGHEST_PROTOCOL)
            paths = [self._path(context.asset, partition) for partition in partitions]
            self._files.write_all(paths, data)

    def load_input(self, context: InputContext) -> object:
        """Return the value of one partition, or a dict of several; see `BaseIOHandler.load_input`.

        Raises:
            ExecutionError: If nothing is stored for one of the partitions.
        """
        wanted = wanted_keys(context)
        stored: list[object] = []
        lacking: list[PartitionKey | None] = []
        seen: dict[Hashable, object] = {}  # Linked files hold one value: read it once.
        for partition in wanted:
            path = self._path(context.asset, partition)
            try:
                file = self._files.open(path)
            except FileNotFoundError:
                lacking.append(partition)
                continue
            with file:
                identity = self._files.identity(path, file)
                if identity not in seen:
                    seen[identity] = pickle.load(file)
            stored.append(seen[identity])
        if lacking:
            raise nothing_stored(context, lacking, f"in {self._files}; None is not kept")
        return ungroup(context, stored)

    def _path(self, asset: str, partition: PartitionKey | None) -> PurePath:
        return self._files.path(asset, partition, _SUFFIX)
