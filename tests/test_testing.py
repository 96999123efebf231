"""`rivers.testing` and its pytest fixture, as a user's tests use them."""

import datetime as dt

import pydantic
import pytest

import rivers as rs
from rivers.exceptions import ExecutionError, PartitionValidationError
from rivers.testing import make_context, materialize_to_memory, memory_repository

DAYS = rs.PartitionsDefinition.daily("2024-01-01", end="2024-01-11")


class Settings(pydantic.BaseModel):
    factor: int = 2


@rs.Asset(partitions_def=DAYS, io_handler=rs.PickleIOHandler("/nowhere/at/all"))
def sales(context: rs.AssetExecutionContext[Settings]) -> int:
    return int(context.partition_key[-2:]) * context.config.factor


@rs.Asset(partitions_def=DAYS, io_handler="files")
def report(sales: int) -> str:
    return f"{sales} sold"


FILES = {"files": rs.PickleIOHandler("/nowhere/at/all")}


@pytest.mark.parametrize("day", ["2024-01-03", dt.date(2024, 1, 3), rs.PartitionKey("2024-01-03")])
def test_a_context_is_made_by_hand(day):
    assert sales(make_context(sales, day, Settings(factor=5))) == 15


def test_a_context_of_other_partitions_is_refused():
    with pytest.raises(PartitionValidationError, match="2025-01-01"):
        make_context(sales, "2025-01-01")
    with pytest.raises(TypeError, match="'sales' is partitioned; name a partition"):
        make_context(sales)
    with pytest.raises(TypeError, match="is not partitioned"):
        make_context(rs.Asset(lambda: 1, name="x"), "a")


def test_values_are_returned_and_nothing_is_written():
    values = materialize_to_memory([sales, report], "2024-01-03", resources=FILES)
    assert values == {"sales": 6, "report": "6 sold"}
    values = materialize_to_memory([sales], "2024-01-03", config={"sales": {"factor": 1}})
    assert values == {"sales": 3}


def test_handlers_of_inputs_are_not_used_either():
    elsewhere = rs.AssetDef.input("sales", io_handler=rs.PickleIOHandler("/nowhere/at/all"))

    @rs.Asset(partitions_def=DAYS, deps=[elsewhere])
    def doubled(sales: int) -> int:
        return 2 * sales

    assert materialize_to_memory([sales, doubled], "2024-01-03")["doubled"] == 12


def test_a_failure_is_raised_with_its_cause():
    @rs.Asset
    def odd() -> int:
        raise ValueError("odd")

    with pytest.raises(ExecutionError) as failed:
        materialize_to_memory([odd])
    assert isinstance(failed.value.__cause__, ValueError)


def test_multi_and_graph_assets_are_kept_in_memory():
    files = rs.PickleIOHandler("/nowhere/at/all")

    @rs.Asset.from_multi(output_defs=[rs.AssetDef("a", io_handler=files), rs.AssetDef("b")])
    def both():
        return {"a": 1, "b": 2}

    assert materialize_to_memory([both]) == {"a": 1, "b": 2}


def test_a_repository_in_memory_backfills():
    with memory_repository([sales, report], resources=FILES) as repo:
        assert repo.backfill(partition_keys=DAYS.select()).completed == 10
        assert repo.load_node("report", "2024-01-10") == "20 sold"


def test_the_fixture_gives_a_repository_and_closes_it(tmp_path):
    import subprocess
    import sys

    (tmp_path / "conftest.py").write_text('pytest_plugins = ["rivers.pytest_plugin"]')
    (tmp_path / "test_user.py").write_text(
        "import rivers as rs\n"
        "letters = rs.PartitionsDefinition.static_(['a'])\n"
        "one = rs.Asset(lambda: 1, name='one', partitions_def=letters)\n"
        "def test_one(rivers_repository):\n"
        "    repo = rivers_repository(one)\n"
        "    assert repo.backfill(partition_keys=['a']).status == 'completed'\n"
        "    assert repo.load_node('one', 'a') == 1\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "1 passed" in done.stdout, done.stdout + done.stderr
