"""What the command line and `import rivers` do not import: it is what makes them start quickly."""

import subprocess
import sys

import pytest
from tests.support import TIMEOUT

import rivers as rs

WATCHED = (
    "polars", "pydantic", "loky", "asyncio", "rich.live", "rich.markdown", "rich.table",
    "rich.console", "click", "rivers.repository", "rivers.assets", "rivers.execution", "rivers.io",
    "rivers.status.grid", "rivers.client", "rivers.storage.storage", "subprocess", "webbrowser",
)  # fmt: skip

RUN = """
import sys
words = sys.argv[1:]
if words:
    import rivers.cli
    sys.argv = ["rivers", *words]
    try:
        rivers.cli.main()
    except SystemExit as end:
        assert not end.code, end.code
else:
    import rivers
sys.stderr.write(" ".join(sys.modules))
"""


def imported(folder, *words):
    """The watched modules that a command of `rivers` imports; without words, `import rivers`."""
    command = [sys.executable, "-c", RUN, *words]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=True, timeout=TIMEOUT
    )
    return set(done.stderr.split()) & set(WATCHED)


@pytest.fixture
def folder(tmp_path):
    """A folder with a storage of one backfill."""
    asset = rs.Asset(
        lambda: None, name="idle", partitions_def=rs.PartitionsDefinition.static_(["a"])
    )
    storage = rs.Storage.embedded(tmp_path / ".rivers" / "rivers.db")
    with rs.CodeRepository([asset]).resolve(storage) as repo:
        repo.backfill(partition_range=rs.PartitionKeyRange.single("a", "a"))
    return tmp_path


def test_importing_the_package_imports_none_of_its_parts(tmp_path):
    assert imported(tmp_path) == set()


def test_help_needs_no_part_of_the_library(tmp_path):
    assert imported(tmp_path, "--help") <= {"click", "rich.console"}


@pytest.mark.parametrize("words", [["backfill", "--help"], ["--version"]])
def test_help_and_version_need_no_part_of_the_library(tmp_path, words):
    assert imported(tmp_path, *words) <= {"click", "rich.console"}


@pytest.mark.parametrize("words", [["list"], ["list", "--json"], ["status", "latest"]])
def test_records_are_shown_without_polars_and_without_an_engine_for_runs(folder, words):
    allowed = {"click", "rich.console", "rich.table", "rivers.client", "rivers.storage.storage"}
    assert imported(folder, *words) <= allowed


def test_every_public_name_is_imported_on_first_access():
    for name in rs.__all__:
        assert getattr(rs, name).__name__.split(".")[-1] == name
    with pytest.raises(AttributeError, match="module 'rivers' has no attribute 'Assets'"):
        rs.Assets  # noqa: B018
