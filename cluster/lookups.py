"""What a gateway looks up: stored passages, what is like them, and definitions by name."""

from __future__ import annotations

import time

from actors.index.fusion import Mode
from actors.lookup_messages import Lookup, PassageAnswer, PassageQuery, SymbolAnswer, SymbolQuery
from actors.messages import Filter, SearchAnswer, SearchRequest
from actors.origin import current
from cluster.calls import Calls
from cluster.freshness import Behind
from cluster.lookup_protocol import Passage, ReadBody, SimilarBody, SymbolsBody, SymbolsReply
from cluster.protocol import SearchReply
from cluster.replies import passage_of, search_reply, symbols_reply
from cluster.searches import Searches
from cluster.slow import noted


class Lookups:
    """Asks routers for what is stored.

    Args:
        calls: Reaches the routers.
        searches: Sends searches to them.
        behind: How far collections are behind their sources.
        deadline_s: For requests that give none.
    """

    def __init__(self, calls: Calls, searches: Searches, behind: Behind, deadline_s: float) -> None:
        self._calls = calls
        self._searches = searches
        self._behind = behind
        self._deadline_s = deadline_s

    async def read(self, body: ReadBody, caller: str = "", waited_s: float = 0.0) -> Passage:
        """Return stored lines; see `ShoalClient.read`, and `Service.search` for the rest."""
        query = PassageQuery(
            _number(body.chunk_id),
            body.path or "",
            body.start_line,
            body.end_line,
            body.context,
            origin=current(),
        )
        lookup = self._lookup(_named(body.collection), body.deadline_s, caller, waited_s)
        answer: PassageAnswer = await self._calls.ask_router(
            lambda router: router.read.remote(lookup, query), lookup.deadline_s
        )
        return passage_of(answer)

    async def similar(
        self, body: SimilarBody, caller: str = "", waited_s: float = 0.0
    ) -> SearchReply:
        """Return what is nearest to a chunk or a text; see `ShoalClient.similar`."""
        started = time.perf_counter()
        lookup = self._lookup(_named(body.collection), body.deadline_s, caller, waited_s)
        request = SearchRequest(
            query=body.text or "",
            mode=Mode.SEMANTIC,
            limit=body.limit,
            collections=body.collections,
            filter=Filter(body.paths, body.languages, body.exclude_paths),
            vector=None,
            deadline_s=lookup.deadline_s,
            caller=caller,
            origin=lookup.origin,
            kind="document",
        )
        with noted(request) as timings_ms:
            answer = await self._likes(body, lookup, request)
            timings_ms.update(answer.timings_ms)
        return search_reply(answer, (time.perf_counter() - started) * 1e3, self._behind)

    async def symbols(
        self, body: SymbolsBody, caller: str = "", waited_s: float = 0.0
    ) -> SymbolsReply:
        """Return definitions by name; see `ShoalClient.symbols`."""
        query = SymbolQuery(body.name, body.kind, body.languages, body.limit, current())
        lookup = self._lookup(body.collections, body.deadline_s, caller, waited_s)
        answer: SymbolAnswer = await self._calls.ask_router(
            lambda router: router.symbols.remote(lookup, query), lookup.deadline_s
        )
        return symbols_reply(answer, self._behind)

    async def _likes(
        self, body: SimilarBody, lookup: Lookup, request: SearchRequest
    ) -> SearchAnswer:
        if body.text is not None:
            return await self._searches.answer(request)
        chunk = PassageQuery(
            _number(body.chunk_id), body.path or "", body.line, around=True, origin=lookup.origin
        )
        answer: SearchAnswer = await self._calls.ask_router(
            lambda router: router.similar.remote(lookup, chunk, request), lookup.deadline_s
        )
        return answer

    def _lookup(
        self, collections: tuple[str, ...], deadline_s: float | None, caller: str, waited_s: float
    ) -> Lookup:
        within_s = (deadline_s or self._deadline_s) - waited_s
        return Lookup(collections, within_s, caller, current())


def _number(chunk_id: str | None) -> int | None:
    return None if chunk_id is None else int(chunk_id, 16)


def _named(collection: str | None) -> tuple[str, ...]:
    return () if collection is None else (collection,)
