"""The page of the documentation about commands is made from their help."""

import importlib.util
from pathlib import Path

import click

from rivers.cli.app import app

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_has_the_help_of_each_command():
    spec = importlib.util.spec_from_file_location("command_line", DOCS / "command_line.py")
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    text = made.text()
    for name in app.list_commands(click.Context(app)):
        assert f"## rivers {name}\n" in text
    assert "## rivers db check" in text
    assert "--keep-logs" in text
