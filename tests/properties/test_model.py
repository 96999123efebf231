"""Random sequences of verbs over random graphs, in real processes, agree with a plain dictionary."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.properties.model.__main__ import main
from tests.stepped_clock import needs_compiler, preload

import rivers as rs
from rivers.execution import skips
from rivers.execution.context import AssetExecutionContext
from rivers.execution.generators import YieldedOutputs, YieldedPartitions
from rivers.execution.runner import Program
from rivers.io import BaseIOHandler, PickleIOHandler
from rivers.planning import lost_inputs, stale, states

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")

SEQUENCES = int(os.environ.get("MODEL_SEQUENCES", "40"))
"""How many sequences are checked; thousands by the environment variable."""
PARTS = 4


@pytest.mark.timeout(60 + SEQUENCES)
@pytest.mark.parametrize("part", range(PARTS))
def test_every_sequence_agrees_with_the_dictionary(part, capfd):
    count = SEQUENCES // PARTS
    assert main(part * count, count) == 0, capfd.readouterr().out


def lose_no_value(monkeypatch):
    def nothing(own, node):
        made = own.of(node).materialized()
        return made.difference(made)

    monkeypatch.setattr(states.AssetStates, "unavailable", nothing)


def make_no_input_again(monkeypatch):
    monkeypatch.setattr(lost_inputs, "_needed", lambda *_: None)


def follow_no_skip(monkeypatch):
    monkeypatch.setattr(skips, "_skipped_elsewhere", lambda *_: None)


def miss_no_file(monkeypatch):
    monkeypatch.setattr(PickleIOHandler, "_without_file", BaseIOHandler._without_file)


def leave_out_what_needs_itself(monkeypatch):
    monkeypatch.setattr(stale, "within_asset", lambda node, again, _: again)


def retry_nothing(monkeypatch):
    monkeypatch.setattr(rs.RetryPolicy, "wait", lambda *_: None)


def retry_what_was_made(monkeypatch):
    fail = Program.fail

    def repeating(program, step, run, *args, **options):
        before = [own for other in program.layers[run.layer] for own in other.indices]
        fail(program, step, run, *args, **{**options, "repeated": before})

    monkeypatch.setattr(Program, "fail", repeating)


def make_again_what_was_yielded(monkeypatch):
    monkeypatch.setattr(YieldedPartitions, "keep", lambda _: None)


def make_outputs_again(monkeypatch):
    monkeypatch.setattr(YieldedOutputs, "keep", lambda _: None)


def fail_all_outputs(monkeypatch):
    monkeypatch.setattr(YieldedOutputs, "_rest", lambda own: own._step.indices)


def fail_all_partitions(monkeypatch):
    monkeypatch.setattr(YieldedPartitions, "rest", lambda own: own._entered)


def skip_all_outputs(monkeypatch):
    skip = AssetExecutionContext.skip_partition

    def of_all(context, key, why, **_):
        skip(context, key, why)

    monkeypatch.setattr(AssetExecutionContext, "skip_partition", of_all)


PLANTS = {
    lose_no_value: 0, miss_no_file: 0, make_no_input_again: 8, follow_no_skip: 11, leave_out_what_needs_itself: 128,
    retry_nothing: 3, retry_what_was_made: 169, make_again_what_was_yielded: 72, make_outputs_again: 297,
    fail_all_outputs: 10, fail_all_partitions: 6, skip_all_outputs: 5,
}  # fmt: skip
"""Faults, each with the seed of a sequence that finds it."""


@needs_compiler
@pytest.mark.timeout(60 + SEQUENCES)
def test_sequences_agree_while_the_clock_of_the_machine_is_set(tmp_path, monkeypatch):
    preload(tmp_path, monkeypatch)
    first, count = PARTS * SEQUENCES, max(SEQUENCES // 10, 1)
    command = [sys.executable, "-m", "tests.properties.model", str(first), str(count)]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "step").exists()  # The clock was set.


@pytest.mark.parametrize("plant", PLANTS)
def test_a_planted_fault_is_found(plant, monkeypatch, capfd):
    plant(monkeypatch)
    assert main(PLANTS[plant], 1) == 1
    assert "Error" not in capfd.readouterr().out
