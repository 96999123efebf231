"""The web UI: a page, and the REST interface that it uses, on top of `BackfillClient`.

It needs the extra `rivers[ui]`. `rivers ui` starts it; `create_app` is the ASGI application.
"""

from rivers.ui.app import create_app
from rivers.ui.server import Server

__all__ = ["Server", "create_app"]
