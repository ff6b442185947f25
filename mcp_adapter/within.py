"""Asking the gateway from within itself, on behalf of whoever sent the request at hand.

The tools ask for the same operations through here as they do through a client over HTTP, and the
same door lets them in: with the caller's own token, in the caller's own turn, under the caller's
request id. There is no socket in between, and a caller that leaves is gone for both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlencode

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope

from actors.origin import current
from cluster.operation import Call, T, reply_of
from cluster.operations import AsyncOperations
from cluster.protocol import CALLER_HEADER
from mcp_adapter.door import WITHIN, caller_of
from mcp_adapter.requests import REQUEST_ID

_PASSED_ON = ("authorization", "host")


@dataclass(frozen=True, slots=True)
class Asking:
    """The request from outside that is being answered.

    Attributes:
        scope: As ASGI gives it.
        left: Set once its caller is gone.
    """

    scope: Scope
    left: asyncio.Event


_asking: ContextVar[Asking] = ContextVar("asking")


@contextmanager
def on_behalf_of(asking: Asking) -> Iterator[None]:
    """Let the block, and all tasks that it starts, ask on behalf of a request's caller."""
    token = _asking.set(asking)
    try:
        yield
    finally:
        _asking.reset(token)


class Within(AsyncOperations):
    """A client of the gateway within its own process.

    Args:
        gateway: The gateway's application, door and all.
    """

    def __init__(self, gateway: ASGIApp) -> None:
        self._gateway = gateway

    async def send(self, call: Call[T]) -> T:
        """Make a call; raise the ShoalError that it is answered with."""
        body = call.content or b"".join(call.lines or ())
        asking, answer = _asking.get(), _Answer()
        scope = _scope(call, len(body), asking.scope)
        await self._gateway(scope, heard(body, asking.left), answer)
        return reply_of(call, answer.status, b"".join(answer.parts))


def heard(body: bytes, left: asyncio.Event) -> Receive:
    """Return what an application receives of a request whose body is there already.

    Args:
        body: The whole of it.
        left: Set once its caller is gone.
    """
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if pending:
            return pending.pop()
        await left.wait()
        return {"type": "http.disconnect"}

    return receive


class _Answer:
    """Takes an answer as an application sends it."""

    def __init__(self) -> None:
        self.status = 0
        self.parts: list[bytes] = []

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        else:
            self.parts.append(message.get("body", b""))


def _scope(call: Call[Any], length: int, outside: Scope) -> Scope:
    given, origin = Headers(scope=outside), current()
    headers = {
        **{name: given[name] for name in _PASSED_ON if name in given},
        CALLER_HEADER.lower(): caller_of(outside),
        REQUEST_ID: origin.request_id,
        "traceparent": origin.traceparent,
        "content-type": "application/json",
        "content-length": str(length),
    }
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": call.method,
        "scheme": "http",
        "path": unquote(call.path),
        "raw_path": call.path.encode(),
        "query_string": urlencode(call.query).encode(),
        "root_path": "",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers.items()],
        "client": outside.get("client"),
        "server": outside.get("server"),
        WITHIN: True,
    }
