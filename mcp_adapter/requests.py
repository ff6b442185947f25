"""Every request to the gateway: its id, its span, how long it took, its end where all failed."""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections import defaultdict

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from actors import spans
from actors.errors import GatewayUnavailable
from actors.origin import Origin
from actors.routing.counts import SECONDS, Buckets
from mcp_adapter.door import PROBES, listens
from mcp_adapter.problems import problem_response

_log = logging.getLogger("shoal.requests")

REQUEST_ID = "x-request-id"
_VALID_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
"""Of ids that callers choose: they go into logs, where commas part those of a batch."""
_VALID_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")

Times = defaultdict[tuple[str, int], Buckets]
"""Route and status → seconds that requests took."""


def no_times() -> Times:
    """Return times of no request yet."""
    return defaultdict(lambda: Buckets(SECONDS))


class Requests:
    """Outermost middleware: names a request, has it traced, and notes how long it took.

    Args:
        app: What lies behind.
        times: Where the time is noted; a request that never came to a route is "refused".
    """

    def __init__(self, app: ASGIApp, times: Times) -> None:
        self._app = app
        self._times = times

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; probes are not counted."""
        if scope["type"] != "http" or scope["path"] in PROBES:
            await self._app(scope, receive, send)
            return
        origin = origin_of(Headers(scope=scope))
        status = 0

        async def send_named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID] = origin.request_id
            await send(message)

        started = time.perf_counter()
        what = {"http.request.method": scope["method"], "url.path": scope["path"]}
        with spans.span("gateway.request", origin, root=True, **what):
            try:
                await self._app(scope, receive, send_named)
            except Exception as error:  # noqa: BLE001 - whatever it was, the log says it
                _log.exception("unexpected error", exc_info=error)
                if not status:
                    answer = problem_response(_unexpected(error, origin), scope["path"])
                    await answer(scope, receive, send_named)
        if not listens(scope):
            self._times[_route(scope), status].note(time.perf_counter() - started)


def origin_of(headers: Headers) -> Origin:
    """Return a request's origin: the id and the span that its caller names, or an id of our own."""
    given = headers.get(REQUEST_ID, "")
    request_id = given if _VALID_ID.fullmatch(given) else secrets.token_hex(8)
    parent = headers.get("traceparent", "")
    return Origin(request_id, parent if _VALID_TRACEPARENT.fullmatch(parent) else "")


def _unexpected(error: Exception, origin: Origin) -> GatewayUnavailable:
    message = (
        f"the gateway failed unexpectedly ({type(error).__name__}); its log says more under "
        f"request {origin.request_id}"
    )
    return GatewayUnavailable(message)


def _route(scope: Scope) -> str:
    reached = scope["path"] if "endpoint" in scope else "refused"
    return str(getattr(scope.get("route"), "path", reached))  # only FastAPI names its routes
