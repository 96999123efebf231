"""How a strategy shows itself."""

import pytest

from rivers import BackfillStrategy

SHOWN = {
    "BackfillStrategy.multi_run()": BackfillStrategy.multi_run(),
    "BackfillStrategy.single_run()": BackfillStrategy.single_run(),
    "BackfillStrategy.chunked(100)": BackfillStrategy.chunked(100),
    'BackfillStrategy.per_dimension(multi_run=["a"], single_run=["b", "c"])': (
        BackfillStrategy.per_dimension(["a"], ["b", "c"])
    ),
    'BackfillStrategy.per_dimension(multi_run=["a\\"b"], single_run=["é"])': (
        BackfillStrategy.per_dimension(['a"b'], ["é"])
    ),
}


@pytest.mark.parametrize("text", SHOWN)
def test_a_repr_names_the_factory_and_evaluates_back(text):
    assert repr(SHOWN[text]) == text
    assert eval(text) == SHOWN[text]
    assert BackfillStrategy.parse(text) == SHOWN[text]
