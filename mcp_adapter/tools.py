"""The MCP tools: what a model can ask a cluster, in words that help it to choose."""

from __future__ import annotations

from dataclasses import dataclass

from mcp.server import MCPServer

from mcp_adapter.asking import Asking
from mcp_adapter.locating import Locate
from mcp_adapter.tools_cluster import ClusterTools
from mcp_adapter.tools_finding import FindingTools
from mcp_adapter.tools_indexing import IndexingTools


@dataclass(frozen=True, slots=True)
class Tools:
    """All tools, by theme."""

    finding: FindingTools
    indexing: IndexingTools
    cluster: ClusterTools


def register(server: MCPServer, asking: Asking, locate: Locate) -> Tools:
    """Add the tools to a server.

    Args:
        server: Where they are offered.
        asking: Asks the gateway for them.
        locate: Where the paths to index are.
    """
    tools = Tools(FindingTools(asking), IndexingTools(asking, locate), ClusterTools(asking))
    for theme in (tools.finding, tools.indexing, tools.cluster):
        theme.register(server)
    return tools
