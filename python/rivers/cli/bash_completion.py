"""Completion in bash, for which a colon ends a word: `flights.py:da` is three words there."""

from __future__ import annotations

import os

from click.shell_completion import BashComplete, CompletionItem, add_completion_class
from click.shell_completion import split_arg_string as split


class Bash(BashComplete):
    """Puts words together again that bash took apart at colons, and completes what follows the last colon."""

    _given_before = ""

    def get_completion_args(self) -> tuple[list[str], str]:
        """Returns the words before the one that is being typed, and this one."""
        typed = split(os.environ["COMP_WORDS"])[: int(os.environ["COMP_CWORD"]) + 1]
        words: list[str] = []
        follows_colon = False
        for word in typed:
            if words and (word == ":" or follows_colon):
                words[-1] += word
            else:
                words.append(word)
            follows_colon = word == ":"
        is_new_word = len(typed) <= int(os.environ["COMP_CWORD"]) and not follows_colon
        incomplete = "" if is_new_word else words.pop()
        if ":" in typed:
            self._given_before = incomplete[: incomplete.rfind(":") + 1]
        return words[1:], incomplete

    def format_completion(self, item: CompletionItem) -> str:
        """Returns the line for an item."""
        item.value = item.value.removeprefix(self._given_before)
        return super().format_completion(item)


def register() -> None:
    """Lets click complete in bash with this."""
    add_completion_class(Bash)
