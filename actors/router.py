"""Router: embeds a query, asks every shard, and merges what comes back before the deadline."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from actors.errors import DeadlineExceeded, ShoalError
from actors.index.dense import normalised
from actors.index.fusion import Mode
from actors.index.ranking import Ranking
from actors.messages import (
    ActorStatus,
    Chunk,
    Coverage,
    Hit,
    SearchAnswer,
    SearchRequest,
    ShardAnswer,
    ShardQuery,
    ShardRef,
)
from actors.process import answers_always, first_answer, status_of
from actors.routing.corpus import Corpora, Plan, make_plan
from actors.routing.gather import best_of, depth_for
from actors.routing.place import placement
from actors.storage import Storage

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class RouterConfig:
    """What a Router is made with.

    Attributes:
        name: Its actor name.
        root: The storage root.
        model: Fingerprint of what the embedders embed with, in one line.
        embedders: Actor names of the model's replicas.
        hosts: Actor names of the shard hosts.
    """

    name: str
    root: str
    model: str
    embedders: tuple[str, ...]
    hosts: tuple[str, ...]


class Router:
    """Answers searches; holds nothing that it could not read again from storage."""

    def __init__(self, config: RouterConfig) -> None:
        self._config = config
        self._corpora = Corpora(Storage(config.root))
        self._embedders = itertools.cycle(config.embedders)
        self._answers: Counter[str] = Counter()

    async def search(self, request: SearchRequest) -> SearchAnswer:
        """Return the best hits of all shards that answer before the deadline.

        Raises:
            NotFound: A named collection does not exist.
            ModelMismatch: A named collection was made by another model.
            ModelLoadError: The query cannot be embedded.
            DeadlineExceeded: The query was not embedded in time.
        """
        watch = _Watch(request.deadline_s)
        plan, vector = await asyncio.gather(
            watch.timed(
                "plan", asyncio.to_thread(make_plan, self._corpora, self._config.model, request)
            ),
            watch.timed("embed", self._vector(request, watch)),
        )
        answers = await watch.timed("shards", self._scatter(plan, vector, request, watch))
        hits, answers = await watch.timed("merge", self._hits(request, answers, watch))
        self._answers["complete" if all(a.answer for a in answers) else "partial"] += 1
        return SearchAnswer(hits, (*plan.left_out, *_coverage(answers)), watch.timings_ms(answers))

    async def refresh(self) -> frozenset[str]:
        """See what was published; return the segments that searches use now."""
        await asyncio.to_thread(self._corpora.reopen)
        return self._corpora.segments()

    @answers_always
    async def configuration(self) -> RouterConfig:
        """Return what this actor was made with."""
        return self._config

    @answers_always
    async def status(self) -> ActorStatus:
        """Return how the actor is."""
        counts = {f"{kind}_answers": count for kind, count in self._answers.items()}
        return status_of(self, self._config.name, **counts)

    async def _vector(self, request: SearchRequest, watch: _Watch) -> NDArray[np.float32] | None:
        if request.mode is Mode.LEXICAL:
            return None
        if request.vector is not None:
            unit: NDArray[np.float32] = normalised(request.vector[None])[0]
            return unit
        names = itertools.islice(self._embedders, len(self._config.embedders))
        try:
            answer = await first_answer(
                list(names),
                lambda actor: actor.embed.remote([request.query], "query"),
                watch.left_s,
            )
        except TimeoutError as error:
            message = (
                f"the query was not embedded within {request.deadline_s:g} s; try again, "
                "or search with mode lexical, which needs no model"
            )
            raise DeadlineExceeded(message, retry_after_s=1.0) from error
        vector: NDArray[np.float32] = answer[0]
        return vector

    async def _scatter(
        self,
        plan: Plan,
        vector: NDArray[np.float32] | None,
        request: SearchRequest,
        watch: _Watch,
    ) -> list[_Asked]:
        depth = depth_for(request.limit)
        query = ShardQuery(
            vector, plan.terms, request.filter, depth, request.limit, request.context
        )
        asked = []
        for generation in plan.generations:
            manifest = generation.manifest
            places = placement(manifest.collection, len(manifest.shards), self._config.hosts)
            for number, hosts in enumerate(places):
                asked.append(_ask(manifest.shard(number), hosts, query, watch))
        return list(await asyncio.gather(*asked))

    async def _hits(
        self, request: SearchRequest, asked: Sequence[_Asked], watch: _Watch
    ) -> tuple[tuple[Hit, ...], list[_Asked]]:
        """Return the hits, and the shards with those that failed to give their text."""
        answered = [(a, a.answer) for a in asked if a.answer]
        best = best_of(request.mode, [answer for _, answer in answered], request.limit)
        known = {
            i: (a.shard.collection, c) for a, answer in answered for i, c in answer.chunks.items()
        }
        late, failed = await _texts(best, known, answered, request.context, watch)
        known.update(late)
        hits = tuple(
            Hit(known[i][0], i, score, known[i][1])
            for i, score in zip(best.ids.tolist(), best.scores.tolist(), strict=True)
            if i in known
        )
        return hits, [failed.get(a.shard, a) for a in asked]


@dataclass(frozen=True, slots=True)
class _Asked:
    """A shard, whom it was asked of, and its answer or the reason that there is none."""

    shard: ShardRef
    hosts: list[str]
    answer: ShardAnswer | None
    problem: str = ""

    async def fetch(self, ids: NDArray[np.uint64], context: int, watch: _Watch) -> dict[int, Chunk]:
        """Return the text of chunks of this shard."""
        shard = self.shard
        found: dict[int, Chunk] = await first_answer(
            self.hosts, lambda actor: actor.chunks.remote(shard, ids, context), watch.left_s
        )
        return found


class _Watch:
    """Knows how much of a request's time is left, and where it went."""

    def __init__(self, deadline_s: float) -> None:
        self._started = time.perf_counter()
        self._deadline_s = deadline_s
        self._spent: dict[str, float] = {}

    def left_s(self) -> float:
        return self._deadline_s - (time.perf_counter() - self._started)

    async def timed(self, stage: str, work: Awaitable[_T]) -> _T:
        started = time.perf_counter()
        try:
            return await work
        finally:
            self._spent[stage] = time.perf_counter() - started

    def timings_ms(self, asked: Sequence[_Asked]) -> dict[str, float]:
        in_host = max((a.answer.search_ms for a in asked if a.answer), default=0.0)
        spent = {stage: seconds * 1e3 for stage, seconds in self._spent.items()}
        total = (time.perf_counter() - self._started) * 1e3
        return {
            k: round(v, 3) for k, v in {**spent, "slowest_host": in_host, "router": total}.items()
        }


async def _ask(shard: ShardRef, hosts: list[str], query: ShardQuery, watch: _Watch) -> _Asked:
    try:
        (answer,) = await first_answer(
            hosts, lambda host: host.search.remote(shard, (query,)), watch.left_s
        )
    except Exception as error:  # noqa: BLE001 - whatever befell a shard, the others answer
        return _failed(shard, hosts, error)
    return _Asked(shard, hosts, answer)


def _failed(shard: ShardRef, hosts: list[str], error: Exception) -> _Asked:
    if isinstance(error, TimeoutError):
        return _Asked(shard, hosts, None, f"shard {shard.shard} did not answer in time")
    said = str(error) if isinstance(error, ShoalError) else repr(error)
    return _Asked(shard, hosts, None, f"shard {shard.shard}: {said}")


async def _texts(
    best: Ranking,
    known: dict[int, tuple[str, Chunk]],
    answered: Sequence[tuple[_Asked, ShardAnswer]],
    context: int,
    watch: _Watch,
) -> tuple[dict[int, tuple[str, Chunk]], dict[ShardRef, _Asked]]:
    """Fetch the text of hits that their shard did not expect to be among the best.

    Returns:
        What came, and the shards from which it did not.
    """
    missing = best.ids[~np.isin(best.ids, np.fromiter(known, np.uint64, len(known)))]
    found, failed = {}, {}
    for asked, answer in answered if len(missing) else ():
        here = np.intersect1d(missing, np.concatenate((answer.dense.ids, answer.lexical.ids)))
        if len(here) == 0:
            continue
        try:
            chunks = await asked.fetch(here, context, watch)
        except Exception as error:  # noqa: BLE001 - whatever befell a shard, the others answer
            failed[asked.shard] = _failed(asked.shard, asked.hosts, error)
        else:
            found.update({i: (asked.shard.collection, chunk) for i, chunk in chunks.items()})
    return found, failed


def _coverage(asked: Sequence[_Asked]) -> tuple[Coverage, ...]:
    shards = Counter((a.shard.collection, a.shard.generation) for a in asked)
    answered = Counter((a.shard.collection, a.shard.generation) for a in asked if a.answer)
    return tuple(
        Coverage(
            name,
            generation,
            answered[name, generation] / count,
            "; ".join(a.problem for a in asked if a.problem and a.shard.collection == name),
            count,
        )
        for (name, generation), count in shards.items()
    )
