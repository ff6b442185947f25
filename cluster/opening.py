"""How a browser comes to the gateway's page: its address, and a way to a gateway without one.

This machine's gateway listens on a socket that no browser opens. For as long as somebody wants the
page, bytes go to and fro between a port of the loopback interface and that socket; the token that
every request must bear keeps out whoever else is on this machine.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from socket import create_server
from urllib.parse import quote

_PIECE = 1 << 16
_LOOPBACK = "127.0.0.1"


def page_address(url: str, token: str) -> str:
    """Return the page's address; browsers keep what is behind the "#" to themselves."""
    return f"{url.rstrip('/')}/#token={quote(token, safe='')}"


async def pass_on(socket: str, port: int, on_listening: Callable[[str], None]) -> None:
    """Pass on what comes to a port of the loopback interface, until cancelled.

    Args:
        socket: Path of the Unix socket that it is passed to.
        port: Where to listen; 0 for any free port.
        on_listening: Told the URL.

    Raises:
        OSError: The port is taken.
    """
    listener = create_server((_LOOPBACK, port))
    async with asyncio.TaskGroup() as connections:

        def connected(here: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
            connections.create_task(_between(here, back, socket))

        server = await asyncio.start_server(connected, sock=listener)
        try:
            on_listening(f"http://{_LOOPBACK}:{listener.getsockname()[1]}")
            await asyncio.Event().wait()
        finally:
            server.close()


async def _between(here: asyncio.StreamReader, back: asyncio.StreamWriter, socket: str) -> None:
    """Pass on bytes until one side hangs up; then the other is to know, and withdraws a search."""
    try:
        there, forth = await asyncio.open_unix_connection(socket)
    except OSError:  # no gateway: the browser sees a connection that closes
        back.close()
        return
    ways = [asyncio.create_task(_copy(here, forth)), asyncio.create_task(_copy(there, back))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        for writer in (forth, back):
            writer.close()
        closed = (forth.wait_closed(), back.wait_closed())
        await asyncio.gather(*ways, *closed, return_exceptions=True)


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await source.read(_PIECE):
            target.write(piece)
            await target.drain()
