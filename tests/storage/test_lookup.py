"""Which storage is used where none is named: the same for Python and the command line."""

import os
import subprocess
import sys

import pytest

import rivers as rs
from rivers.exceptions import ConfigurationError, StorageError
from rivers.storage.lookup import find_storage

SCRIPT = """
import rivers as rs
days = rs.PartitionsDefinition.static_(["a"])
repo = rs.CodeRepository([rs.Asset(lambda: None, name="x", partitions_def=days)])
if __name__ == "__main__":
    print(repo.storage.path)
"""


@pytest.fixture
def below(tmp_path, monkeypatch):
    """A folder two levels below `tmp_path`, which is the working directory."""
    folder = tmp_path / "one" / "two"
    folder.mkdir(parents=True)
    (folder / "script.py").write_text(SCRIPT)
    monkeypatch.delenv("RIVERS_STORAGE", raising=False)
    monkeypatch.chdir(folder)
    return folder


def seen_by_python(folder, **environment):
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=folder, env=os.environ | environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


def seen_by_the_shell(folder, **environment):
    def run(*words):
        command = [sys.executable, "-m", "rivers", *words]
        done = subprocess.run(
            command, cwd=folder, env=os.environ | environment, capture_output=True, text=True,
            check=True,
        )  # fmt: skip
        return done.stdout

    run("backfill", "script.py", "--only-missing")
    return run("list").splitlines()[0].removeprefix("storage: ")


def assert_all_use(expected, folder, **environment):
    assert seen_by_python(folder, **environment) == str(expected)
    assert seen_by_the_shell(folder, **environment) == str(expected)


def test_a_new_one_in_the_working_directory(below):
    assert_all_use(below / ".rivers" / "rivers.db", below)


def test_the_nearest_folder_upwards(below, tmp_path):
    (tmp_path / ".rivers").mkdir()
    assert_all_use(tmp_path / ".rivers" / "rivers.db", below)
    (below.parent / ".rivers").mkdir()
    assert_all_use(below.parent / ".rivers" / "rivers.db", below)
    assert not (below / ".rivers").exists()


def test_the_project_before_a_folder(below, tmp_path):
    (below / ".rivers").mkdir()
    (tmp_path / "pyproject.toml").write_text('[tool.rivers]\nstorage = "data/runs.db"\n')
    assert_all_use(tmp_path / "data" / "runs.db", below)


def test_the_nearest_project_only(below, tmp_path):
    (tmp_path / "pyproject.toml").write_text('[tool.rivers]\nstorage = "runs.db"\n')
    (below.parent / "pyproject.toml").write_text("[project]\nname = 'inner'\n")
    assert_all_use(below / ".rivers" / "rivers.db", below)


def test_the_variable_before_the_project(below, tmp_path):
    (tmp_path / "pyproject.toml").write_text('[tool.rivers]\nstorage = "runs.db"\n')
    assert_all_use(tmp_path / "named.db", below, RIVERS_STORAGE=str(tmp_path / "named.db"))


def test_an_option_before_the_variable(below, tmp_path):
    command = [sys.executable, "-m", "rivers", "backfill", "script.py", "--only-missing"]
    subprocess.run(
        [*command, "--storage", "option.db"], cwd=below, check=True, capture_output=True,
        env=os.environ | {"RIVERS_STORAGE": str(tmp_path / "named.db")},
    )  # fmt: skip
    assert (below / "option.db").exists()
    assert not (tmp_path / "named.db").exists()


def test_a_client_needs_no_path(below, tmp_path):
    (tmp_path / ".rivers").mkdir()
    assert rs.BackfillClient().storage.path == str(tmp_path / ".rivers" / "rivers.db")


def test_a_project_that_cannot_be_read_is_an_error_and_makes_no_storage(below):
    (below / "pyproject.toml").write_text("[tool.rivers]\nstorge = 'runs.db'\n")
    with pytest.raises(ConfigurationError, match="did you mean 'storage'"):
        rs.Storage.default()
    assert not (below / ".rivers").exists()


needs_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away"
)


@needs_root
def test_a_folder_of_another_user_is_passed_over_with_a_warning(below, tmp_path, caplog):
    (tmp_path / ".rivers").mkdir()
    (below.parent / ".rivers").mkdir()
    os.chown(below.parent / ".rivers", 12345, 12345)
    assert find_storage().path == tmp_path / ".rivers" / "rivers.db"
    assert "belongs to another user" in caplog.text


@needs_root
def test_a_folder_of_another_user_in_the_working_directory_is_refused(below):
    (below / ".rivers").mkdir()
    os.chown(below / ".rivers", 12345, 12345)
    with pytest.raises(StorageError, match="RIVERS_STORAGE="):
        rs.Storage.default()


@needs_root
def test_a_link_that_another_user_planted_is_passed_over(below, tmp_path):
    (tmp_path / "own").mkdir()
    (below.parent / ".rivers").symlink_to(tmp_path / "own")
    os.lchown(below.parent / ".rivers", 12345, 12345)
    assert find_storage(below).path == below / ".rivers" / "rivers.db"


def test_a_file_of_that_name_is_no_storage(below):
    (below.parent / ".rivers").touch()
    assert find_storage(below).path == below / ".rivers" / "rivers.db"
