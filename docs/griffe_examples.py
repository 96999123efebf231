"""How docstrings are read for the reference: `Example:` begins a section, too."""

import re

import griffe

_EXAMPLE = re.compile(r"^Example:$", re.MULTILINE)


class Examples(griffe.Extension):
    """Google style knows only `Examples:` as a section."""

    def on_object(self, *, obj: griffe.Object, **_: object) -> None:
        """Called for each object that was read."""
        if obj.docstring is not None:
            obj.docstring.value = _EXAMPLE.sub("Examples:", obj.docstring.value)
