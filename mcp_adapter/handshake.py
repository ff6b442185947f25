"""Records what our server answers at the start of a session, for the doorman to give.

    python -m mcp_adapter.handshake        # after a change of tools, texts, version or SDK

A test compares the record with the server.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
from mcp.shared.memory import create_client_server_memory_streams
from mcp.shared.message import SessionMessage
from mcp.types import JSONRPCRequest, JSONRPCResponse
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, MODERN_PROTOCOL_VERSIONS

from cluster.client import AsyncShoalClient
from mcp_adapter.server import ShoalServer, build_server

RECORD = Path(__file__).with_name("handshake.json")

_ASKED = (
    "ping",
    "server/discover",
    "tools/list",
    "prompts/list",
    "resources/list",
    "resources/templates/list",
)
_CLIENT = {"name": "recorder", "version": "1"}


async def record() -> list[dict[str, Any]]:
    """Return, for each era of the protocol, its versions and the server's answers by method."""
    server = build_server(AsyncShoalClient())
    return [
        {
            "versions": list(HANDSHAKE_PROTOCOL_VERSIONS),
            "answers": await _with_handshake(server, HANDSHAKE_PROTOCOL_VERSIONS[-1]),
        },
        {
            "versions": list(MODERN_PROTOCOL_VERSIONS),
            "answers": await _with_envelopes(server, MODERN_PROTOCOL_VERSIONS[-1]),
        },
    ]


async def _with_handshake(server: ShoalServer, version: str) -> dict[str, Any]:
    hello = {"protocolVersion": version, "capabilities": {}, "clientInfo": _CLIENT}
    return await _answers(server, {"initialize": hello, **{method: {} for method in _ASKED}})


async def _with_envelopes(server: ShoalServer, version: str) -> dict[str, Any]:
    about = {"protocolVersion": version, "clientCapabilities": {}, "clientInfo": _CLIENT}
    meta = {f"io.modelcontextprotocol/{key}": value for key, value in about.items()}
    return await _answers(server, {method: {"_meta": meta} for method in _ASKED})


async def _answers(server: ShoalServer, requests: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Ask in one session; methods that the era does not have are left out."""
    answers = {}
    async with (
        create_client_server_memory_streams() as ((read, write), (heard, said)),
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(server.converse, heard, said)
        for method, params in requests.items():
            request = JSONRPCRequest(jsonrpc="2.0", id=1, method=method, params=params)
            await write.send(SessionMessage(request))
            received = await read.receive()
            if isinstance(received, SessionMessage) and isinstance(
                received.message, JSONRPCResponse
            ):
                answers[method] = received.message.result
        tasks.cancel_scope.cancel()
    return answers


if __name__ == "__main__":
    RECORD.write_text(json.dumps(anyio.run(record), indent=1, ensure_ascii=False) + "\n", "utf-8")
