"""The tools that tell what is indexed and how the cluster is."""

from __future__ import annotations

from typing import Annotated

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.types import CallToolResult

from actors.errors import GatewayUnavailable
from cluster.operations import AsyncOperations
from mcp_adapter import render
from mcp_adapter.annotations import READS
from mcp_adapter.answers import (
    ClusterAnswer,
    CollectionsAnswer,
    cluster_answer,
    collections_answer,
)
from mcp_adapter.asking import Asking
from mcp_adapter.results import result

_LIST_COLLECTIONS = """\
List what is indexed: each collection's name, source folder, size and time of its last update.
Call it before index_path, and where a search finds nothing."""

_CLUSTER_STATUS = """\
Tell how the service itself is: its processes with their memory, its model, and its latest jobs.
Call it where another tool failed, was slow or answered incompletely; not needed otherwise.
It answers even where the cluster is away, and says so."""


class ClusterTools:
    """The tools over one client."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking

    def register(self, server: MCPServer) -> None:
        """Add the tools to a server."""
        add = server.add_tool
        add(
            self.list_collections,
            title="List collections",
            description=_LIST_COLLECTIONS,
            annotations=READS,
        )
        add(
            self.cluster_status,
            title="Cluster status",
            description=_CLUSTER_STATUS,
            annotations=READS,
        )

    async def list_collections(self, ctx: Context) -> Annotated[CallToolResult, CollectionsAnswer]:
        """Return what is indexed."""
        async with self._asking.during(ctx):
            answer = collections_answer(await self._asking.shoal.collections())
        return result(render.collections_text(answer), answer)

    async def cluster_status(self, ctx: Context) -> Annotated[CallToolResult, ClusterAnswer]:
        """Return how the cluster is."""
        async with self._asking.during(ctx):
            answer = await how_it_is(self._asking.shoal)
        return result(render.cluster_text(answer), answer)


async def how_it_is(shoal: AsyncOperations) -> ClusterAnswer:
    """Return the state of a cluster; that it is away is a state too."""
    try:
        return cluster_answer(await shoal.status())
    except GatewayUnavailable as error:
        return ClusterAnswer(problem=str(error))
