"""Random sequences of verbs over random graphs, in real processes, agree with a plain dictionary."""

import os

import pytest
from tests.properties.model.__main__ import main

from rivers.execution import skips
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


PLANTS = {
    lose_no_value: 0, miss_no_file: 5, make_no_input_again: 88, follow_no_skip: 11, leave_out_what_needs_itself: 128,
}  # fmt: skip
"""Faults, each with the seed of a sequence that finds it."""


@pytest.mark.parametrize("plant", PLANTS)
def test_a_planted_fault_is_found(plant, monkeypatch, capfd):
    plant(monkeypatch)
    assert main(PLANTS[plant], 1) == 1
    assert "Error" not in capfd.readouterr().out
