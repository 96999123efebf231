"""The examples of the README and of the pages under docs/ run, each page in its own process.

A page becomes a script with the same line numbers, so that a traceback points into the page:

* A `python` block runs, in one namespace with the others of its page. With `title="sales.py"` it
  becomes that file instead.
* In a `console` block, lines that begin with `$` go to bash; the other lines are their output.
* A `text` block right below a `python` block is its output. `...` matches anything.
"""

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import rivers as rs

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(
    r'^```(?P<kind>python|console)(?: title="(?P<title>[^"\n]+)")?\n(?P<body>.*?)^```$'
    r"(?:\n+```text\n(?P<printed>.*?)^```$)?",
    re.DOTALL | re.MULTILINE,
)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
MARK = "\x1e"


def script_of(text):
    """Returns the page's script, which prints a mark after each block, and the output of each block."""
    lines = [""] * text.count("\n")
    expected = []
    for block in BLOCK.finditer(text):
        body, title = block["body"], block["title"]
        first = text.count("\n", 0, block.start("body"))
        last = first + body.count("\n")
        printed = block["printed"]
        run = ""
        if block["kind"] == "console":
            commands = "".join(re.findall(r"^\$ (.*\n)", body, re.MULTILINE))
            printed = re.sub(r"^\$ .*\n", "", body, flags=re.MULTILINE)
            run = f"__import__('subprocess').run(['bash', '-c', {commands!r}], stderr=-2); "
        elif title:
            run = f"__import__('pathlib').Path({title!r}).write_text({body!r}); "
        else:
            lines[first:last] = body.splitlines()
        lines[last] = f"{run}print(end={MARK!r}, flush=True)"
        expected.append((first, printed))
    return "\n".join(lines), expected


def has_examples(page):
    return BLOCK.search(page.read_text(encoding="utf-8")) is not None


@pytest.mark.parametrize(
    "page", list(filter(has_examples, PAGES)), ids=lambda page: str(page.relative_to(ROOT))
)
def test_the_examples_of_a_page_run(page, tmp_path):
    code, expected = script_of(page.read_text(encoding="utf-8"))
    script = tmp_path / "page.py"
    script.write_text(code, encoding="utf-8")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    settings = {name: text for name, text in os.environ.items() if not name.startswith("RIVERS_")}
    done = subprocess.run(
        [sys.executable, "-X", "utf8", script],
        cwd=tmp_path,
        env={**settings, "PATH": path},
        capture_output=True,
        encoding="utf-8",
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, f"{page}:\n{done.stdout}\n{done.stderr}"
    for (line, wanted), got in zip(expected, done.stdout.split(MARK), strict=False):
        if wanted is not None:
            assert doctest.OutputChecker().check_output(wanted, got, FLAGS), (
                f"{page}, line {line}, should print\n{wanted}\nand prints\n{got}"
            )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_example_of_a_page_is_passed_over(page):
    text = page.read_text(encoding="utf-8")
    fences = re.findall(r"^\s*(?:```|~~~)\s*(?:python|console|py|bash)\b", text, re.MULTILINE)
    assert len(list(BLOCK.finditer(text))) == len(fences), "an example must stand at the margin"


def test_a_page_that_prints_something_else_is_noticed():
    code, expected = script_of('# A page\n\n```python\nprint("a")\n```\n\n```text\nb\n```\n')
    assert code.splitlines()[3] == 'print("a")'
    assert expected == [(3, "b\n")]


def test_everything_public_stands_in_the_reference():
    pages = "".join(page.read_text() for page in (ROOT / "docs" / "reference").glob("*.md"))
    named = {name.rpartition(".")[2] for name in re.findall(r"^::: ([\w.]+)", pages, re.MULTILINE)}
    assert set(rs.__all__) - named == set()


def test_the_links_of_the_readme_work_wherever_it_is_shown():
    # A package index shows it without the files around it.
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)\s]+)", text)
    assert [target for target in targets if not target.startswith(("https://", "#"))] == []


def test_the_readme_has_examples():
    assert has_examples(ROOT / "README.md")
