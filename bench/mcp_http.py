"""The host's side of HTTP: kept connections, requests as bytes, and no SDK in between."""

from __future__ import annotations

import json
import time
from http.client import HTTPConnection
from itertools import count
from typing import Any
from urllib.parse import urlsplit

from stdio import PROTOCOL, US, checked, search_call

from cluster.daemon import Endpoint

_LIMIT_S = 60.0
_IDLE_S = 10.0
"""A gateway ends connections that nobody used for 30 s."""
_DATA = b"data: "
EVENTS = "application/json, text/event-stream"
JSON = "application/json"


class Connection:
    """One connection to a gateway, for one caller.

    Args:
        endpoint: Of a gateway on TCP.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        place = urlsplit(endpoint.url)
        self._http = HTTPConnection(str(place.hostname), place.port, timeout=_LIMIT_S)
        self._headers = {**endpoint.headers, "Content-Type": JSON}
        self._used = time.monotonic()

    def post(self, path: str, body: dict[str, Any], **headers: str) -> tuple[bytes, dict[str, str]]:
        """Return the answer and its headers, their names in lower case."""
        sent = {**self._headers, **headers}
        if time.monotonic() - self._used > _IDLE_S:
            self._http.close()  # the next request opens it anew
        self._used = time.monotonic()
        self._http.request("POST", path, json.dumps(body), sent)
        with self._http.getresponse() as reply:
            answer = reply.read()
        if reply.status not in {200, 202}:
            message = f"{path} answered {reply.status}: {answer[:300]!r}"
            raise RuntimeError(message)
        return answer, {name.lower(): value for name, value in reply.getheaders()}

    def close(self) -> None:
        """Close it."""
        self._http.close()


class McpOverHttp:
    """MCP over a connection of its own.

    Args:
        endpoint: Of a gateway on TCP.
        path: `/mcp` or `/mcp/stateless`.
        accept: What answers may come as.
    """

    def __init__(self, endpoint: Endpoint, path: str, accept: str) -> None:
        self._connection = Connection(endpoint)
        self._path = path
        self._ids = count(1)
        self._headers = {"Accept": accept}
        said = {"protocolVersion": PROTOCOL, "capabilities": {}, "clientInfo": US}
        headers = self._send(id=0, method="initialize", params=said)[1]
        self._headers["MCP-Protocol-Version"] = PROTOCOL
        if session := headers.get("mcp-session-id"):
            self._headers["Mcp-Session-Id"] = session
        self._send(method="notifications/initialized")

    def search(self, query: str, scope: dict[str, Any]) -> dict[str, Any]:
        """Call the tool `search`, check that it found something, and return the result."""
        call = search_call(query, scope)
        body, headers = self._send(id=next(self._ids), method="tools/call", params=call)
        is_stream = headers["content-type"].startswith("text/event-stream")
        return checked(json.loads(_last_event(body) if is_stream else body)["result"])

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _send(self, **message: Any) -> tuple[bytes, dict[str, str]]:  # noqa: ANN401 - JSON
        body = {"jsonrpc": "2.0", **message}
        return self._connection.post(self._path, body, **self._headers)


def _last_event(stream: bytes) -> bytes:
    """Return the data of the last event of a stream: before the answer there may be progress."""
    return [line for line in stream.splitlines() if line.startswith(_DATA)][-1][len(_DATA) :]
