"""What answers at `/mcp`: our MCP server behind the SDK's Streamable HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from mcp.server.streamable_http import check_accept_headers
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from mcp_adapter.door import MAX_BODY_BYTES
from mcp_adapter.http import STATELESS
from mcp_adapter.server import ShoalServer, build_server
from mcp_adapter.within import Within

_BY_THE_DOOR = TransportSecuritySettings(enable_dns_rebinding_protection=False)
"""Hosts and origins are checked there, by rules that the SDK's lists cannot say."""
_MAX_SESSIONS = 1_000
"""An idle one takes 31 kB."""


def opened(gateway: FastAPI) -> AbstractAsyncContextManager[ASGIApp]:
    """Serve our tools over a gateway's application."""
    compatibility = gateway.state.service.settings.mcp_compatibility
    return serving(build_server(Within(gateway), compatibility=compatibility))


def serving(
    server: ShoalServer,
    **in_sessions: Any,  # noqa: ANN401 - the SDK's
) -> AbstractAsyncContextManager[ASGIApp]:
    """Serve a server, in every way that a client may want; yields the application.

    Args:
        server: What answers.
        in_sessions: What sessions have besides, as `MCPServer.streamable_http_app` takes it.
    """

    def manager(**options: Any) -> StreamableHTTPSessionManager:  # noqa: ANN401
        server.streamable_http_app(
            transport_security=_BY_THE_DOOR, max_request_body_size=MAX_BODY_BYTES, **options
        )
        return server.session_manager

    return _Ways(
        sessions=manager(max_sessions=_MAX_SESSIONS, **in_sessions),
        stateless=manager(stateless_http=True),
        plain=manager(stateless_http=True, json_response=True),
    ).running()


@dataclass(frozen=True, slots=True)
class _Ways:
    """The ways to be answered.

    Attributes:
        sessions: For handshakes that open one; where the era has none, each request by itself.
        stateless: Each request by itself in both eras, so that any gateway can answer the next.
        plain: For who takes no event streams: one JSON document for each request, by itself.
    """

    sessions: StreamableHTTPSessionManager
    stateless: StreamableHTTPSessionManager
    plain: StreamableHTTPSessionManager

    @asynccontextmanager
    async def running(self) -> AsyncIterator[ASGIApp]:
        async with AsyncExitStack() as all_of_them:
            for way in (self.sessions, self.stateless, self.plain):
                await all_of_them.enter_async_context(way.run())
            yield self._answer

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._wanted(scope).handle_request(scope, receive, send)

    def _wanted(self, scope: Scope) -> StreamableHTTPSessionManager:
        takes_json, takes_events = check_accept_headers(Request(scope))
        if scope["method"] == "POST" and takes_json and not takes_events:
            return self.plain
        return self.stateless if scope["path"] == STATELESS else self.sessions
