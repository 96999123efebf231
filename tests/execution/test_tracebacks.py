"""Tracebacks as texts: those of Python, whether they were formatted before or not."""

import traceback

import pytest

from rivers.execution.tracebacks import traceback_of


class OwnError(Exception):
    pass


class UnprintableError(Exception):
    def __str__(self):
        raise RuntimeError


def chained():
    try:
        raise OSError("first")  # noqa: TRY301
    except OSError as error:
        raise ValueError("second") from error


def noted():
    error = ValueError("one")
    error.add_note("a note")
    raise error


def deep(levels=80):
    if levels:
        deep(levels - 1)
    raise ValueError("deep")


def raising(error):
    def function():
        raise error()

    return function


CASES = {
    "plain": raising(lambda: ValueError("x")),
    "no message": raising(ValueError),
    "several lines": raising(lambda: ValueError("one\ntwo")),
    "own class": raising(lambda: OwnError("x")),
    "key": raising(lambda: KeyError("x")),
    "unprintable": raising(UnprintableError),
    "exit": raising(SystemExit),
    "name": lambda: strr,  # type: ignore[name-defined]  # noqa: F821
    "attribute": lambda: "".splitt,  # type: ignore[attr-defined]
    "syntax": lambda: compile("a b", "file", "exec"),
    "group": raising(lambda: ExceptionGroup("several", [ValueError("x")])),
    "chained": chained,
    "noted": noted,
    "deep": deep,
}


@pytest.mark.parametrize("function", CASES.values(), ids=CASES)
def test_the_text_is_that_of_the_standard_library(function):
    for _ in range(2):
        with pytest.raises(BaseException) as caught:  # noqa: PT011
            function()
        error = caught.value
        assert traceback_of(error) == "".join(traceback.format_exception(error))


def test_two_places_in_one_function_differ():
    def function(first):
        if first:
            raise ValueError("x")
        raise ValueError("x")

    texts = []
    for first in (True, False, True):
        with pytest.raises(ValueError) as caught:  # noqa: PT011
            function(first)
        texts.append(traceback_of(caught.value))
    assert texts[0] == texts[2] != texts[1]
