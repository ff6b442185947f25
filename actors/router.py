"""Router: embeds a query, asks every shard, and merges what comes back before the deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

from actors import spans
from actors.asking import tell_at_once
from actors.direct_wire import Address
from actors.engines.base import Kind
from actors.errors import DeadlineExceeded, ShoalError
from actors.index.fusion import Mode
from actors.index.question import Wish, wish_of
from actors.index.ranking import Ranking
from actors.leases import Keeper, Leases
from actors.listening import Listener
from actors.lookup import Lookups
from actors.lookup_messages import Lookup, PassageAnswer, PassageQuery, SymbolAnswer, SymbolQuery
from actors.memory import Pressure
from actors.messages import (
    RERANK_DEPTH,
    ActorStatus,
    Coverage,
    Embeddings,
    Histogram,
    Hit,
    SearchAnswer,
    SearchRequest,
    ShardAnswer,
    ShardQuery,
    Topology,
)
from actors.origin import NOBODY, Origin, current
from actors.planning import Planner, shard_queries, weighed_terms
from actors.process import MemoryConfig, answers_always, guard_memory, status_of
from actors.query_vectors import QueryVectors, not_embedded
from actors.replicas import Replicas
from actors.reranking import Reranked, reranked
from actors.routing.admission import Admission
from actors.routing.corpus import Corpora
from actors.routing.counts import Counts
from actors.routing.gather import best_of, depth_for, why
from actors.scatter import Asked, Scatter, Watch, coverage_of, fetch_texts, incomplete
from actors.scorers import Scorers
from actors.storage import Storage

_DIRECT = frozenset({"search", "search_many", "read", "similar", "symbols", "embed"})
"""Methods that are called over the actor's own socket too."""


@dataclass(frozen=True, slots=True)
class RouterConfig:
    """What a Router is made with.

    Attributes:
        name: Its actor name.
        root: The storage root.
        steward: Actor name of the steward.
        topology: Who serves searches, until `Router.arrange` says otherwise.
        memory: What memory it may use.
    """

    name: str
    root: str
    steward: str
    topology: Topology = field(compare=False)  # changes live; it makes no other router
    memory: MemoryConfig


class Router:
    """Answers searches; holds nothing that it could not read again from storage."""

    def __init__(self, config: RouterConfig) -> None:
        self._config = config
        self._memory = guard_memory(config)
        storage = Storage(config.root)
        keeper = Keeper(Leases(storage), config.name)
        self._corpora = Corpora(storage, keeper.changed)
        keeper.start(self._corpora.served)
        self._counts = Counts()
        self._admission = Admission()
        self._replicas = Replicas(config.steward, self._counts)
        self._vectors = QueryVectors(self._replicas)
        self._scorers = Scorers(self._replicas, self._counts)
        self._scatter = Scatter(config.topology, self._counts)
        self._planner = Planner(self._corpora)
        self._lookups = Lookups(self._planner, self._scatter)
        self._listener = Listener(self, _DIRECT)
        self._memory.on_pressure(self._relieve)
        tell_at_once(config.steward, lambda it: it.router_started.remote(config.name))

    async def search(self, request: SearchRequest) -> SearchAnswer:
        """Return the best hits of all shards that answer before the deadline.

        Raises:
            NotFound: A named collection does not exist.
            ModelMismatch: A named collection's vectors are of a model that is not there any more.
            ModelLoadError: The query cannot be embedded.
            MemoryLimitExceeded: It cannot be embedded within the limits of memory.
            Overloaded: Too much waits already.
            DeadlineExceeded: The query was not embedded in time, or its turn did not come.
            IncompleteCoverage: A shard did not answer, and all were required.
        """
        watch = Watch(request.deadline_s, self._counts)
        with spans.span("router.search", request.origin):
            try:
                with await self._turn(request.caller, _size_of(request), watch):
                    return await self._searched(request, watch)
            except Exception:
                self._counts.failed_searches += 1
                raise

    async def search_many(
        self, requests: tuple[SearchRequest, ...]
    ) -> tuple[SearchAnswer | BaseException, ...]:
        """Answer searches that came together, each as `search` does, or with what it raises."""
        return tuple(await asyncio.gather(*map(self.search, requests), return_exceptions=True))

    async def read(self, lookup: Lookup, query: PassageQuery) -> PassageAnswer:
        """Return stored lines.

        Raises:
            NotFound: No collection holds the chunk, the file or such lines of it.
            InvalidRequest: Several collections hold the file.
            IncompleteCoverage: It was not found, and a shard that may hold it did not answer.
            Overloaded: Too much waits already.
            DeadlineExceeded: Its turn did not come in time.
        """
        watch = Watch(lookup.deadline_s, self._counts)
        with (
            spans.span("router.read", lookup.origin),
            await self._turn(lookup.caller, len(query.path), watch),
        ):
            return await self._lookups.passage(lookup, query, watch)

    async def similar(
        self, lookup: Lookup, query: PassageQuery, request: SearchRequest
    ) -> SearchAnswer:
        """Return the chunks that are nearest to a stored one, without those that share its lines.

        Args:
            lookup: Where to look the chunk up.
            query: The chunk.
            request: The search, by meaning; its text and vector become those of the chunk.

        Raises:
            ShoalError: As from `read` and from `search`.
        """
        watch = Watch(lookup.deadline_s, self._counts)
        with (
            spans.span("router.similar", lookup.origin),
            await self._turn(lookup.caller, len(query.path), watch),
        ):
            like = await self._lookups.passage(lookup, query, watch)
            passage = like.passage
            own = replace(
                request,
                query=passage.chunk.text,
                vector=passage.vector,
                space=like.space,
                without=passage.overlapping,
            )
            return await self._searched(own, watch)

    async def symbols(self, lookup: Lookup, query: SymbolQuery) -> SymbolAnswer:
        """Return definitions by name; a shard that does not answer is told.

        Raises:
            NotFound: A named collection does not exist.
            Overloaded: Too much waits already.
            DeadlineExceeded: Its turn did not come in time.
        """
        watch = Watch(lookup.deadline_s, self._counts)
        with (
            spans.span("router.symbols", lookup.origin),
            await self._turn(lookup.caller, len(query.name), watch),
        ):
            return await self._lookups.symbols(lookup, query, watch)

    async def _searched(self, request: SearchRequest, watch: Watch) -> SearchAnswer:
        with watch.stage("plan"):
            plan = await self._planner.plan(request)
            terms = await weighed_terms(request, plan)
        with watch.stage("embed"):
            vectors = await self._vectors.of(plan, request, watch)
        plan = plan.without({s: v for s, v in vectors.items() if isinstance(v, ShoalError)})
        wish = wish_of(request.query) if request.mode is Mode.HYBRID else None
        fused = request.mode is Mode.HYBRID or len(plan.spaces) > 1
        depth = depth_for(request.wanted, fused) + len(request.without)
        # Nobody knows which texts a later page shows before all shards have answered.
        texts = 0 if request.offset else request.limit + min(len(request.without), request.limit)
        context = request.context
        if request.reranker:  # reads the best of all pages, and them alone
            texts, context = max(texts, RERANK_DEPTH), 0
        with watch.stage("shards"):
            query = ShardQuery(None, terms, request.filter, depth, texts, context, current(), wish)
            asked = await self._scatter.ask(shard_queries(plan, query, vectors), watch)
        with watch.stage("merge"):
            hits, more, asked, problem = await self._hits(request, wish or Wish(), asked, watch)
        coverage = (*plan.left_out, *coverage_of(asked))
        self._check_coverage(coverage, request.require_full_coverage)
        return SearchAnswer(hits, coverage, watch.timings_ms(asked), more, problem)

    async def embed(
        self,
        model: str,
        texts: Sequence[str],
        kind: Kind,
        deadline_s: float,
        caller: str = "",
        origin: Origin = NOBODY,
    ) -> Embeddings:
        """Embed texts with a model ("" for the default).

        Raises:
            ModelLoadError: The model cannot be loaded.
            MemoryLimitExceeded: There is no memory for it.
            Overloaded: Too much waits already.
            DeadlineExceeded: Time ran out.
        """
        watch = Watch(deadline_s, self._counts)
        with (
            spans.span("router.embed", origin, texts=len(texts)),
            await self._turn(caller, sum(map(len, texts)), watch),
        ):
            try:
                return await self._replicas.embed(model, "", tuple(texts), kind, watch.give_up_at)
            except TimeoutError as error:
                raise not_embedded(deadline_s) from error

    async def refresh(self) -> frozenset[str]:
        """See what was published; return the segments that searches use now."""
        await asyncio.to_thread(self._corpora.reopen)
        self._replicas.keep_only(self._corpora.fingerprints())
        self._scatter.keep_only(self._corpora.names())
        return self._corpora.segments()

    async def arrange(self, topology: Topology) -> None:
        """Ask these hosts from now on; searches under way go on with those that they began with.

        The replicas of each model are looked up again, as there may be more or fewer of them too.
        """
        self._scatter.arrange(topology)
        self._replicas.keep_only(frozenset())

    async def listens(self) -> Address:
        """Return where processes of the same machine may call it past Ray."""
        return await self._listener.address()

    @answers_always
    async def configuration(self) -> RouterConfig:
        """Return what this actor was made with."""
        return self._config

    @answers_always
    async def status(self) -> ActorStatus:
        """Return how the actor is."""
        now = {
            "at_work": self._admission.at_work,
            "waiting": self._admission.waiting,
            "overloaded": self._admission.refused,
            "left_waiting": self._admission.dropped,
            "shard_queries_in_flight": self._scatter.in_flight,
            "shard_queries_waiting": self._scatter.waiting,
            "texts_in_flight": self._replicas.in_flight,
            "texts_waiting": self._replicas.waiting + self._scorers.waiting,
        }
        told = {**now, **self._counts.told()}
        return status_of(self, self._config, self._memory, **told)

    @answers_always
    async def histograms(self) -> tuple[Histogram, ...]:
        """Return how long stages took and how large batches were, since the actor started."""
        return self._counts.histograms()

    def _relieve(self, pressure: Pressure) -> None:
        if pressure is not Pressure.OK:
            self._replicas.forget_vectors()

    async def _turn(self, caller: str, size: int, watch: Watch) -> AbstractContextManager[None]:
        """Wait until the request may come in.

        Raises:
            Overloaded: Too much waits already.
            DeadlineExceeded: Its time was up before.
        """
        with watch.stage("queue"):
            try:
                return await self._admission.turn(caller, size, watch.left_s)
            except TimeoutError as error:
                raise _not_in_time() from error

    def _check_coverage(self, coverage: Sequence[Coverage], is_required: bool) -> None:
        if all(part.coverage == 1 for part in coverage):
            self._counts.complete_answers += 1
        elif is_required:
            raise incomplete(coverage)
        else:
            self._counts.partial_answers += 1

    async def _hits(
        self, request: SearchRequest, wish: Wish, asked: Sequence[Asked], watch: Watch
    ) -> tuple[tuple[Hit, ...], bool, list[Asked], str]:
        """Return the hits, whether there are more, the shards, and why hits are not reranked."""
        answered = [(a, a.answer.without(request.without)) for a in asked if a.answer]
        sides = [(a.space, answer) for a, answer in answered]
        found = best_of(request.mode, sides, request.wanted, wish)
        known = {
            i: (a.shard.collection, record)
            for a, answer in answered
            for i, record in answer.records.items()
        }
        ordered = Reranked(found.ranking)
        if request.reranker:
            ordered = await self._reranked(request, found.ranking, known, answered, watch)
        best = ordered.ranking.between(request.offset, request.offset + request.limit)
        late, failed = await fetch_texts(
            self._scatter, best, known, answered, request.context, watch
        )
        known.update(late)
        reasons = ordered.explained(why(found, best.ids)) if request.explain else {}
        hits = tuple(
            Hit(known[i][0], i, score, known[i][1], reasons.get(i))
            for i, score in zip(best.ids.tolist(), best.scores.tolist(), strict=True)
            if i in known
        )
        more = len(found.ranking.ids) > request.offset + request.limit
        return hits, more, [failed.get(a.shard, a) for a in asked], ordered.problem

    async def _reranked(
        self,
        request: SearchRequest,
        found: Ranking,
        known: dict[int, tuple[str, bytes]],
        answered: Sequence[tuple[Asked, ShardAnswer]],
        watch: Watch,
    ) -> Reranked:
        """Have the best of a ranking read by a cross-encoder; see `reranked`.

        `known` gains the texts that are fetched for that; where a page wants lines around them,
        it loses all, as these came without.
        """
        with watch.stage("rerank"):
            best = found.between(0, RERANK_DEPTH)
            late, _ = await fetch_texts(self._scatter, best, known, answered, 0, watch)
            known.update(late)
            ordered = await reranked(self._scorers.score, request, found, known, watch)
        if request.context:
            known.clear()
        return ordered


def _size_of(request: SearchRequest) -> int:
    return len(request.query) + (0 if request.vector is None else request.vector.nbytes)


def _not_in_time() -> DeadlineExceeded:
    message = "the time of this request was up before its turn came; give it more, or come later"
    return DeadlineExceeded(message, retry_after_s=1.0)
