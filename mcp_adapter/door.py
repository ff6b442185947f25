"""The door of the gateway: who may pass, with how much, before a byte of the body is read."""

from __future__ import annotations

import time
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from actors.errors import InvalidRequest, LimitExceeded, Overloaded, ShoalError
from cluster.protocol import CALLER_HEADER
from cluster.service import Service
from mcp_adapter import page, scopes
from mcp_adapter.hosts import Hosts
from mcp_adapter.problems import problem_response
from mcp_adapter.rates import Rates
from mcp_adapter.scopes import Keys

PROBES = ("/healthz", "/readyz")
STREAMED = ("/v1/ingest", "/v1/files", "/v1/files/missing")
BY_TURNS = tuple(
    f"/v1/{name}" for name in ("search", "read", "similar", "symbols", "embed", "embeddings")
)
"""What routers answer: they and the gateway take so many at once, and the rest comes back later."""
LISTENED = "/mcp"
"""A GET of it is an open ear: it asks for nothing, and may stay for hours."""
WITHIN = "shoal.within"
"""Marks what the gateway asks itself on behalf of a caller, whose own request was counted."""
_MAX_CALLER_CHARS = 64
_WAITED_S = "shoal.waited_s"
MAX_BODY_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class Guard:
    """What each request is held against.

    Attributes:
        keys: The tokens that open the door.
        hosts: Names and origins that are allowed; None behind a socket, which no browser reaches.
        rates: How often each caller may ask; None for as often as it likes.
    """

    keys: Keys
    hosts: Hosts | None = None
    rates: Rates | None = None

    def check(self, scope: Scope, headers: Headers) -> None:
        """Let a request pass, and note with it how far its token reaches.

        Raises:
            Forbidden: It came by a wrong name, or its token does not reach so far.
            Overloaded: Too many come.
            Unauthorized: It bears no token, or a wrong one.
        """
        if self.hosts:
            self.hosts.check(headers.get("host", ""), headers.get("origin", ""))
        key = self.keys.find(headers.get("authorization", "").encode("latin-1"))
        if self.rates and WITHIN not in scope:
            self.rates.take((_address(scope), key))
        scopes.check(key, scope)


class Door:
    """Middleware that refuses requests by the guard's rules or for their size, counting the rest.

    Args:
        app: What lies behind.
        service: Told which requests are under way, so that it does not end over them.
        guard: What every request but the probes and the page's files is held against.
    """

    def __init__(self, app: ASGIApp, service: Service, guard: Guard) -> None:
        self._app = app
        self._service = service
        self._guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass, or answer it with the reason why not."""
        if scope["type"] != "http" or scope["path"] in PROBES + page.PATHS:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            self._guard.check(scope, headers)
            _check_size(scope["path"], headers)
        except ShoalError as error:
            await problem_response(error, scope["path"])(scope, receive, send)
            return
        if listens(scope):
            await self._app(scope, receive, send)
            return
        with self._service.in_use():
            if scope["path"] in BY_TURNS and self._service.phase == "ready":
                await self._pass_by_turns(headers, scope, receive, send)
            else:
                await self._app(scope, receive, send)

    async def _pass_by_turns(
        self, headers: Headers, scope: Scope, receive: Receive, send: Send
    ) -> None:
        came = time.monotonic()
        give_up = came + self._service.settings.deadline_s
        try:
            turn = await self._service.admission.turn(
                caller_of(scope),
                int(headers.get("content-length", "0")),
                lambda: give_up - time.monotonic(),
            )
        except (Overloaded, TimeoutError) as error:
            await problem_response(_sent_away(error), scope["path"])(scope, receive, send)
            return
        with turn:
            scope[_WAITED_S] = time.monotonic() - came
            await self._app(scope, receive, send)


def _check_size(path: str, headers: Headers) -> None:
    if path in STREAMED:
        return
    if "transfer-encoding" in headers:
        message = f"send this with a Content-Length; only {', '.join(STREAMED)} take a stream"
        raise InvalidRequest(message)
    length = headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > MAX_BODY_BYTES:
        message = f"the request is over {MAX_BODY_BYTES >> 20} MiB; send less at a time"
        raise LimitExceeded(message)


def listens(scope: Scope) -> bool:
    """Tell whether a request only waits for what may be said: neither use nor time is counted."""
    return bool(scope["path"] == LISTENED and scope["method"] == "GET")


def caller_of(scope: Scope) -> str:
    """Return who asks, as far as is known: the client says it, or its address does."""
    return Headers(scope=scope).get(CALLER_HEADER, _address(scope))[:_MAX_CALLER_CHARS]


def waited_s(scope: Scope) -> float:
    """Return how long a request waited for its turn; its deadline goes by meanwhile."""
    waited: float = scope.get(_WAITED_S, 0.0)
    return waited


def _sent_away(error: Overloaded | TimeoutError) -> Overloaded:
    if isinstance(error, Overloaded):
        return error
    return Overloaded("the turn of this request did not come in time", retry_after_s=1.0)


def _address(scope: Scope) -> str:
    host, _ = scope.get("client") or ("", 0)
    return str(host)
