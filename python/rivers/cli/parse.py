"""Parses texts and files of a user into the arguments of the library."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
from typing import TYPE_CHECKING, Any

from rivers._text import did_you_mean
from rivers.cli.display import count
from rivers.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import click
    import polars as pl

    from rivers.execution.executor import Executor
    from rivers.partitions import PartitionKey, PartitionKeyRange
    from rivers.partitions.key_range import RangePart
    from rivers.policies.strategy import BackfillStrategy


def setting(ctx: click.Context, name: str) -> str | None:
    """A setting of the environment or of pyproject.toml, for a command that may do without it."""
    value = os.environ.get(f"RIVERS_{name.upper()}") or (ctx.default_map or {}).get(f"_{name}")
    return None if value is None else str(value)


def parse_executor(given: str | None) -> Executor | None:
    """Parses where runs are executed; `None`: where the repository says.

    Raises:
        ConfigurationError: There is no such executor.
    """
    if given is None:
        return None
    from rivers.execution.executor import Executor  # noqa: PLC0415  (few commands need it)

    name, _, address = given.partition(":")
    if name == "ray":
        return Executor.ray(address or None)
    if given == "threads":
        return Executor.in_process()
    if given == "processes":
        return Executor.parallel()
    msg = f"--executor takes threads, processes, ray or ray:ADDRESS, got {given!r}"
    raise ConfigurationError(msg + did_you_mean(given, ["threads", "processes", "ray"]))


def parse_names(given: Sequence[str] | None) -> list[str] | None:
    """Splits names separated by commas, in one or several texts; `None` if none were given."""
    return [name for text in given for name in text.split(",")] if given else None


def parse_pairs(option: str, given: Sequence[str]) -> list[tuple[str, str]]:
    """Splits each `name=value` into a pair.

    Raises:
        ConfigurationError: There is no `=` or no name.
    """
    pairs = []
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ConfigurationError(f"{option} takes name=value, got {text!r}")
        pairs.append((name, value))
    return pairs


def parse_range(given: Sequence[str]) -> PartitionKeyRange:
    """Parses `date=a..b` (a range; an end may be left out) and `region=a,b` (keys) as one range."""
    from rivers.partitions import PartitionKeyRange  # noqa: PLC0415  (imported where a command needs it)
    from rivers.partitions.range_text import part_of_text  # noqa: PLC0415

    parts: dict[str, RangePart] = {}
    for name, value in parse_pairs("--range", given):
        if name in parts:
            raise ConfigurationError(f"--range names the dimension {name!r} twice")
        parts[name] = part_of_text(value)
    return PartitionKeyRange.multi(parts)


def parse_order(given: str) -> str | list[str]:
    """Parses `definition`, `reverse`, or dimensions as `-date,region`."""
    return given if given in ("definition", "reverse") else given.split(",")


def parse_max_failures(given: str | None) -> float | None:
    """Parses `10` as a count and `0.1` as a fraction.

    Raises:
        ConfigurationError: It is not a number.
    """
    if given is None:
        return None
    try:
        return int(given)
    except ValueError:
        pass
    try:
        return float(given)
    except ValueError:
        msg = f"--max-failures takes a count such as 10 or a fraction such as 0.1, got {given!r}"
        raise ConfigurationError(msg) from None


_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")


def parse_duration(option: str, given: str) -> dt.timedelta:
    """A duration such as `30d` or `12h`."""
    found = _DURATION.fullmatch(given.strip())
    if found is None:
        msg = f"{option} is a number and a unit, such as 30d, 12h, 90m or 2w, not {given!r}"
        raise ConfigurationError(msg)
    try:
        return dt.timedelta(**{_UNITS[found[2]]: float(found[1])})
    except OverflowError:
        msg = f"{option} is too long: {given!r}"
        raise ConfigurationError(msg) from None


def parse_keys(given: Sequence[str], dimensions: Sequence[str]) -> list[PartitionKey]:
    """Parses keys as they are printed: `a,b`, or with dimensions `date=a|region=us,eu`."""
    from rivers.partitions import PartitionKey  # noqa: PLC0415  (imported where a command needs it)

    if not dimensions:
        return [PartitionKey.single(key) for text in given for key in text.split(",")]
    return [
        PartitionKey.multi(
            {
                name: values.split(",")
                for name, values in parse_pairs("--partitions", text.split("|"))
            }
        )
        for text in given
    ]


def read_table(path: Path) -> pl.DataFrame:
    """Reads the table of a csv or Parquet file; the values of a csv file stay texts.

    Raises:
        ConfigurationError: It cannot be read, or is of another kind.
    """
    import polars as pl  # noqa: PLC0415  (Polars is loaded where a table is wanted)

    readers = {".csv": lambda: pl.read_csv(path, infer_schema=False),
               ".parquet": lambda: pl.read_parquet(path)}  # fmt: skip
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise ConfigurationError(f"a table is a .csv or .parquet file, not {str(path)!r}")
    try:
        return reader()
    except (OSError, pl.exceptions.PolarsError) as error:
        raise ConfigurationError(f"{str(path)!r} cannot be read: {error}") from None


def read_keys(data: bytes, dimensions: Sequence[str]) -> Any:
    """Reads keys of standard input: a JSON list, a table with tabs or commas, or a key in each line.

    A table is what `rivers partitions` prints, or csv; its first line has the names of the columns.

    Returns:
        Keys or a frame, as `backfill(partition_keys=)` takes them.

    Raises:
        ConfigurationError: The text is none of these, or has no keys.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"--keys -: standard input is not UTF-8: {error}") from None
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    lines = [line for line in lines if line.strip()]
    if not lines:
        raise ConfigurationError("--keys -: standard input has no keys")
    if text.lstrip().startswith("["):
        return _json_keys(text, dimensions)
    columns = list(dimensions) or ["partition"]
    if set(columns) <= set(lines[0].split("\t")):
        return _tabbed_keys(lines, columns)
    if set(columns) <= set(lines[0].split(",")):
        return _csv_keys(text, columns)
    return parse_keys(lines, dimensions)


def _tabbed_keys(lines: list[str], columns: list[str]) -> pl.DataFrame:
    """The columns of a table with tabs, which has no quotes: a key may begin with one."""
    import polars as pl  # noqa: PLC0415

    header, *rows = (line.split("\t") for line in lines)
    for number, row in enumerate(rows, 2):
        if len(row) != len(header):
            msg = f"--keys -: line {number} has {count(len(row), 'cell')}, the first {len(header)}"
            raise ConfigurationError(msg)
    places = {name: header.index(name) for name in columns}
    values = {name: [row[place] for row in rows] for name, place in places.items()}
    return pl.DataFrame(values, schema=dict.fromkeys(columns, pl.String))


def _csv_keys(text: str, columns: list[str]) -> pl.DataFrame:
    """The columns of a csv table."""
    import io  # noqa: PLC0415

    import polars as pl  # noqa: PLC0415

    try:
        return pl.read_csv(io.StringIO(text), infer_schema=False).select(columns)
    except pl.exceptions.PolarsError as error:
        reason = str(error).splitlines()[0]
        raise ConfigurationError(f"--keys -: this is no csv table: {reason}") from None


def _json_keys(text: str, dimensions: Sequence[str]) -> list[Any]:
    """Keys of a JSON list: texts, or objects such as the rows of `rivers partitions --json`."""
    try:
        rows = json.loads(text)
    except ValueError as error:
        raise ConfigurationError(f"--keys -: this is no JSON: {error}") from None
    columns = list(dimensions) or ["partition"]
    keys: list[Any] = []
    for row in rows:
        if isinstance(row, dict) and all(name in row for name in columns):
            named = {name: row[name] for name in columns}
            keys.append(named if dimensions else named["partition"])
        elif isinstance(row, str):
            keys.append(row)
        else:
            raise ConfigurationError(f"--keys -: this names no partition: {row!r}")
    return keys


def read_config(path: Path | None) -> dict[str, dict[str, Any]] | None:
    """Reads the config of each asset from a JSON file.

    Raises:
        ConfigurationError: It cannot be read, or is not an object of objects.
    """
    if path is None:
        return None
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{str(path)!r} cannot be read as JSON: {error}") from None
    if not isinstance(config, dict) or not all(isinstance(c, dict) for c in config.values()):
        raise ConfigurationError(f"{str(path)!r} must hold an object of the assets' configs")
    return config


def parse_strategy(given: str | None) -> BackfillStrategy | None:
    """Parses `--strategy`, see `BackfillStrategy.parse`; `None` without the flag.

    Raises:
        ConfigurationError: The text names no strategy.
    """
    from rivers.policies.strategy import BackfillStrategy  # noqa: PLC0415  (imported where a command needs it)

    return None if given is None else BackfillStrategy.parse(given, argument="--strategy")
