"""What type checkers say about a user's program."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from mypy import api
from tests.contract import typed_program
from tests.contract.test_docs import BLOCK, PAGES

import rivers

PROGRAM = Path(typed_program.__file__)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def checked(cache, tmp_path_factory):
    """Runs mypy strictly on a program, in which some text may be replaced."""
    folder = tmp_path_factory.mktemp("program")

    def check(old="", new=""):
        source = PROGRAM.read_text(encoding="utf-8")
        assert old in source
        program = folder / "program.py"
        program.write_text(source.replace(old, new), encoding="utf-8")
        report, errors, _ = api.run(["--strict", f"--cache-dir={cache}", str(program)])
        assert not errors
        return re.findall(r"program\.py:\d+: error: (.*)", report)

    return check


def test_the_program_runs():
    assert typed_program.main()


def test_the_package_says_that_it_is_typed():
    assert Path(rivers.__file__).with_name("py.typed").exists()


def test_the_program_passes_strict_checks(checked):
    assert checked() == []


UNTYPED = ["no-untyped-def", "no-untyped-call", "no-redef", "import-not-found"]
"""What an example may leave out, do again further down its page, or import from another of its files."""


def test_the_examples_of_the_guides_pass_strict_checks(cache, tmp_path):
    files = {}
    for page in PAGES:
        for block in BLOCK.finditer(page.read_text(encoding="utf-8")):
            name = f"{page.stem}_{block['title'] or 'page.py'}".replace("-", "_")
            if block["kind"] == "python" and name.endswith(".py"):
                files[name] = files.get(name, "") + block["body"]
    # Within the files: options of the command line would have the whole package checked again.
    first = f'# mypy: disable-error-code="{",".join(UNTYPED)}"\n'
    for name, code in files.items():
        (tmp_path / name).write_text(first + code, encoding="utf-8")
    report, errors, _ = api.run(
        ["--strict", f"--cache-dir={cache}", *(str(tmp_path / name) for name in files)]
    )
    assert not errors
    assert [line for line in report.splitlines() if ": error:" in line] == []


MISTAKES = [
    ("twice(3)", 'twice("3")'),
    ("one(), int", "one(), str"),
    ("kinds=", "kind="),
    ("RetryOn.TRANSIENT", "RetryOn.TRANSIENTS"),
    ("node_io_handler=rs.InMemoryIOHandler()", "node_io_handler=3"),
    ("tags={", "tag={"),
    ('[first, "2024-01-02", rs', "[3, rs"),
    ('overlap="refuse"', 'overlap="refused"'),
    ('order="reverse"', 'order="backwards"'),
    ("max_failures=0.5", "max_failure=0.5"),
    ('"multi_run")', "3)"),
    ("partition_keys=[first]", 'partition_keys="2024-01-01"'),
    ("partition_keys=[first]", 'partition_keys={"date": "2024-01-01"}'),
]


@pytest.mark.parametrize(("old", "new"), MISTAKES)
def test_a_mistake_is_a_type_error(checked, old, new):
    assert checked(old, new)


def test_basedpyright_accepts_the_program_and_finds_each_mistake(tmp_path):
    """One call for all programs, since the start of the checker takes most of the time."""
    source = PROGRAM.read_text(encoding="utf-8")
    (tmp_path / "right.py").write_text(source, encoding="utf-8")
    for number, (old, new) in enumerate(MISTAKES):
        (tmp_path / f"wrong_{number:02}.py").write_text(source.replace(old, new), encoding="utf-8")
    settings = {
        "include": ["."],
        "extraPaths": [str(Path(rivers.__file__).parents[1])],
        "typeCheckingMode": "strict",
        "reportUnnecessaryIsInstance": False,
    }
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")
    command = [
        sys.executable, "-m", "basedpyright", "--outputjson", "--level", "error",
        "--pythonpath", sys.executable, "--project", str(tmp_path),
    ]  # fmt: skip
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    found = {
        Path(problem["file"]).stem: problem["message"]
        for problem in json.loads(ended.stdout)["generalDiagnostics"]
    }
    assert sorted(found) == [f"wrong_{number:02}" for number in range(len(MISTAKES))], found
