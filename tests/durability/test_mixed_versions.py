"""An earlier version and this one use one storage: the earlier one stops when it is migrated, and nothing is lost."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EARLIER = "cdc62d1"
"""The commit of the earlier version: the first with a schema that is migrated."""
SCRIPT = Path(__file__).with_name("scripts") / "any_version.py"
TIMEOUT = 60


def run_in(folder: Path, package: Path, mode: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), mode],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(package)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


@pytest.fixture(scope="module")
def earlier() -> Path:
    """The package of the earlier version, which is built once into `target`.

    A clone without its history cannot build it.
    """
    tree = ROOT / "target" / "versions" / EARLIER
    extension = tree / "python" / "rivers" / "_rivers.abi3.so"
    if extension.exists():
        return tree / "python"
    known = subprocess.run(
        ["git", "cat-file", "-e", f"{EARLIER}^{{commit}}"], cwd=ROOT, check=False
    )
    if known.returncode != 0:
        pytest.skip(f"this clone does not have the commit {EARLIER}")
    tree.mkdir(parents=True, exist_ok=True)
    archive = subprocess.run(["git", "archive", EARLIER], cwd=ROOT, check=True, capture_output=True)
    subprocess.run(["tar", "-x"], cwd=tree, input=archive.stdout, check=True)
    build = ["cargo", "build", "--release", "--quiet", "--package", "rivers-python"]
    environment = {**os.environ, "CARGO_TARGET_DIR": str(tree / "target")}
    subprocess.run(build, cwd=tree, env=environment, check=True)
    (tree / "target" / "release" / "lib_rivers.so").rename(extension)
    return tree / "python"


pytestmark = pytest.mark.timeout(900)


def test_what_an_earlier_version_recorded_is_listed_and_resumed(
    earlier: Path, tmp_path: Path
) -> None:
    assert run_in(tmp_path, earlier, "run").stdout.split()[1:] == ["failed", "49", "1"]
    assert run_in(tmp_path, earlier, "die").returncode == 9
    current = ROOT / "python"
    # The outcomes of the last milliseconds before the death need not be on record.
    statuses = [line.split()[1] for line in run_in(tmp_path, current, "list").stdout.splitlines()]
    assert statuses == ["in_progress", "failed"]
    resumed = run_in(tmp_path, current, "resume").stdout.splitlines()
    assert [line.split()[1:] for line in resumed] == [["failed", "49", "1"]] * 2


def test_an_earlier_version_refuses_a_migrated_storage(earlier: Path, tmp_path: Path) -> None:
    run_in(tmp_path, ROOT / "python", "run")
    refused = run_in(tmp_path, earlier, "list")
    assert refused.returncode != 0
    assert "it was written by a newer rivers" in refused.stderr


def test_an_earlier_version_that_is_running_stops_when_the_storage_is_migrated(
    earlier: Path, tmp_path: Path
) -> None:
    running = subprocess.Popen(
        [sys.executable, str(SCRIPT), "slow"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(earlier)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stdout is not None
    for _ in range(10):
        assert running.stdout.readline().startswith("called ")
    current = ROOT / "python"
    listed = run_in(tmp_path, current, "list")
    _, stderr = running.communicate(timeout=TIMEOUT)
    if running.returncode != 0:
        assert "StorageError" in stderr
        assert run_in(tmp_path, current, "resume").returncode == 0
    listed = run_in(tmp_path, current, "list")
    assert listed.stdout.split()[1:] == ["failed", "49", "1"]
