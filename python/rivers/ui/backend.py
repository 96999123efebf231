"""What requests are answered from: a client and, where the assets are known, a repository."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rivers.exceptions import ConfigurationError

if TYPE_CHECKING:
    from rivers.client import BackfillClient
    from rivers.repository.repository import CodeRepository


@dataclass(frozen=True)
class Backend:
    """The data behind the page.

    Attributes:
        client: Reads and controls the backfills of the storage.
        repository: The assets, if the server knows them; they are needed to launch, rerun and resume.
        module: What the user named, `MODULE` or `MODULE:NAME`, for commands that are copied.
        read_only: Whether nothing can be changed.
    """

    client: BackfillClient
    repository: CodeRepository | None = None
    module: str | None = None
    read_only: bool = False

    @property
    def controls(self) -> BackfillClient | CodeRepository:
        """What changes backfills: the repository, whose own backfills change at once, or the client."""
        return self.client if self.repository is None else self.repository

    def assets(self) -> CodeRepository:
        """Returns the repository.

        Raises:
            ConfigurationError: The server was started without a module.
        """
        if self.repository is None:
            msg = "the server knows no assets; start it as: rivers ui MODULE"
            raise ConfigurationError(msg)
        return self.repository
