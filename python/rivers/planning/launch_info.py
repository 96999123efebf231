"""`LaunchInfo`: what is stored with a backfill for whoever continues it or learns of its end."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class LaunchInfo:
    """How a backfill was launched; the core stores it and does not read it.

    Attributes:
        module: The module or file from which the command line loaded the repository.
        folder: The working directory at that time.
        notify: URLs and commands that are notified of the end.
        traceparent: The span of the backfill as W3C Trace Context has it, if its runs are traced.
    """

    module: str | None = None
    folder: str | None = None
    notify: tuple[str, ...] = ()
    traceparent: str | None = None

    def to_json(self) -> str | None:
        """The stored form; `None` if there is nothing to store."""
        known = {name: value for name, value in asdict(self).items() if value}
        return json.dumps(known) if known else None

    @staticmethod
    def from_json(text: str | None) -> LaunchInfo:
        """Reads what `to_json()` wrote; fields that later versions may add are left out."""
        known: dict[str, Any] = {} if text is None else json.loads(text)
        return LaunchInfo(
            known.get("module"),
            known.get("folder"),
            tuple(known.get("notify") or ()),
            known.get("traceparent"),
        )

    def updated(self, newer: LaunchInfo) -> LaunchInfo:
        """These values, replaced by those that `newer` has."""
        return LaunchInfo(
            newer.module or self.module,
            newer.folder if newer.module else self.folder,
            newer.notify or self.notify,
        )


NO_LAUNCH_INFO = LaunchInfo()
"""Of a backfill that was not launched by the command line."""
