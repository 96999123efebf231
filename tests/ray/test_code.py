"""Where functions come from: a script, modules beside it, modules that Ray ships, a notebook; and workers without rivers."""

import importlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support import letters

import rivers as rs
from rivers.exceptions import RiversError

PROGRAM = Path(__file__).parent / "scripts" / "program.py"


def package(folder, name, text):
    """Makes a package of one file in a folder."""
    (folder / name).mkdir(parents=True)
    (folder / name / "__init__.py").write_text(text)
    return folder / name


def test_a_script_its_modules_and_those_that_are_shipped_reach_workers(ray_cluster, tmp_path):
    script = shutil.copy(PROGRAM, tmp_path)
    (tmp_path / "beside.py").write_text("NUMBER = 2\n")
    package(tmp_path / "library", "on_path", "def number():\n    return 1000\n")
    shipped = package(tmp_path / "elsewhere", "shipped", "NUMBER = 100\n")
    command = [sys.executable, script, ray_cluster.cluster.address, tmp_path / "values", shipped]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    assert ended.stdout.splitlines() == ["completed ", "(2212, 2.0)"], ended.stdout + ended.stderr


CELLS = [
    "import rivers as rs\nfactor = 3",
    "def scaled(number):\n    return factor * number",
    """@rs.Asset(partitions_def=rs.PartitionsDefinition.static_(["a", "b"]))
def asset(context):
    assert scaled(2) == 6
    print("in", context.partition_key)""",
    """repo = rs.CodeRepository([asset], default_executor=rs.Executor.ray({address!r}))
repo = repo.resolve(rs.Storage.memory())
repo.backfill(partition_range=rs.PartitionKeyRange.single("a", "b")).status""",
    # A cell that is changed and run again: the backfill executes what it says now.
    "def scaled(number):\n    return 7",
    """repo.backfill(partition_range=rs.PartitionKeyRange.single("a", "b")).status, repo.close()""",
]


def test_functions_of_a_notebook_reach_workers(ray_cluster, tmp_path):
    nbformat = pytest.importorskip("nbformat")
    from nbclient import NotebookClient

    address = ray_cluster.cluster.address
    cells = [text.replace("{address!r}", repr(address)) for text in CELLS]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in cells])
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=110, kernel_name="python3", resources=resources).execute()
    shown = [
        output["data"]["text/plain"]
        for cell in notebook.cells
        for output in cell.outputs
        if output.output_type == "execute_result"
    ]
    assert shown == ["'completed'", "('failed', None)"]


def test_a_worker_without_rivers_is_reported_in_one_sentence(on_ray, tmp_path):
    package(tmp_path, "rivers", "raise ImportError('there is no rivers here')\n")
    asset = rs.Asset(lambda: None, name="a", partitions_def=letters(2))
    repo = on_ray(asset, runtime_env={"env_vars": {"PYTHONPATH": str(tmp_path)}})
    message = r"rivers cannot be imported on the Ray node \S+ \(there is no rivers here\); install"
    with pytest.raises(RiversError, match=message):
        repo.backfill(partition_range=rs.PartitionKeyRange.single("a", "b"))


def test_an_environment_that_only_a_new_connection_can_have_is_refused(on_ray, tmp_path):
    local = package(tmp_path, "helpers", "NUMBER = 1\n")
    asset = rs.Asset(lambda: None, name="a", partitions_def=letters(2))
    repo = on_ray(asset, runtime_env={"py_modules": [str(local)]})
    with pytest.raises(RiversError, match=r"connected to Ray already.*give it to ray\.init\(\)"):
        repo.backfill(partition_range=rs.PartitionKeyRange.single("a", "b"))
    assert repo.backfills().height == 0


def test_a_module_that_workers_do_not_have_is_named(on_ray, tmp_path, monkeypatch):
    package(tmp_path, "only_here", "def number():\n    return 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    only_here = importlib.import_module("only_here")
    asset = rs.Asset(only_here.number, name="a", partitions_def=letters(2))
    repo = on_ray(asset)
    monkeypatch.undo()  # The path as workers get it, with which they do not find the module.
    with pytest.raises(RiversError, match=r"No module named 'only_here'.*py_modules"):
        repo.backfill(partition_range=rs.PartitionKeyRange.single("a", "b"))
