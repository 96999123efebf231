"""The types of the page's scripts, which are written as comments."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import rivers

COMPILER = shutil.which("tsc")


@pytest.mark.skipif(
    COMPILER is None and os.environ.get("CI") != "true", reason="needs Debian's node-typescript"
)
def test_the_scripts_have_the_types_that_they_declare():
    assert COMPILER is not None
    scripts = sorted((Path(rivers.__file__).parent / "ui" / "static").glob("*.js"))
    assert len(scripts) > 5
    options = ["--noEmit", "--checkJs", "--allowJs", "--strict", "--target", "es2022", "--module", "es2022",
               "--moduleResolution", "node", "--lib", "es2022,dom,dom.iterable"]  # fmt: skip
    checked = subprocess.run(
        [COMPILER, *options, *map(str, scripts)], capture_output=True, text=True, check=False
    )
    assert checked.stdout == ""
    assert checked.returncode == 0
