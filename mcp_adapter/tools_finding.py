"""The tools that find and read what is indexed."""

from __future__ import annotations

from functools import partial
from typing import Annotated, TypedDict

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.types import CallToolResult

from actors.errors import InvalidRequest
from cluster.lookup_protocol import DEFAULT_SYMBOLS
from mcp_adapter import arguments as args
from mcp_adapter.annotations import READS
from mcp_adapter.asking import Asking
from mcp_adapter.budget import DEFAULT_TOKENS
from mcp_adapter.cursors import place_of
from mcp_adapter.finding import Page, passage_answer, search_answer, symbols_answer
from mcp_adapter.found import PassageAnswer, SearchAnswer, SymbolsAnswer
from mcp_adapter.found_text import new_fence, passage_text, search_text, symbols_text
from mcp_adapter.results import result

_SEARCH = """\
Find code and documentation by meaning and by words, over everything that is indexed.

Use it when you do not know the exact words ("where are retries limited?"), when grep would find
far too much, and to look through several repositories at once. Use grep instead for an exact
identifier, string or pattern of which you need every occurrence: search returns the best hits,
not all of them. Each hit gives its path and lines, and an id for read_chunk and find_similar. Paths
are relative to the collection's source, which list_collections tells."""

_FIND_SIMILAR = """\
Find code or text that means about the same as a piece that you have: other implementations,
duplicates, further places that a change concerns, the tests of a function.

Give either the id of a hit, or path and line of something indexed, or any text. The piece itself is
left out of the answer. Use search where you have a question and no piece."""

_READ_CHUNK = """\
Read more of something that was found: a hit by its id, or lines of an indexed file by its path.

Use it for files that you cannot open yourself (another machine, a git or object-store source), and
where a hit was cut. Where you can open the file, do that: this returns the text as it was when
it was indexed. context_lines adds what stands around."""

_FIND_SYMBOL = """\
Find where a function, class, method or heading is defined, by its name.

Use it for "where is X defined?"; it returns paths, lines and signatures, no bodies. Use search for
what something does, and grep for every use of a name."""

_NOT_INDEXED = (
    "search finds what is indexed, with its id and path as they have to be given here; "
    "list_collections names the collections."
)
_ONE_PIECE = "give one of: id; path and line; text"
_ONE_PASSAGE = "give either id, or path with start_line and end_line where you want less than all"


class _Among(TypedDict):
    """What narrows everything that is found."""

    collections: tuple[str, ...]
    languages: tuple[str, ...]


class _Where(_Among):
    """What narrows hits."""

    paths: tuple[str, ...]
    exclude_paths: tuple[str, ...]


class _Piece(TypedDict):
    """What something is to be like, where no id names it."""

    path: str | None
    line: int | None
    collection: str | None
    text: str | None


class FindingTools:
    """The tools over one client."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking

    def register(self, server: MCPServer) -> None:
        """Add the tools to a server."""
        add = partial(server.add_tool, annotations=READS)
        add(self.search, title="Search", description=_SEARCH)
        add(self.find_similar, title="Find similar", description=_FIND_SIMILAR)
        add(self.read_chunk, title="Read a chunk", description=_READ_CHUNK)
        add(self.find_symbol, title="Find a symbol", description=_FIND_SYMBOL)

    async def search(
        self,
        query: args.Query,
        ctx: Context,
        collections: args.Collections = (),
        mode: args.SearchMode = "hybrid",
        languages: args.Languages = (),
        paths: args.Paths = (),
        exclude_paths: args.ExcludePaths = (),
        limit: args.Limit = args.DEFAULT_LIMIT,
        detail: args.Detail = "concise",
        max_tokens: args.MaxTokens = DEFAULT_TOKENS,
        cursor: args.Cursor = "",
    ) -> Annotated[CallToolResult, SearchAnswer]:
        """Search."""
        where = _Where(
            collections=collections, languages=languages, paths=paths, exclude_paths=exclude_paths
        )
        async with self._asking.during(ctx):
            place = place_of(cursor, "search", query=query, mode=mode, **where)
            reply = await self._asking.shoal.search(
                query, mode=mode, limit=place.most(limit), offset=place.offset, **where
            )
            next_page = place.following(reply.collections)
        answer = search_answer(reply, Page(detail, max_tokens, place.offset, next_page))
        return result(search_text(answer, new_fence()), answer)

    async def find_similar(
        self,
        ctx: Context,
        id: args.ChunkId = None,  # noqa: A002 - what hits call it
        path: args.StoredPath = None,
        line: args.Line = None,
        text: args.Text = None,
        collection: args.OneCollection = None,
        collections: args.Collections = (),
        languages: args.Languages = (),
        paths: args.Paths = (),
        exclude_paths: args.ExcludePaths = (),
        limit: args.Limit = args.DEFAULT_LIMIT,
        detail: args.Detail = "concise",
        max_tokens: args.MaxTokens = DEFAULT_TOKENS,
        cursor: args.Cursor = "",
    ) -> Annotated[CallToolResult, SearchAnswer]:
        """Find what is like a piece."""
        piece = _Piece(path=path, line=line, collection=collection, text=text)
        where = _Where(
            collections=collections, languages=languages, paths=paths, exclude_paths=exclude_paths
        )
        async with self._asking.during(ctx, _NOT_INDEXED):
            if sum(map(bool, (id, path, text))) != 1 or bool(path) != bool(line):
                raise InvalidRequest(_ONE_PIECE)
            place = place_of(cursor, "find_similar", id=id, **piece, **where)
            reply = await self._asking.shoal.similar(
                id, limit=place.most(limit), offset=place.offset, **piece, **where
            )
            next_page = place.following(reply.collections)
        answer = search_answer(reply, Page(detail, max_tokens, place.offset, next_page))
        return result(search_text(answer, new_fence()), answer)

    async def read_chunk(
        self,
        ctx: Context,
        id: args.ChunkId = None,  # noqa: A002 - what hits call it
        path: args.StoredPath = None,
        start_line: args.StartLine = None,
        end_line: args.EndLine = None,
        collection: args.OneCollection = None,
        context_lines: args.ContextLines = 0,
        max_tokens: args.MaxTokens = DEFAULT_TOKENS,
    ) -> Annotated[CallToolResult, PassageAnswer]:
        """Read stored lines."""
        async with self._asking.during(ctx, _NOT_INDEXED):
            if bool(id) == bool(path) or (id and (start_line or end_line)):
                raise InvalidRequest(_ONE_PASSAGE)
            passage = await self._asking.shoal.read(
                id,
                path=path,
                collection=collection,
                start_line=start_line,
                end_line=end_line,
                context=context_lines,
            )
        answer = passage_answer(passage, max_tokens)
        return result(passage_text(answer, new_fence()), answer)

    async def find_symbol(
        self,
        name: args.SymbolName,
        ctx: Context,
        kind: args.SymbolKind = None,
        collections: args.Collections = (),
        languages: args.Languages = (),
        limit: args.SymbolLimit = DEFAULT_SYMBOLS,
        cursor: args.Cursor = "",
    ) -> Annotated[CallToolResult, SymbolsAnswer]:
        """Find definitions."""
        where = _Among(collections=collections, languages=languages)
        async with self._asking.during(ctx):
            place = place_of(cursor, "find_symbol", name=name, kind=kind, **where)
            reply = await self._asking.shoal.symbols(
                name, kind=kind, limit=place.most(limit), offset=place.offset, **where
            )
            next_page = place.following(reply.collections)
        answer = symbols_answer(reply, Page(offset=place.offset, cursor_to=next_page))
        return result(symbols_text(answer, new_fence()), answer)
