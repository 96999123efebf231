"""Each Python example of the README runs, on its own and in a fresh process."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"
FENCE = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def examples():
    text = README.read_text(encoding="utf-8")
    for match in FENCE.finditer(text):
        line = text.count("\n", 0, match.start(1)) + 1
        yield pytest.param(match[1], line, id=f"line-{line}")


@pytest.mark.parametrize(("code", "line"), list(examples()))
def test_readme_example_runs(code, line, tmp_path):
    script = tmp_path / "example.py"
    # With as many empty lines before it, a traceback has the README's line numbers.
    script.write_text("\n" * (line - 1) + code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-X", "utf8", script],
        cwd=tmp_path,
        env={**os.environ, "RIVERS_STORAGE": "memory"},
        capture_output=True,
        encoding="utf-8",
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, f"README.md, line {line}:\n{done.stdout}\n{done.stderr}"


def test_readme_has_examples():
    assert list(examples())
