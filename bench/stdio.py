"""The host's side of MCP over stdio: JSON-RPC lines over pipes, and no SDK in between."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import psutil
from report import MB

PROTOCOL = "2025-06-18"
US = {"name": "bench", "version": "1"}
_LIMIT_S = 300.0
"""A server that hangs is killed, which ends the benchmark with an error."""


class Session:
    """A server process and the session with it.

    Args:
        command: Starts the server.
        environment: All of its environment.
        limit_s: How long it may last.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        environment: dict[str, str],
        limit_s: float = _LIMIT_S,
    ) -> None:
        self._server = psutil.Popen(
            [str(part) for part in command],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._ids = count(1)
        self._alarm = threading.Timer(limit_s, self._server.kill)

    def __enter__(self) -> Session:
        """Return the session."""
        self._alarm.start()
        return self

    def __exit__(self, *exc: object) -> None:
        """Close the server's input, which ends it."""
        self._server.stdin.close()
        self._server.wait()
        self._server.stdout.close()
        self._alarm.cancel()

    def initialize(self) -> None:
        """Open the session."""
        self.request("initialize", protocolVersion=PROTOCOL, capabilities={}, clientInfo=US)
        self._send(method="notifications/initialized")

    @property
    def pid(self) -> int:
        """The server's process."""
        return int(self._server.pid)

    def search(self, query: str, scope: dict[str, Any]) -> dict[str, Any]:
        """Call the tool `search`, check that it found something, and return the result."""
        return checked(self.request("tools/call", **search_call(query, scope)))

    def request(self, method: str, **params: Any) -> Any:  # noqa: ANN401 - JSON
        """Send a request and return its result."""
        number = self.begin(method, **params)
        while True:
            answered, result = self.answer()
            if answered == number:
                return result

    def begin(self, method: str, **params: Any) -> int:  # noqa: ANN401 - JSON
        """Send a request and return its number."""
        number = next(self._ids)
        self._send(id=number, method=method, params=params)
        return number

    def answer(self) -> tuple[int | None, Any]:
        """Wait for the next message; return the number of the request it answers and its result."""
        line = self._server.stdout.readline()
        if not line:
            message = "the server ended before it answered"
            raise RuntimeError(message)
        reply = json.loads(line)
        if "error" in reply:
            message = f"the server refused a request: {reply['error']}"
            raise RuntimeError(message)
        return reply.get("id"), reply.get("result")

    def rss_mb(self) -> float:
        """Return the resident memory of the server and of all it started."""
        family = [self._server, *self._server.children(recursive=True)]
        return round(sum(process.memory_info().rss for process in family) / MB, 1)

    def _send(self, **message: Any) -> None:  # noqa: ANN401 - JSON
        self._server.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
        self._server.stdin.flush()


def search_call(query: str, scope: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of a call of the tool `search`."""
    return {"name": "search", "arguments": {"query": query, **scope}}


def checked(result: dict[str, Any]) -> dict[str, Any]:
    """Return a result of `search` that holds hits: Shoal's fenced text, or semble's JSON."""
    text = result["content"][0]["text"]
    if result.get("isError") or not ("\n<<< " in text or text.startswith('{"query"')):
        message = f"the search failed: {text[:300]}"
        raise RuntimeError(message)
    return result
