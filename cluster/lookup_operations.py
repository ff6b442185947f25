"""What a gateway can be asked of stored text, beside searches."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import TypeAdapter

from actors.kinds import Kind
from cluster.lookup_protocol import (
    DEFAULT_SYMBOLS,
    Passage,
    ReadBody,
    SimilarBody,
    SymbolsBody,
    SymbolsReply,
)
from cluster.operation import Call, Operation
from cluster.protocol import DEFAULT_LIMIT, SearchReply


class LookupOperations:
    """Reading what is stored, finding the like of it, and finding definitions by name."""

    @Operation
    @staticmethod
    def read(
        chunk_id: str | None = None,
        *,
        path: str | None = None,
        collection: str | None = None,
        start_line: int | None = None,
        end_line: int | None = None,
        context: int = 0,
        deadline_s: float | None = None,
    ) -> Call[Passage]:
        """Return stored lines: those of a chunk, by a hit's id, or of a file, by a hit's path.

        A file is read from `start_line` to `end_line`, or from its first and to its last line, as
        it was when it was indexed. `context` more lines come along on both sides.

        NotFound is raised where the chunk, the file or the line is not stored (any more), and
        InvalidRequest where several collections hold the file and none is named.
        """
        body = ReadBody(
            chunk_id=chunk_id,
            path=path,
            collection=collection,
            start_line=start_line,
            end_line=end_line,
            context=context,
            deadline_s=deadline_s,
        )
        return Call("POST", "/v1/read", TypeAdapter(Passage), body, asks=True)

    @Operation
    @staticmethod
    def similar(
        chunk_id: str | None = None,
        *,
        path: str | None = None,
        line: int | None = None,
        collection: str | None = None,
        text: str | None = None,
        collections: Sequence[str] = (),
        languages: Sequence[str] = (),
        paths: Sequence[str] = (),
        exclude_paths: Sequence[str] = (),
        limit: int = DEFAULT_LIMIT,
        offset: int = 0,
        deadline_s: float | None = None,
    ) -> Call[SearchReply]:
        """Return the chunks that are nearest in meaning to a stored chunk or to a text.

        The chunk is named by its id, or by a `path`, a `line` that it holds, and the `collection`
        where several hold the path; it is compared by the vector that is stored, and is no hit
        itself. `collections` are those that are searched (none named: all). Those of another model
        compare the chunk's text.
        """
        body = SimilarBody(
            chunk_id=chunk_id,
            path=path,
            line=line,
            collection=collection,
            text=text,
            collections=tuple(collections),
            languages=tuple(languages),
            paths=tuple(paths),
            exclude_paths=tuple(exclude_paths),
            limit=limit,
            offset=offset,
            deadline_s=deadline_s,
        )
        return Call("POST", "/v1/similar", TypeAdapter(SearchReply), body, asks=True)

    @Operation
    @staticmethod
    def symbols(
        name: str,
        *,
        kind: Kind | None = None,
        collections: Sequence[str] = (),
        languages: Sequence[str] = (),
        limit: int = DEFAULT_SYMBOLS,
        offset: int = 0,
        deadline_s: float | None = None,
    ) -> Call[SymbolsReply]:
        """Return where a name is defined: as it is, or as the end of a qualified name.

        "search" finds `search` and `Router.search`, then those that differ in upper and lower case
        alone; headings of Markdown are found by their titles. What is no match in the text of a
        chunk by the rules for its language is found by the chunk's symbol, as a "definition".
        """
        body = SymbolsBody(
            name=name,
            kind=kind,
            collections=tuple(collections),
            languages=tuple(languages),
            limit=limit,
            offset=offset,
            deadline_s=deadline_s,
        )
        return Call("POST", "/v1/symbols", TypeAdapter(SymbolsReply), body, asks=True)
