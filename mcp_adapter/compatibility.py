"""The compatibility profile: tools under the names that an earlier program gave them.

Configurations and prompts that were written for embed-search go on working with it. Each tool does
what its name promised, or says what to call instead; none accepts an argument and ignores it.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import CallToolResult
from pydantic import Field

from cluster.protocol import Mode
from mcp_adapter import arguments as args
from mcp_adapter import render
from mcp_adapter.annotations import DELETES, READS, WRITES
from mcp_adapter.answers import DeletedAnswer
from mcp_adapter.asking import Asking
from mcp_adapter.finding import Page, search_answer
from mcp_adapter.found_text import new_fence, search_text
from mcp_adapter.results import result
from mcp_adapter.tools import Tools
from mcp_adapter.tools_indexing import unconfirmed

_WAIT_S = args.MAX_WAIT_S
_AROUND = 10
"""Lines shown on either side of a hit: search_code gave three pieces, the middle one the hit."""
_MODES: dict[str, Mode] = {"hybrid": "hybrid", "semantic": "semantic", "text": "lexical"}

SearchType = Annotated[
    Literal["hybrid", "semantic", "text", "symbol"],
    Field(description="text is search(mode='lexical'), symbol is find_symbol"),
]
Extensions = Annotated[
    tuple[str, ...], Field(description="Take only files that end so, as in ['py', 'md']")
]
MaxFileSize = Annotated[
    int | None, Field(description="Not supported: the gateway's SHOAL_MAX_FILE_BYTES decides")
]
Directory = Annotated[
    str,
    Field(description="Folder; without one, the server's working folder", pattern=r"^[^\x00]+$"),
]
ShowProgress = Annotated[
    bool, Field(description=f"Wait up to {_WAIT_S} s for the end, and tell progress meanwhile")
]
Code = Annotated[str, Field(description="Source code")]
Extension = Annotated[str, Field(description="File extension, as in py")]
Enabled = Annotated[bool, Field(description="Whether to watch")]


class CompatibilityTools:
    """The old names, over the tools that do the work now.

    Args:
        tools: What they stand for.
        asking: Asks the gateway, where no tool does the same.
    """

    def __init__(self, tools: Tools, asking: Asking) -> None:
        self._tools = tools
        self._asking = asking

    def register(self, server: MCPServer) -> None:
        """Add the tools to a server; their answers are those of the tools that they stand for."""
        for tool, of, kind in (
            (self.search_code, "search with the lines around each hit", READS),
            (self.embed_search, "search, and of find_symbol", READS),
            (self.embed_index, "index_path", WRITES),
            (self.reindex_all, "index_path", WRITES),
            (self.embed_status, "cluster_status", READS),
            (self.embed_clear, "delete_collection, for all collections", DELETES),
            (self.clear_database, "delete_collection, for all collections", DELETES),
            (self.embed_extract_symbols, "find_symbol, which it refers to", READS),
            (self.toggle_watch, "`shoal watch`, which it refers to", READS),
        ):
            add = partial(server.add_tool, annotations=kind, structured_output=False)
            add(tool, description=f"Old name of {of}.")

    async def search_code(self, query: args.Query, ctx: Context) -> CallToolResult:
        """Search, with what stands around each hit."""
        async with self._asking.during(ctx):
            reply = await self._asking.shoal.search(
                query, limit=args.DEFAULT_LIMIT, context=_AROUND
            )
        answer = search_answer(reply, Page("full"))
        return result(search_text(answer, new_fence()), answer)

    async def embed_search(
        self,
        query: args.Query,
        ctx: Context,
        limit: args.Limit = 10,
        search_type: SearchType = "hybrid",
    ) -> CallToolResult:
        """Search, or find a definition."""
        if search_type == "symbol":
            return await self._tools.finding.find_symbol(query, ctx, limit=limit)
        mode = _MODES[search_type]
        return await self._tools.finding.search(query, ctx, mode=mode, limit=limit)

    async def embed_index(
        self,
        path: args.IndexPath,
        ctx: Context,
        file_extensions: Extensions = (),
        max_file_size: MaxFileSize = None,
    ) -> CallToolResult:
        """Index a folder, and wait for the end as the old tool did."""
        if max_file_size is not None:
            message = (
                "files are not chosen by size here: text files of up to the gateway's "
                "SHOAL_MAX_FILE_BYTES are indexed. Call again without max_file_size."
            )
            raise ToolError(message)
        include = tuple(f"*.{extension.lstrip('*.')}" for extension in file_extensions)
        indexing = self._tools.indexing
        return await indexing.index_path(path, ctx, include=include, wait_s=_WAIT_S)

    async def reindex_all(
        self, ctx: Context, directory: Directory = ".", show_progress: ShowProgress = True
    ) -> CallToolResult:
        """Bring a folder's collection up to date."""
        wait_s = _WAIT_S if show_progress else 0
        return await self._tools.indexing.index_path(directory, ctx, wait_s=wait_s)

    async def embed_status(self, ctx: Context) -> CallToolResult:
        """Return how the cluster is."""
        return await self._tools.cluster.cluster_status(ctx)

    async def embed_clear(self, ctx: Context, confirm: args.Confirm = False) -> CallToolResult:
        """Delete all collections."""
        async with self._asking.during(ctx):
            known = list(await self._asking.shoal.collections())
            if not confirm:
                raise ToolError(unconfirmed(known))
            for found in known:
                await self._asking.shoal.delete(found.name)
        answer = DeletedAnswer(deleted=tuple(found.name for found in known))
        return result(render.deleted_text(answer), answer)

    async def clear_database(self, ctx: Context, confirm: args.Confirm = False) -> CallToolResult:
        """Delete all collections."""
        return await self.embed_clear(ctx, confirm)

    async def embed_extract_symbols(self, code: Code, file_extension: Extension) -> CallToolResult:
        """Say what finds symbols."""
        message = (
            f"this server takes no code to cut ({len(code)} characters of {file_extension!r}): "
            "index_path the file, then find_symbol(name=…) tells where a name is defined."
        )
        raise ToolError(message)

    async def toggle_watch(self, enabled: Enabled) -> CallToolResult:
        """Say what watches."""
        message = (
            f"this server does not turn watching {'on' if enabled else 'off'}: ask the user to "
            f"{'run' if enabled else 'end'} `shoal watch <folder>` in a terminal; index_path "
            "brings a folder up to date now, and list_collections says how fresh each is."
        )
        raise ToolError(message)
