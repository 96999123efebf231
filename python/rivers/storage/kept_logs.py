"""The kept log lines of backfills: files of JSON lines beside the storage."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Container
    from pathlib import Path


def file_of(folder: Path, backfill_id: str) -> Path:
    """The file with the kept log lines of a backfill."""
    return folder / f"{backfill_id}.jsonl"


def read_kept(path: Path, runs: Container[str] | None = None) -> list[dict[str, Any]]:
    """Reads the kept records of a backfill, or of some of its runs; a line that was cut short is left out."""
    if not path.is_file():
        return []
    found: list[dict[str, Any]] = []
    with path.open(encoding="utf-8") as file:
        for line in file:
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if runs is None or record.get("run") in runs:
                found.append(record)
    return found
