"""Serves our application for the tests that others wrote, on a port that it prints.

`python serve.py plain` has our tools alone, `python serve.py` also what the conformance suite looks
for; tests/mcp_adapter has to be on the PYTHONPATH. Both add the token for callers without one, so
that the door is passed as always.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import warnings

import fixtures
import rounds
from canned import TOKEN, CannedService, guard, served
from mcp.shared.exceptions import MCPDeprecationWarning
from starlette.types import ASGIApp, Receive, Scope, Send

from mcp_adapter.app import create_app
from mcp_adapter.server import build_server
from mcp_adapter.streamable import serving
from mcp_adapter.within import Within

_RETRY_MS = 100


def application(name: str) -> ASGIApp:
    """Return our application, with what the suite looks for unless it is to be plain."""
    app = create_app(CannedService(), guard(), lambda: None)
    if name != "plain":
        app.state.mcp.opens = _equipped
    return _bearing_the_token(app)


def _equipped(gateway):
    server = build_server(Within(gateway))
    fixtures.equip(server)
    rounds.equip(server)
    return serving(server, event_store=fixtures.Events(), retry_interval=_RETRY_MS)


def _bearing_the_token(app: ASGIApp) -> ASGIApp:
    async def bear(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            token = (b"authorization", f"Bearer {TOKEN}".encode())
            scope = {**scope, "headers": [*scope["headers"], token]}
        await app(scope, receive, send)

    return bear


async def _serve(name: str) -> None:
    async with served(application(name)) as url:
        print(url, flush=True)  # noqa: T201
        await asyncio.Event().wait()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    warnings.simplefilter("ignore", MCPDeprecationWarning)
    asyncio.run(_serve(*sys.argv[1:] or ["equipped"]))
