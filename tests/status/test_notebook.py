"""Results in a real notebook; text of the user never becomes markup."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

import rivers as rs

SCRIPT = Path(__file__).parent / "scripts" / "notebook.py"
GRID = rs.PartitionsDefinition.multi(
    {
        "date": rs.PartitionsDefinition.daily("2024-01-01", end="2024-01-11"),
        "<region>": rs.PartitionsDefinition.static_(["u&s", '"eu"', "<b>asia</b>"]),
    }
)


def parsed(html):
    """Parses the output, which fails unless it is well formed."""
    return ET.fromstring(f"<div>{html}</div>")


def texts(html):
    return [text for element in parsed(html).iter() if (text := element.text)]


@pytest.fixture
def failed(repo):
    @rs.Asset(partitions_def=GRID)
    def odd(context):
        if "<b>" in context.partition_key:
            raise ValueError("</td><script>alert(1)</script>")

    repository = repo(odd)
    return repository, repository.backfill(partition_keys=GRID.select())


def test_a_result_is_shown_with_its_counts_and_a_map(failed):
    _, result = failed
    html = result._repr_html_()
    found = texts(html)
    assert "20 completed, 10 failed" in found
    assert "rows: <region>; columns: date" in found
    cells = [element for element in parsed(html).iter() if element.tag.endswith("rect")]
    assert len(cells) == 30
    assert len({cell.get("fill") for cell in cells}) == 2
    titles = [cell[0].text for cell in cells]
    assert titles[:2] == ["u&s, 2024-01-01: 1 completed", "u&s, 2024-01-02: 1 completed"]
    assert titles[-1] == "<b>asia</b>, 2024-01-10: 1 failed"


def test_a_status_is_shown_and_nothing_of_a_user_becomes_markup(failed):
    repository, result = failed
    html = repository.get_backfill(result.backfill_id)._repr_html_()
    assert any("</td><script>alert(1)</script>" in text for text in texts(html))
    assert not [element for element in parsed(html).iter() if element.tag in ("script", "b")]


def test_a_dry_run_and_an_empty_backfill_have_no_map(failed):
    repository, _ = failed
    planned = repository.backfill(partition_keys=GRID.select(), dry_run=True)
    assert "30 partitions in 30 runs" in texts(planned._repr_html_())
    done = GRID.select(**{"<region>": ["u&s"]})
    empty = repository.backfill(partition_keys=done, only_missing=True)
    assert "0 completed" in texts(empty._repr_html_())
    for result in (planned, empty):
        assert "<svg" not in result._repr_html_()


def test_a_map_of_many_partitions_is_small(repo):
    side = rs.PartitionsDefinition.static_([f"k{number}" for number in range(2000)])

    def shown(keys):
        big = rs.PartitionsDefinition.multi({"left": side, "right": side})
        repository = repo(rs.Asset(lambda: None, name="x", partitions_def=big))
        strategy = rs.BackfillStrategy.single_run()
        chosen = big.select(left=keys)
        return repository.backfill(partition_keys=chosen, strategy=strategy)._repr_html_()

    for last in ("k499", "k1999"):
        html = shown(("k0", last))
        assert "<svg" in html
        assert len(html) < 200_000


def test_a_pickled_result_carries_no_table(failed):
    _, result = failed
    again = pickle.loads(pickle.dumps(result))
    assert again == result
    assert "<svg" not in again._repr_html_()


CELLS = [
    """
import time, rivers as rs
numbers = rs.PartitionsDefinition.static_([str(number) for number in range(12)])
seen = []

@rs.Asset(partitions_def=numbers)
def slow(context):
    while context.partition_key == "8" and len(seen) < 3:
        time.sleep(0.01)

repo = rs.CodeRepository([slow]).resolve(rs.Storage.memory())
everything = rs.PartitionKeyRange.single("0", "11")

from rivers.status import progress
look = progress.NotebookLine.update
def update(line):  # Signals that the line has been shown.
    look(line)
    seen.append(line._text())
progress.NotebookLine.update = update
""",
    "result = repo.backfill(partition_range=everything, max_concurrency=1)\nprint(seen[-1])",
    "result",
    "repo.get_backfill(result.backfill_id)",
]


def test_a_notebook_shows_progress_and_results(tmp_path):
    done = subprocess.run(
        [sys.executable, SCRIPT], cwd=tmp_path, input=json.dumps(CELLS), capture_output=True,
        encoding="utf-8", timeout=100, check=False,
        env={name: text for name, text in os.environ.items() if not name.startswith("RIVERS_")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    _, waited, result, status = json.loads(done.stdout)
    (line,) = [output for output in waited if output["output_type"] == "display_data"]
    assert line["data"]["text/html"] == "", "it is taken away at the end"
    (told,) = [output["text"] for output in waited if output["output_type"] == "stream"]
    assert "8/12, 0 failed, 1 in flight, " in told
    for outputs in (result, status):
        (shown,) = outputs
        assert "12 completed" in texts(shown["data"]["text/html"])
        assert "<svg" in shown["data"]["text/html"]
