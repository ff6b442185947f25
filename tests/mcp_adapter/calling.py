"""Calls of tools through the SDK's client in memory, over our client and a real HTTP gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from mcp import Client
from stub_gateway import StubGateway, stub_gateway

from cluster.client import AsyncShoalClient
from mcp_adapter.locating import on_the_gateway
from mcp_adapter.server import build_server


@asynccontextmanager
async def host_of(
    gateway: StubGateway, locate: Any = on_the_gateway, compatibility: bool = False
) -> AsyncIterator[Client]:
    async with (
        stub_gateway(gateway) as url,
        AsyncShoalClient(url) as shoal,
        Client(build_server(shoal, locate=locate, compatibility=compatibility)) as host,
    ):
        yield host


async def call(gateway: StubGateway, tool: str, locate: Any = on_the_gateway, **arguments: Any):
    async with host_of(gateway, locate) as host:
        return await host.call_tool(tool, arguments)


def text_of(result: Any) -> str:
    assert [block.type for block in result.content] == ["text"]
    return result.content[0].text
