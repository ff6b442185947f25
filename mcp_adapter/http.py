"""MCP over Streamable HTTP: `/mcp` in the gateway's own application.

Nothing of the MCP SDK is imported before the first request comes: that takes most of a second and
some 40 MB, and most gateways are never asked for MCP over HTTP.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib import import_module

from fastapi import FastAPI
from starlette.requests import ClientDisconnect, Request
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcp_adapter.within import Asking, heard, on_behalf_of

SESSIONS = "/mcp"
STATELESS = "/mcp/stateless"

Opened = AbstractAsyncContextManager[ASGIApp]
Opens = Callable[[FastAPI], Opened]
"""Makes the application that speaks MCP; its argument is that of `McpEndpoint`."""


def open_lazily(gateway: FastAPI) -> Opened:
    """Return what `mcp_adapter.streamable` serves, which is imported now."""
    opened: Opened = import_module("mcp_adapter.streamable").opened(gateway)
    return opened


class McpEndpoint:
    """Speaks MCP once somebody asks for it; an ASGI application.

    Args:
        gateway: The gateway's application, which the tools ask.

    Attributes:
        opens: Makes what answers, at the first request.
    """

    def __init__(self, gateway: FastAPI) -> None:
        self.opens: Opens = open_lazily
        self._gateway = gateway
        self._opening: asyncio.Task[ASGIApp] | None = None
        self._serving: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    @property
    def routes(self) -> list[Route]:
        """Where it answers: with sessions for those who open one, and without."""
        return [Route(SESSIONS, self), Route(STATELESS, self, methods=["POST"])]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; one whose caller leaves is not worked on any more."""
        try:
            body = await Request(scope, receive).body()
        except ClientDisconnect:
            return
        answer = await self._opened()
        async with _watched(receive) as left:
            with on_behalf_of(Asking(scope, left)):
                await _to_its_end(answer, scope, heard(body, left), send)

    async def close(self) -> None:
        """End all sessions."""
        self._closing.set()
        if self._serving:
            await self._serving

    async def _opened(self) -> ASGIApp:
        """Return what answers, made once for however many wait."""
        opening = self._opening = self._opening or asyncio.create_task(self._open())
        try:
            return await asyncio.shield(opening)
        except Exception:
            if self._opening is opening:
                self._opening = None  # the next request tries again
            raise

    async def _open(self) -> ASGIApp:
        made: asyncio.Future[ASGIApp] = asyncio.get_running_loop().create_future()
        self._serving = asyncio.create_task(self._serve(made))
        return await made

    async def _serve(self, made: asyncio.Future[ASGIApp]) -> None:
        """Hold it open: the task that opens it has to be the one that closes it."""
        try:
            opened = await asyncio.to_thread(self.opens, self._gateway)
            async with opened as answer:
                made.set_result(answer)
                await self._closing.wait()
        except Exception as error:
            if made.done():
                raise
            made.set_exception(error)


@asynccontextmanager
async def _watched(receive: Receive) -> AsyncIterator[asyncio.Event]:
    """Yield what is set once a caller whose request has been read is gone."""
    left = asyncio.Event()

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        left.set()

    watching = asyncio.create_task(watch())
    try:
        yield left
    finally:
        watching.cancel()


async def _to_its_end(answer: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer, and end what the SDK leaves open: a stream that is cut as the gateway ends."""
    is_open = False

    async def noted(message: Message) -> None:
        nonlocal is_open
        is_open = message["type"] == "http.response.start" or message.get("more_body", False)
        await send(message)

    await answer(scope, receive, noted)
    if is_open:
        await send({"type": "http.response.body"})
