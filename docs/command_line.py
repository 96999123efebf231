"""Makes the page of the reference about commands from their help, while the site is built."""

from typing import Any

import click

from rivers.cli.app import app

PAGE = "reference/command-line.md"


def text() -> str:
    """Returns the page."""
    context = click.Context(app, info_name="rivers")
    parts = [_section("rivers", app, context)]
    for name in app.list_commands(context):
        command = app.get_command(context, name)
        inner = click.Context(command, info_name=name, parent=context)
        parts.append(_section(f"rivers {name}", command, inner))
        if isinstance(command, click.Group):
            for below in command.list_commands(inner):
                found = command.get_command(inner, below)
                deeper = click.Context(found, info_name=below, parent=inner)
                parts.append(_section(f"rivers {name} {below}", found, deeper))
    return "\n".join(parts)


def _section(title: str, command: click.Command, context: click.Context) -> str:
    context.max_content_width = 100
    return f"## {title}\n\n```text\n{command.get_help(context)}\n```\n"


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Called by mkdocs with each page before it is rendered."""
    return f"{markdown}\n{text()}" if page.file.src_uri == PAGE else markdown
