"""How docstrings are read for the reference: an example is one, and references to our own papers go."""

import re

import griffe

_EXAMPLE = re.compile(r"^Example:$", re.MULTILINE)
_PAPERS = re.compile(r'\s\((?:API page, "[^"]*"(?:; )?)?(?:SEMANTICS [\d, to and]+)?\)')


class Examples(griffe.Extension):
    """Google style knows only `Examples:` as a section."""

    def on_object(self, *, obj: griffe.Object, **_: object) -> None:
        """Called for each object that was read."""
        if obj.docstring is not None:
            text = _EXAMPLE.sub("Examples:", obj.docstring.value)
            obj.docstring.value = _PAPERS.sub("", text)
