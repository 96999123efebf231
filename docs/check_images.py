"""Checks that the built site has each picture that a page shows, of which mkdocs only makes a note."""

import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError


def on_post_build(*, config: Any, **_: Any) -> None:
    """Called by mkdocs once the site is written.

    Raises:
        PluginError: A page shows a picture that is not there.
    """
    for page in Path(config.site_dir).rglob("*.html"):
        for source in re.findall(r'<img[^>]* src="([^":]+)"', page.read_text(encoding="utf-8")):
            if not (page.parent / source).is_file():
                raise PluginError(f"{page} shows {source}, which is not in the site")
