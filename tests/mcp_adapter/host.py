"""A host of our stdio server, as editors and agents are: the SDK's client, or the bare pipes."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mcp import Client, StdioServerParameters, stdio_client

from cluster.daemon import Rooms
from cluster.settings import Settings

COMMAND = (sys.executable, "-P", "-c", "from mcp_adapter.stdio import run; run()")
BOUND_S = 60.0


def environment(folder: Path, **settings: str) -> dict[str, str]:
    """Return an environment in which no gateway runs."""
    own = {k: v for k, v in os.environ.items() if not k.startswith("SHOAL_")}
    return {**own, "SHOAL_ROOT": str(folder / "root"), **settings}


def gateway_was_started(env: Mapping[str, str]) -> bool:
    """Tell whether a server made a gateway start; that leaves a log, whatever came of it."""
    return Rooms(Settings(root=env["SHOAL_ROOT"])).log.exists()


def sdk_host(env: Mapping[str, str], mode: str = "auto", **options: Any) -> Client:
    """Return the SDK's client of a server that it starts and ends."""
    command, *arguments = COMMAND
    server = StdioServerParameters(command=command, args=arguments, env=dict(env))
    return Client(stdio_client(server), mode=mode, **options)


class Pipes:
    """A running server by its pipes; all lines that it wrote are in `heard`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.heard: list[bytes] = []

    async def ask(self, method: str, request: int = 1, **params: Any) -> dict[str, Any]:
        """Send a request and return the answer to it."""
        self.send({"jsonrpc": "2.0", "id": request, "method": method, "params": params})
        while (answer := await self.answer()).get("id") != request:
            pass
        return answer

    def send(self, message: dict[str, Any] | bytes) -> None:
        """Send a message, or a line as it is."""
        line = message if isinstance(message, bytes) else json.dumps(message).encode()
        self.process.stdin.write(line + b"\n")

    async def answer(self) -> dict[str, Any]:
        """Return the next line that the server writes."""
        line = await asyncio.wait_for(self.process.stdout.readline(), BOUND_S)
        self.heard.append(line)
        return json.loads(line)

    async def shake_hands(self, version: str = "2025-11-25") -> dict[str, Any]:
        """Initialize the session and return what the server says of itself."""
        about = {"capabilities": {}, "clientInfo": {"name": "host", "version": "1"}}
        answer = await self.ask("initialize", 0, protocolVersion=version, **about)
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return answer["result"]

    async def ended(self) -> int:
        """Wait for the process and return its exit status."""
        return await asyncio.wait_for(self.process.wait(), BOUND_S)


@asynccontextmanager
async def pipes(env: Mapping[str, str], *command: str) -> AsyncIterator[Pipes]:
    """Start a server, and kill it where it has not ended."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *(command or COMMAND), stdin=pipe, stdout=pipe, stderr=pipe, env=dict(env)
    )
    server = Pipes(process)
    try:
        yield server
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
