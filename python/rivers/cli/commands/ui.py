"""The command that starts the web UI."""

import sys

import click

from rivers.cli.display import output
from rivers.cli.load import load_repository
from rivers.cli.options import storage_option
from rivers.cli.settings import open_client, open_storage
from rivers.exceptions import ConfigurationError


@click.command(epilog="Example: rivers ui flights.py")
@click.argument("module", required=False)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; others can reach 0.0.0.0.",
)
@click.option("--port", type=click.IntRange(0, 65535), help="Port; by default 8321 or a free one.")
@click.option("--read-only", is_flag=True, help="Show everything and change nothing.")
@click.option("--no-browser", is_flag=True, help="Print the link without opening it.")
@storage_option
def ui(
    module: str | None,
    host: str,
    port: int | None,
    read_only: bool,
    no_browser: bool,
    storage: str | None,
) -> None:
    """Show and control backfills in a web page.

    The link that is printed opens the page in one browser; its token is also that of scripts. MODULE is
    needed to launch, rerun and resume: FILE.py or a module, as MODULE:NAME if it has several repositories.
    """
    try:
        from rivers.ui import Server  # noqa: PLC0415  (an extra)
    except ImportError as error:
        raise ConfigurationError(
            f"the web UI needs an extra: pip install 'rivers[ui]' ({error.name} is missing)"
        ) from None

    if module is None:
        _serve(Server(open_client(storage), host=host, port=port, read_only=read_only), no_browser)
        return
    from rivers.client import BackfillClient  # noqa: PLC0415
    from rivers.repository.internals import abandon  # noqa: PLC0415

    repository = load_repository(module, open_storage(storage))
    client = BackfillClient(repository.storage)
    server = Server(
        client, repository=repository, module=module, host=host, port=port, read_only=read_only
    )
    try:
        _serve(server, no_browser)
    finally:
        # What runs in this process can be resumed; it is not waited for.
        abandon(repository)


def _serve(server: "object", no_browser: bool) -> None:
    from rivers.ui import Server  # noqa: PLC0415

    assert isinstance(server, Server)  # noqa: S101
    output.print(server.link, soft_wrap=True, markup=False, highlight=False)
    output.print("Press Ctrl-C to end.", highlight=False)
    sys.stdout.flush()
    if not no_browser and sys.stdout.isatty():
        import webbrowser  # noqa: PLC0415  (the help of all commands starts faster without it)

        webbrowser.open(server.link)
    server.run()


COMMANDS = {"ui": ui}
