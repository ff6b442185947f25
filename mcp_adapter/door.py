"""The door of the gateway: who may pass, with how much, before a byte of the body is read."""

from __future__ import annotations

import hmac

from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from actors.errors import InvalidRequest, LimitExceeded, ShoalError, Unauthorized
from cluster.protocol import Problem
from cluster.service import Service

PROBES = ("/healthz", "/readyz")
STREAMED = "/v1/ingest"
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
            await self._app(scope, receive, send)

    def _check(self, path: str, headers: Headers) -> None:
        given = headers.get("authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(), self._token):
            message = "the bearer token is missing or wrong; set SHOAL_TOKEN to the gateway's"
            raise Unauthorized(message)
        if path == STREAMED:
            return
        if "transfer-encoding" in headers:
            message = f"send this with a Content-Length; only {STREAMED} takes a stream"
            raise InvalidRequest(message)
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > MAX_BODY_BYTES:
            message = f"the request is over {MAX_BODY_BYTES >> 20} MiB; send less at a time"
            raise LimitExceeded(message)


def problem_response(error: ShoalError) -> JSONResponse:
    """Return an error as it travels."""
    kind, retry = type(error).__name__, error.retry_after_s
    body = Problem(error=kind, message=str(error), retry_after_s=retry)
    headers = {} if retry is None else {"Retry-After": str(max(1, round(retry)))}
    return JSONResponse(body.model_dump(), error.status, headers)
