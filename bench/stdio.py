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

_PROTOCOL = "2025-06-18"
_LIMIT_S = 300.0
"""A server that hangs is killed, which ends the benchmark with an error."""


class Session:
    """A server process and the session with it.

    Args:
        command: Starts the server.
        environment: All of its environment.
    """

    def __init__(self, command: Sequence[str | Path], environment: dict[str, str]) -> None:
        self._server = psutil.Popen(
            [str(part) for part in command],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._ids = count(1)
        self._alarm = threading.Timer(_LIMIT_S, self._server.kill)

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
        us = {"name": "bench", "version": "1"}
        self.request("initialize", protocolVersion=_PROTOCOL, capabilities={}, clientInfo=us)
        self._send(method="notifications/initialized")

    def search(self, query: str, scope: dict[str, Any]) -> None:
        """Call the tool `search` and check that it found something."""
        reply = self.request("tools/call", name="search", arguments={"query": query, **scope})
        text = reply["content"][0]["text"]
        if reply.get("isError") or '"error"' in text[:20] or not text.strip():
            message = f"the search failed: {text[:300]}"
            raise RuntimeError(message)

    def request(self, method: str, **params: Any) -> Any:  # noqa: ANN401 - JSON
        """Send a request and return its result."""
        number = next(self._ids)
        self._send(id=number, method=method, params=params)
        while True:
            line = self._server.stdout.readline()
            if not line:
                message = f"the server ended before it answered {method}"
                raise RuntimeError(message)
            reply = json.loads(line)
            if reply.get("id") == number:
                return reply["result"]

    def rss_mb(self) -> float:
        """Return the resident memory of the server and of all it started."""
        family = [self._server, *self._server.children(recursive=True)]
        return round(sum(process.memory_info().rss for process in family) / MB, 1)

    def _send(self, **message: Any) -> None:  # noqa: ANN401 - JSON
        self._server.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
        self._server.stdin.flush()
