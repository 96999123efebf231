"""The command that writes a first file: init."""

import json
import os
import shlex
from pathlib import Path

import click
from rich.markup import escape

from rivers.cli.display import output, write_json
from rivers.cli.options import FILE, json_option
from rivers.exceptions import ConfigurationError

EXAMPLE = """\
import rivers as rs

# The partitions: each of 31 days, in each of three regions.
grid = rs.PartitionsDefinition.multi(
    {
        "date": rs.PartitionsDefinition.daily("2024-01-01", end="2024-02-01"),
        "region": rs.PartitionsDefinition.static_(["us", "eu", "asia"]),
    }
)


@rs.Asset(partitions_def=grid)
def sales(context: rs.AssetExecutionContext) -> int:
    if context.partition_key == "date=2024-01-17|region=eu":
        raise ValueError("the register was broken")  # Remove both lines, then rerun what failed.
    return len(context.partition_key)


@rs.Asset(partitions_def=grid)
def report(sales: int) -> str:  # The parameter names the asset whose value it receives.
    return f"{sales} sold"


repo = rs.CodeRepository([sales, report])

if __name__ == "__main__":  # `rivers` imports this file; python executes it.
    january = rs.PartitionKeyRange.multi({"date": ("2024-01-01", "2024-01-31")})
    print(repo.backfill(partition_range=january))
"""
"""A file that `python` executes and `rivers` imports. One of its partitions fails, to show the rest."""


@click.command(epilog="Example: rivers init sales.py")
@click.argument("file", metavar="[FILE]", type=FILE, default=Path("sales.py"))
@json_option
def init(file: Path, as_json: bool) -> None:
    """Write an example that python and rivers accept, as a start.

    FILE is the file to write, sales.py by default. An existing file is left as it is.
    """
    if file.suffix != ".py":
        raise ConfigurationError(
            f"the file must be called .py, such as sales.py, not {str(file)!r}"
        )
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        msg = f"{str(file)!r} exists and is left as it is; name another file: rivers init FILE"
        raise ConfigurationError(msg) from None
    except OSError as error:
        raise ConfigurationError(f"{str(file)!r} cannot be written: {error.strerror}") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
        opened.write(EXAMPLE)
    name = shlex.quote(str(file))
    commands = [
        f"rivers check {name}",
        f"rivers backfill {name} --range date=2024-01-01..2024-01-31",
        "rivers errors latest",
        "rivers grid latest",
    ]
    if as_json:
        write_json(json.dumps({"path": str(file), "next": commands}))
        return
    text = f"wrote {file}: two assets over 31 days and three regions; go on with"
    output.print(escape("\n  ".join([text, *commands])), soft_wrap=True)


COMMANDS = {"init": init}
