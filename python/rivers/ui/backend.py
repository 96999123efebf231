"""What requests are answered from: a client and, where the assets are known, a repository."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rivers.exceptions import ConfigurationError

if TYPE_CHECKING:
    from rivers.client import BackfillClient
    from rivers.repository.repository import CodeRepository
    from rivers.status.grid import Grid


_MAX_KNOWN = 8
"""Number of backfills whose activity is kept."""


@dataclass
class Backend:
    """The data behind the page.

    Attributes:
        client: Reads and controls the backfills of the storage.
        repository: The assets, if the server knows them; they are needed to launch, rerun and resume.
        module: What the user named, `MODULE` or `MODULE:NAME`, for commands that are copied.
        read_only: Whether nothing can be changed.
        known_activity: The activity of the backfills that were looked at last, with how they stood.
        known_grid: The asset whose map was asked for last, when its states were read, and its grid.
    """

    client: BackfillClient
    repository: CodeRepository | None = None
    module: str | None = None
    read_only: bool = False
    known_grid: tuple[str, float, Grid] | None = None
    known_activity: dict[str, tuple[Any, dict[str, Any]]] = field(default_factory=dict)

    @property
    def controls(self) -> BackfillClient | CodeRepository:
        """What changes backfills: the repository, whose own backfills change at once, or the client."""
        return self.client if self.repository is None else self.repository

    def remember_activity(self, backfill_id: str, activity: tuple[Any, dict[str, Any]]) -> None:
        """Keeps the activity of a backfill, and of few others."""
        known = {**self.known_activity, backfill_id: activity}
        self.known_activity = dict(list(known.items())[-_MAX_KNOWN:])

    def assets(self) -> CodeRepository:
        """Returns the repository.

        Raises:
            ConfigurationError: The server was started without a module.
        """
        if self.repository is None:
            msg = "the server knows no assets; start it as: rivers ui MODULE"
            raise ConfigurationError(msg)
        return self.repository
