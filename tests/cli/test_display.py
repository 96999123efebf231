"""Words of the command line: every remedy of an error is worded as commands."""

import logging

import pytest

from rivers import exceptions
from rivers.cli import display

VERBS = list(exceptions._REMEDIES)


@pytest.mark.parametrize("verb", VERBS)
def test_every_remedy_is_worded_as_commands(verb):
    text = display.remedy_text((verb, "0190"))
    assert "'rivers " in text
    assert "_backfill" not in text
    assert "backfills()" not in text


def test_the_command_line_words_no_other_remedies():
    assert sorted(display._REMEDIES) == sorted(VERBS)


def test_an_error_is_printed_with_its_remedy(capsys):
    display.say_error(exceptions.ExecutionError("it [died]", remedy=("resume", "0190")))
    told = capsys.readouterr().err
    assert told == "error: it [died]; continue it with 'rivers resume 0190'\n"


def test_an_interruption_that_the_library_logs_is_worded_as_commands(capsys):
    record = logging.LogRecord(
        "rivers", logging.WARNING, "", 0, "resume_backfill('0190')", (), None
    )
    record.remedy = ("resume", "0190")
    display.warnings.emit(record)
    told = capsys.readouterr().err
    assert "'rivers resume 0190', or end it with 'rivers cancel 0190'" in told
    assert "resume_backfill" not in told
