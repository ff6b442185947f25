"""The door of the gateway: who may pass, with how much, before a byte of the body is read."""

from __future__ import annotations

import hmac
import time
from contextlib import AsyncExitStack

from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from actors.errors import InvalidRequest, LimitExceeded, Overloaded, ShoalError, Unauthorized
from actors.origin import current
from cluster.protocol import CALLER_HEADER, Problem
from cluster.service import Service

PROBES = ("/healthz", "/readyz")
STREAMED = ("/v1/ingest", "/v1/files", "/v1/files/missing")
BY_TURNS = ("/v1/search", "/v1/embed")
"""What routers answer: they and the gateway take so many at once, and the rest comes back later."""
_MAX_CALLER_CHARS = 64
_WAITED_S = "shoal.waited_s"
MAX_BODY_BYTES = 8 << 20


class Door:
    """Middleware that refuses requests without the token or over the size, and counts the rest.

    Args:
        app: What lies behind.
        service: Told which requests are under way, so that it does not end over them.
        token: What every request but the probes must bear.
    """

    def __init__(self, app: ASGIApp, service: Service, token: str) -> None:
        self._app = app
        self._service = service
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass, or answer it with the reason why not."""
        if scope["type"] != "http" or scope["path"] in PROBES:
            await self._app(scope, receive, send)
            return
        try:
            self._check(scope["path"], Headers(scope=scope))
        except ShoalError as error:
            await problem_response(error)(scope, receive, send)
            return
        with self._service.in_use():
            if scope["path"] in BY_TURNS and self._service.phase == "ready":
                await self._pass_by_turns(scope, receive, send)
            else:
                await self._app(scope, receive, send)

    async def _pass_by_turns(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        came = time.monotonic()
        give_up = came + self._service.settings.deadline_s
        async with AsyncExitStack() as inside:
            try:
                turn = self._service.admission.turn(
                    caller_of(scope),
                    int(headers.get("content-length", "0")),
                    lambda: give_up - time.monotonic(),
                )
                await inside.enter_async_context(turn)
            except (Overloaded, TimeoutError) as error:
                await problem_response(_sent_away(error))(scope, receive, send)
            else:
                scope[_WAITED_S] = time.monotonic() - came
                await self._app(scope, receive, send)

    def _check(self, path: str, headers: Headers) -> None:
        given = headers.get("authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(), self._token):
            message = "the bearer token is missing or wrong; set SHOAL_TOKEN to the gateway's"
            raise Unauthorized(message)
        if path in STREAMED:
            return
        if "transfer-encoding" in headers:
            message = f"send this with a Content-Length; only {', '.join(STREAMED)} take a stream"
            raise InvalidRequest(message)
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > MAX_BODY_BYTES:
            message = f"the request is over {MAX_BODY_BYTES >> 20} MiB; send less at a time"
            raise LimitExceeded(message)


def caller_of(scope: Scope) -> str:
    """Return who asks, as far as is known: the client says it, or its address does."""
    host, _ = scope.get("client") or ("", 0)
    return Headers(scope=scope).get(CALLER_HEADER, host)[:_MAX_CALLER_CHARS]


def waited_s(scope: Scope) -> float:
    """Return how long a request waited for its turn; its deadline goes by meanwhile."""
    waited: float = scope.get(_WAITED_S, 0.0)
    return waited


def _sent_away(error: Overloaded | TimeoutError) -> Overloaded:
    if isinstance(error, Overloaded):
        return error
    return Overloaded("the turn of this request did not come in time", retry_after_s=1.0)


def problem_response(error: ShoalError) -> JSONResponse:
    """Return an error as it travels."""
    kind, retry = type(error).__name__, error.retry_after_s
    body = Problem(
        error=kind, message=str(error), retry_after_s=retry, request_id=current().request_id
    )
    headers = {} if retry is None else {"Retry-After": str(max(1, round(retry)))}
    return JSONResponse(body.model_dump(), error.status, headers)
