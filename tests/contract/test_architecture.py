"""What ARCHITECTURE.md promises for the whole package: imports, immutability, the order of the stages."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import rivers as rs
from rivers import _rivers, exceptions

ROOT = Path(__file__).parents[2]
CORE = ROOT / "rust" / "rivers-core" / "src"
BINDING = ROOT / "rust" / "rivers-python" / "src"
STAGES = ["space", "plan", "queue", "backfill", "store", "table", "engine"]
SHARED = {"error", "clock"}

IMPORT = """
import json, logging, os, sys, threading
opened = []
def hook(event, arguments):
    if event in ("open", "os.mkdir", "sqlite3.connect") and isinstance(arguments[0], (str, bytes)):
        opened.append(os.path.abspath(os.fsdecode(arguments[0])))
sys.addaudithook(hook)
import rivers
here = os.getcwd()
loggers = [logging.getLogger(), *map(logging.getLogger, list(logging.Logger.manager.loggerDict))]
print(json.dumps({
    "threads": [thread.name for thread in threading.enumerate()],
    "opened": [path for path in opened if path.startswith(here)],
    "files": os.listdir(here),
    "handlers": [logger.name for logger in loggers if logger.handlers],
    "levels": [logger.name for logger in loggers[1:] if logger.level],
    "root": logging.getLogger().level,
    "hooks": [sys.excepthook is not sys.__excepthook__, threading.excepthook is not threading.__excepthook__],
    "native": [open(f"/proc/self/task/{task}/comm").read().strip() for task in os.listdir("/proc/self/task")]
        if sys.platform == "linux" else ["main"],
}))
"""


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """Returns the state of a new interpreter after `import rivers` in an empty directory."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORT],
        cwd=tmp_path_factory.mktemp("empty"),
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},  # numpy's threads are its own
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=True,
    )
    return json.loads(done.stdout)


def sources(*folders, suffix="rs"):
    return [path for folder in folders for path in sorted(folder.rglob(f"*.{suffix}"))]


def code(path):
    """Returns the file's text without comments."""
    comment = r"//[^\n]*" if path.suffix == ".rs" else r"#[^\n]*"
    return re.sub(comment, "", path.read_text(encoding="utf-8"))


def name(path):
    return path.relative_to(ROOT).as_posix()


def test_import_starts_no_thread(imported):
    assert imported["threads"] == ["MainThread"]
    # Polars starts threads when it is imported.
    native = [task for task in imported["native"] if not task.startswith(("jemalloc", "polars"))]
    assert len(native) == 1


def test_import_opens_no_file_in_the_working_directory(imported):
    assert imported["opened"] == []
    assert imported["files"] == []


def test_import_configures_no_logging(imported):
    assert imported["root"] == 30  # WARNING, as the standard library has it
    assert not [logger for logger in imported["handlers"] if logger.startswith(("root", "rivers"))]
    assert not [logger for logger in imported["levels"] if logger.startswith("rivers")]
    assert imported["hooks"] == [False, False]


def test_every_class_of_the_binding_is_declared_frozen():
    declared = [
        (name(path), match[0])
        for path in sources(BINDING)
        for match in re.finditer(r"#\[pyclass[^\]]*\]", path.read_text(encoding="utf-8"))
    ]
    assert declared
    assert [found for found in declared if not re.search(r"\bfrozen\b", found[1])] == []


@pytest.fixture
def instances(repo):
    """Returns an instance of each class of the binding, by the name of the class."""
    regions = rs.PartitionsDefinition.static_(["us", "eu"])
    run = []

    def keep(context):
        run.append(context._run)

    repository = repo(rs.Asset(keep, partitions_def=regions))
    repository.backfill(partition_keys=[rs.PartitionKey.single("us")])
    space = regions.resolve()
    found = [
        rs.PartitionKey.single("us"),
        rs.PartitionKey.multi({"r": "us"}),
        regions,
        rs.PartitionMapping.subset(),
        space,
        space.select_keys([rs.PartitionKey.single("us")]),
        _rivers.Plan(
            space.select_keys([rs.PartitionKey.single("us")]), rs.BackfillStrategy.multi_run()
        ),
        repository.storage._store,
        repository._runtime.engine,
        run[0],
    ]
    return {type(instance).__name__: instance for instance in found}


@pytest.mark.parametrize(
    "kind",
    [
        "Single",
        "Multi",
        "Static",
        "Subset",
        "Space",
        "Selection",
        "Plan",
        "Store",
        "Engine",
        "Run",
    ],
)
def test_instances_of_the_binding_refuse_to_be_changed(instances, kind):
    instance = instances[kind]
    shown = [attribute for attribute in dir(instance) if not attribute.startswith("__")]
    for attribute in (*shown, "anything_else"):
        with pytest.raises((AttributeError, TypeError)):
            setattr(instance, attribute, None)


def test_every_error_of_the_core_has_its_exception():
    text = (CORE / "error.rs").read_text(encoding="utf-8")
    variants = re.findall(
        r"^    ([A-Z]\w+)(?: \{|\()", text.split("pub enum Error")[1].split("\n}")[0], re.MULTILINE
    )
    table = (BINDING / "error.rs").read_text(encoding="utf-8")
    raised = dict(re.findall(r"Error::(\w+)[^=]*=> \"(\w+)\"", table))
    assert sorted(raised) == sorted(variants)
    assert set(raised.values()) <= set(exceptions.__all__)


def test_stages_are_the_folders_of_the_core():
    assert sorted(path.name for path in CORE.iterdir() if path.is_dir()) == sorted(STAGES)
    declared = re.findall(
        r"^pub mod (\w+);", (CORE / "lib.rs").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert [module for module in declared if module not in SHARED] == STAGES


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_uses_only_stages_to_its_left(stage):
    allowed = SHARED | set(STAGES[: STAGES.index(stage) + 1])
    found = {
        (name(path), used)
        for path in sources(CORE / stage)
        for group in re.findall(r"\bcrate::(\{[^;]*\}|\w+)", code(path))
        for used in ([group] if group[0] != "{" else re.findall(r"(?:^\{|,)\s*(\w+)", group))
    }
    assert sorted(where for where in found if where[1] not in allowed) == []


@pytest.mark.parametrize("shared", sorted(SHARED))
def test_error_and_clock_use_no_stage(shared):
    used = re.findall(r"\bcrate::(\w+)", code(CORE / f"{shared}.rs"))
    assert set(used) <= SHARED


def test_a_stage_stays_in_its_folder():
    """`super` does not lead out of a stage: other stages are named with `crate::`."""
    for path in sources(CORE):
        depth = len(path.relative_to(CORE).parts) - (path.stem == "mod") - 1
        text, _, tests = code(path).partition("#[cfg(test)]")
        for part, most in ((text, depth), (tests, depth + 1)):
            ups = [chain.count("super") for chain in re.findall(r"\b(?:super::)+", part)]
            assert max(ups, default=0) <= most, name(path)


def test_no_sql_outside_the_store():
    keyword = re.compile(
        r"\b(SELECT|INSERT|UPDATE|DELETE FROM|CREATE (TABLE|INDEX)|DROP|PRAGMA|ROLLBACK|BEGIN|COMMIT)\b"
    )
    files = sources(CORE, BINDING) + sources(ROOT / "python", suffix="py")
    outside = [path for path in files if (CORE / "store") not in path.parents]
    assert len(outside) < len(files)
    assert [name(path) for path in outside if keyword.search(code(path))] == []
    assert [
        name(path) for path in outside if re.search(r"\brusqlite\b|import sqlite3", code(path))
    ] == []


def test_the_core_reads_no_environment():
    assert [name(path) for path in sources(CORE) if re.search(r"\benv::|\benv!", code(path))] == []


def test_the_core_reads_time_only_from_its_clock():
    clocks = re.compile(r"\bSystemClock\b|\bSystemTime\b|\b(Utc|Local|Instant)::now\b")
    # A storage has a clock of its own, which leases are compared with; that of a file is the machine's.
    storage = CORE / "store" / "sqlite" / "mod.rs"
    # A server is waited for by the operating system's monotonic time, like what the engine waits for.
    waiting = [*sources(CORE / "engine"), *sources(CORE / "store" / "postgres")]
    allowed = {CORE / "clock.rs", storage, *waiting}
    found = [
        name(path) for path in sources(CORE) if path not in allowed and clocks.search(code(path))
    ]
    assert found == []


def test_the_core_knows_no_python():
    assert [name(path) for path in sources(CORE) if re.search(r"\bpyo3\b", code(path))] == []
    assert "pyo3" not in (CORE.parent / "Cargo.toml").read_text(encoding="utf-8")


def test_every_test_that_architecture_cites_exists():
    cited = set(
        re.findall(r"`(test_\w+|\w+_oracle)(?:\.py|\.rs)?`", (ROOT / "ARCHITECTURE.md").read_text())
    )
    found = {path.stem for folder in ("tests", "rust") for path in (ROOT / folder).rglob("*_*.*")}
    for path in (ROOT / "tests").rglob("test_*.py"):
        found.update(re.findall(r"def (test_\w+)\(", path.read_text(encoding="utf-8")))
    assert cited
    assert cited - found == set()
