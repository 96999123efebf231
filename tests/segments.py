"""Reads the segments of a storage without rivers: what tests compare its records with."""

from collections.abc import Iterator
from sqlite3 import Connection

VERSION = 1


def unpacked(body: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Number, start, end and number of failed partitions of each run in a body."""
    numbers = _numbers(body[1:])
    assert not body or body[0] == VERSION
    for count in numbers:
        next(numbers)  # The size of the block.
        run, end = next(numbers), 0
        for _ in range(count):
            gap, start, duration = next(numbers), next(numbers), next(numbers)
            run += gap >> 1
            start = end + (start >> 1 ^ -(start & 1))
            end = start + duration
            yield run, start, end, next(numbers) if gap & 1 else 0
            run += 1


def _numbers(body: bytes) -> Iterator[int]:
    value, shift = 0, 0
    for byte in body:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            yield value
            value, shift = 0, 0


def recorded_runs(connection: Connection, backfill: int | None = None) -> list[tuple[int, ...]]:
    """Key of the backfill, number, start, end and number of failed partitions of each ended run."""
    query = (
        "SELECT backfill, body FROM segment WHERE ? IS NULL OR backfill = ? ORDER BY backfill, seq"
    )
    rows = connection.execute(query, (backfill, backfill)).fetchall()
    return [(key, *run) for key, body in rows for run in unpacked(body)]
