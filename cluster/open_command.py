"""`shoal open`: the page, in a browser of this machine."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Annotated

import typer

from actors.errors import InvalidRequest
from cluster.settings import Settings
from cluster.shell import client, with_settings


@with_settings
def open_page(
    settings: Settings,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of this machine; 0 takes a free one.")
    ] = 0,
) -> None:
    """Print the address of the gateway's page; where needed, serve it here until Ctrl-C."""
    from cluster import daemon  # noqa: PLC0415
    from cluster.opening import page_address, pass_on  # noqa: PLC0415

    if settings.url:
        typer.echo(page_address(settings.url, settings.token.get_secret_value()))
        return
    client(settings).close()  # starts this machine's gateway, and shows how far that is
    endpoint = daemon.find_or_start(settings)
    if endpoint.socket is None:
        typer.echo(page_address(endpoint.url, endpoint.token))
        return

    def listening(url: str) -> None:
        typer.echo(page_address(url, endpoint.token))
        typer.echo("open it in a browser of this machine; Ctrl-C ends it", err=True)

    with contextlib.suppress(KeyboardInterrupt):
        try:
            asyncio.run(pass_on(endpoint.socket, port, listening))
        except OSError as error:
            message = f"port {port} is taken ({error.strerror}); name another with --port"
            raise InvalidRequest(message) from error
