"""Writes and syncs that fail, are late, short or torn: what was reported is on record, and a resume does the rest."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).with_name("scripts")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    built = tmp_path_factory.mktemp("faults") / "io_faults.so"
    source = SCRIPTS / "io_faults.c"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", built, source, "-ldl"], check=True)
    return built


def run(folder: Path, environment: dict[str, str]) -> list[str]:
    result = subprocess.run(
        [sys.executable, str(SCRIPTS / "with_io_faults.py")],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT / "python"), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    refused = "StorageError" in result.stdout or "cannot be resumed" in result.stderr
    assert result.returncode == 0 or refused, result.stderr
    return result.stdout.splitlines()


def reported(lines: list[str]) -> list[int]:
    return [int(line.split()[1]) for line in lines if line.startswith("reported")]


@pytest.mark.parametrize("kind", ["fail", "torn"])
def test_a_storage_that_cannot_be_written_is_an_error(
    library: Path, tmp_path: Path, kind: str
) -> None:
    faults = {"FAULTS_KIND": kind, "FAULTS_EVERY": "1", "FAULTS_SEED": "0"}
    faults |= {"LD_PRELOAD": str(library), "FAULTS_FOLDER": str(tmp_path)}
    (error,) = run(tmp_path, faults)
    assert error.startswith("StorageError")


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["fail", "late", "short", "torn"])
def test_what_was_reported_is_on_record(
    library: Path, tmp_path: Path, kind: str, seed: int
) -> None:
    faults = {
        "LD_PRELOAD": str(library),
        "FAULTS_FOLDER": str(tmp_path / "storage"),
        "FAULTS_KIND": kind,
        "FAULTS_EVERY": str(8 + 20 * seed),
        "FAULTS_SEED": str(seed),
    }
    seen = [0]
    for _ in range(2):
        seen += reported(run(tmp_path, faults))
    after = reported(run(tmp_path, {}))
    assert seen == sorted(seen)
    assert after[0] >= max(seen)
    assert after[-1] == 300


def test_a_quota_that_is_used_up_is_a_full_disk(library: Path, tmp_path: Path) -> None:
    (tmp_path / "storage").mkdir()
    run(tmp_path, {})
    faults = {"FAULTS_KIND": "quota", "FAULTS_EVERY": "1", "FAULTS_SEED": "0"}
    faults |= {"LD_PRELOAD": str(library), "FAULTS_FOLDER": str(tmp_path)}
    (error,) = run(tmp_path, faults | {"AGAIN": "1"})
    assert error.startswith("StorageError")
    assert "free some space" in error


@pytest.mark.parametrize("seed", range(4))
def test_an_index_that_is_truncated_within_an_operation_ends_no_process(
    library: Path, tmp_path: Path, seed: int
) -> None:
    faults = {
        "LD_PRELOAD": str(library),
        "FAULTS_FOLDER": str(tmp_path / "storage"),
        "FAULTS_KIND": "index",
        "FAULTS_EVERY": str(10 + 25 * seed),
        "FAULTS_SEED": str(seed),
    }
    lines = run(tmp_path, faults)  # A process that a signal had ended would be an error here.
    assert lines[-1].startswith("StorageError")
    # A write that was refused, or what was found at the next look.
    assert "disk I/O error" in lines[-1] or "was truncated while it was open" in lines[-1]
    seen = reported(lines)
    after = reported(run(tmp_path, {}))
    assert after[0] >= max(seen, default=0)
    assert after[-1] == 300


def test_a_table_that_is_read_slowly_shows_nothing_as_completed_that_was_not(
    library: Path, tmp_path: Path
) -> None:
    # What is said of a run is committed with it, and a table is read in steps, between which others commit.
    script = [sys.executable, str(SCRIPTS / "while_recorded.py")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "python")}
    faults = {"FAULTS_KIND": "reads", "FAULTS_EVERY": "1", "FAULTS_SEED": "0"}
    faults |= {"LD_PRELOAD": str(library), "FAULTS_FOLDER": str(tmp_path / "storage")}
    writer = subprocess.Popen([*script, "write"], cwd=tmp_path, env=environment)
    try:
        reader = subprocess.run(
            [*script, "read"],
            cwd=tmp_path,
            env={**environment, **faults},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert writer.wait(60) == 0
    finally:
        writer.kill()
        writer.wait()
    seen = reader.stdout.splitlines()
    assert {"fails failed", "skips skipped"} <= set(seen)
    assert not {"fails completed", "skips completed", "fails skipped", "skips failed"} & set(
        seen
    ), seen
