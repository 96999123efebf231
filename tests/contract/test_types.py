"""What type checkers say about a user's program."""

import re
from pathlib import Path

import pytest
from mypy import api
from tests.contract import typed_program

import rivers

PROGRAM = Path(typed_program.__file__)


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    """Runs mypy strictly on a program, in which some text may be replaced."""
    folder = tmp_path_factory.mktemp("program")

    def check(old="", new=""):
        source = PROGRAM.read_text(encoding="utf-8")
        assert old in source
        program = folder / "program.py"
        program.write_text(source.replace(old, new), encoding="utf-8")
        report, errors, _ = api.run(["--strict", f"--cache-dir={folder}", str(program)])
        assert not errors
        return re.findall(r"program\.py:\d+: error: (.*)", report)

    return check


def test_the_program_runs():
    assert typed_program.main()


def test_the_package_says_that_it_is_typed():
    assert Path(rivers.__file__).with_name("py.typed").exists()


def test_the_program_passes_strict_checks(checked):
    assert checked() == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("twice(3)", 'twice("3")'),
        ("one(), int", "one(), str"),
        ("kinds=", "kind="),
        ("RetryOn.TRANSIENT", "RetryOn.TRANSIENTS"),
        ("node_io_handler=rs.InMemoryIOHandler()", "node_io_handler=3"),
        ("tags={", "tag={"),
    ],
)
def test_a_mistake_is_a_type_error(checked, old, new):
    assert checked(old, new)
