"""The options of the run queue's configuration."""

import pytest

from rivers import RunQueueConfig
from rivers.exceptions import ConfigurationError


def test_defaults():
    config = RunQueueConfig()
    assert (config.max_concurrent_runs, config.tag_concurrency_limits) == (10, [])
    assert (config.dequeue_interval, config.start_timeout) == ("250ms", "180s")


@pytest.mark.parametrize("text", ["250ms", "30s", "5m", "1h30m", "1h30m15s500ms", "1.5s", "2d12h"])
def test_a_duration_is_kept_as_it_was_given(text):
    config = RunQueueConfig(10, [], text, start_timeout=text)
    assert (config.dequeue_interval, config.start_timeout) == (text, text)


@pytest.mark.parametrize("option", ["dequeue_interval", "start_timeout"])
@pytest.mark.parametrize("given", ["", "5", "soon", "5 m", "m5", "30m1h", "-5s", "5y", 5, None])
def test_anything_else_is_refused_by_name(option, given):
    with pytest.raises(ConfigurationError, match=option) as refused:
        RunQueueConfig(**{option: given})
    assert isinstance(refused.value, ValueError)


def test_the_docstring_says_that_the_durations_change_nothing():
    assert "change nothing" in RunQueueConfig.__doc__
