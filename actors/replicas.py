"""How a router reaches the replicas of a model: finds their pool, asks one that has memory."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ray.exceptions import RayError

from actors.asking import first_answer
from actors.engines.base import Kind, Task
from actors.engines.registry import check_task
from actors.errors import MemoryLimitExceeded, ModelLoadError, ModelMismatch, ReplicaLost
from actors.messages import POOL_LEASE_S, Embedded, Embeddings, Pool
from actors.origin import Origin, current, joined, working_for
from actors.peers import Peers
from actors.routing.batch import SLOTS, Coalescer, Coalescers
from actors.routing.counts import Counts
from actors.routing.hedge import Pace
from actors.routing.vector_cache import VectorCache

_log = logging.getLogger("shoal.replicas")

_HEARD_S = 2.0
"""How long a replica that was short of memory is asked last."""
_READY_S = 60.0
"""A replica that has not answered for so long may have unloaded its model."""
_LOADING = 64
"""Texts in flight at a replica that is ready, before one is asked that has to load first."""
_IN_USE_S = POOL_LEASE_S / 3
_RENEW_S = POOL_LEASE_S
_STEWARD_S = 2.0
"""For the steward to say whether a pool is there still that nobody used for a while."""
_RANK = {"ok": 0, "soft": 1, "hard": 2}
_LAST_WORDS_S = 5.0
"""For one of them to be back and say why it died."""
_OF_THE_MODEL = (TimeoutError, ModelLoadError, ModelMismatch)
"""What is not the doing of one text."""

Texts = tuple[str, ...]
Vectors = NDArray[np.float32]
_Key = tuple[str, str, Kind]


@dataclass(frozen=True, slots=True)
class _Asked:
    """Texts of one request, as they wait for a batch."""

    texts: Texts
    origin: Origin

    def __len__(self) -> int:
        return len(self.texts)


class Replicas:
    """Embeds on whichever replica can, what waits in one call; belongs to one event loop.

    Args:
        steward: Actor name of the steward, which makes pools.
        counts: Where calls are counted.
    """

    def __init__(self, steward: str, counts: Counts) -> None:
        self._steward = steward
        self._counts = counts
        self._peers = Peers(counts)
        self._pools: dict[tuple[str, str], tuple[Pool, float]] = {}
        self._heard: dict[str, tuple[int, float]] = {}
        self._renewing: dict[tuple[str, str], asyncio.Task[Pool]] = {}
        self._queues: Coalescers[_Key, _Asked, Embeddings] = Coalescers()
        self._paces: defaultdict[tuple[str, Kind | Task], Pace] = defaultdict(Pace)
        self._remembered = VectorCache()

    @property
    def in_flight(self) -> int:
        """How many texts are under way."""
        return self._peers.in_flight

    @property
    def waiting(self) -> int:
        """How many requests wait for a batch."""
        return self._queues.waiting

    async def vector(
        self, model: str, fingerprint: str, text: str, kind: Kind, give_up_at: float
    ) -> Vectors:
        """Return a text's unit vector, float32 [d]; a query that was asked for lately is at hand.

        Raises:
            ShoalError: As from `embed`.
            TimeoutError: Time is up.
        """
        if kind == "query":
            return await self._query_vector(model, fingerprint, text, give_up_at)
        found = await self.embed(model, fingerprint, (text,), kind, give_up_at)
        vector: Vectors = found.vectors[0]
        return vector

    async def _query_vector(
        self, model: str, fingerprint: str, query: str, give_up_at: float
    ) -> Vectors:
        known = self._remembered.get(fingerprint, query)
        if known is not None:
            self._counts.cached_vectors += 1
            return known
        self._counts.missed_vectors += 1
        found = await self.embed(model, fingerprint, (query,), "query", give_up_at)
        vector: Vectors = found.vectors[0]
        self._remembered.put(fingerprint, query, vector)
        return vector

    async def embed(
        self, model: str, fingerprint: str, texts: Texts, kind: Kind, give_up_at: float
    ) -> Embeddings:
        """Return unit vectors, and what was read; the model's pool is made where there is none.

        Args:
            model: The model's name, or "" for the default.
            fingerprint: What its vectors must be, or "" for whatever they are.
            texts: What to embed.
            kind: Picks the prefix of models that have them.
            give_up_at: The `time.monotonic` at which time is up.

        Raises:
            TimeoutError: Time is up.
            ModelMismatch: The model's files are not those of `fingerprint`.
            ModelLoadError: The model cannot be loaded.
            MemoryLimitExceeded: No replica has the memory for it.
            ReplicaLost: Every replica died over it.
        """
        queue = self._queue((model, fingerprint, kind))
        answer = queue.submit(_Asked(texts, current()), give_up_at)
        async with asyncio.timeout(max(give_up_at - time.monotonic(), 0)):
            return await answer

    def keep_only(self, fingerprints: frozenset[str]) -> None:
        """Forget the pools of other models."""
        self._pools = {key: p for key, p in self._pools.items() if key[1] in fingerprints}

    def forget_vectors(self) -> None:
        """Give up what can be computed again."""
        self._remembered.clear()

    async def pool(self, task: Task, model: str, fingerprint: str, give_up_at: float) -> Pool:
        """Return a model's pool, made where there is none.

        Args:
            task: What the model has to be for.
            model: The model's name, or "" for the default.
            fingerprint: What its vectors must be, or "" for whatever they are.
            give_up_at: The `time.monotonic` at which time is up.

        Raises:
            InvalidRequest: The model is for something else.
            TimeoutError: Time is up.
            ShoalError: As from `embed`.
        """
        pool = await self._pool(model, fingerprint, lambda: give_up_at - time.monotonic())
        check_task(pool.model, pool.fingerprint, task)
        return pool

    def _queue(self, key: _Key) -> Coalescer[_Asked, Embeddings]:
        return self._queues.of(
            key,
            lambda: Coalescer(partial(self._send, key), _OF_THE_MODEL, self._counts.dropped, len),
        )

    async def _send(
        self, key: _Key, batch: Sequence[_Asked], give_up_at: float
    ) -> Sequence[Embeddings]:
        with working_for(joined([asked.origin for asked in batch])):
            return await self._embedded(key, batch, give_up_at)

    async def _embedded(
        self, key: _Key, batch: Sequence[_Asked], give_up_at: float
    ) -> Sequence[Embeddings]:
        model, fingerprint, kind = key
        texts = tuple(itertools.chain.from_iterable(asked.texts for asked in batch))
        origins = tuple(asked.origin for asked in batch)

        pool = await self.pool("embed", model, fingerprint, give_up_at)
        self._queue(key).slots = SLOTS * len(pool.embedders)
        found: Embedded = await self.ask(
            pool,
            kind,
            len(texts),
            lambda replica, retried: replica.embed.remote(texts, kind, retried, origins),
            give_up_at,
        )
        return _parted(found, map(len, batch))

    async def _pool(self, model: str, fingerprint: str, left_s: Callable[[], float]) -> Pool:
        """Return the model's pool; asking now and then tells the steward that it is in use.

        While it is, nobody waits for the steward, who may be away or at other work. One that was
        not used for so long that it may have been retired is asked for first, if he is there.
        """
        known, asked_at = self._pools.get((model, fingerprint), (None, 0.0))
        if known is None:
            return await self._ask_steward(model, fingerprint, left_s)
        age_s = time.monotonic() - asked_at
        if age_s < _IN_USE_S:
            return known
        renewing = self._renewal(model, fingerprint)
        if age_s >= POOL_LEASE_S:
            await asyncio.wait({renewing}, timeout=min(_STEWARD_S, max(left_s(), 0)))
        return self._pools.get((model, fingerprint), (known, 0.0))[0]

    def _renewal(self, model: str, fingerprint: str) -> asyncio.Task[Pool]:
        """Return the task that asks the steward for a pool that is known; there is one at most."""
        key = model, fingerprint
        renewing = self._renewing.get(key)
        if renewing is None:
            give_up = time.monotonic() + _RENEW_S
            renewing = asyncio.create_task(
                self._ask_steward(model, fingerprint, lambda: give_up - time.monotonic())
            )
            self._renewing[key] = renewing
            renewing.add_done_callback(partial(self._renewed, key))
        return renewing

    def _renewed(self, key: tuple[str, str], renewing: asyncio.Task[Pool]) -> None:
        del self._renewing[key]
        if not renewing.cancelled() and (error := renewing.exception()):
            _log.warning("the pool of %s is not renewed: %s", key[0] or "the default", error)

    async def _ask_steward(self, model: str, fingerprint: str, left_s: Callable[[], float]) -> Pool:
        pool: Pool = await first_answer(
            [self._steward], lambda steward: steward.pool.remote(model, fingerprint), left_s
        )
        self._pools[model, fingerprint] = (pool, time.monotonic())
        return pool

    async def ask(
        self,
        pool: Pool,
        work: Kind | Task,
        texts: int,
        call: Callable[[Any, bool], Awaitable[Any]],
        give_up_at: float,
    ) -> Any:  # noqa: ANN401 - what the call returns: `Embedded` or `Scored`
        """Return what one of a pool's replicas makes of so many texts.

        Args:
            pool: The pool.
            work: What is done; only a query is asked of another replica where one is late.
            texts: How many texts it is done to.
            call: Makes the remote call, told whether another try came to nothing.
            give_up_at: The `time.monotonic` at which time is up.

        Raises:
            TimeoutError: Time is up.
            ShoalError: As from `embed`.
        """
        self._counts.embed_calls += 1
        self._counts.embed_texts += texts
        self._counts.embedder_batches.note(texts)
        tries = itertools.count()
        order = self._peers.order(pool.embedders, self._cost)
        quick = [name for name in order[1:] if work == "query" and self._is_ready(name)]
        try:
            answer = await self._peers.ask(
                order,
                lambda actor: call(actor, next(tries) > 0),
                lambda: give_up_at - time.monotonic(),
                weight=texts,
                pace=self._paces[pool.model, work],
                others=quick,
            )
        except ReplicaLost as error:
            self._pools = {key: known for key, known in self._pools.items() if known[0] != pool}
            raise await _with_last_words(pool, error) from error
        self._heard[answer.replica] = (_RANK[answer.pressure], time.monotonic())
        return answer

    def _cost(self, name: str) -> tuple[int, bool, int]:
        """Return what it costs to ask a replica: short of memory, late, loading, or busy."""
        rank, heard_at = self._heard.get(name, (0, 0.0))
        pressed = rank if time.monotonic() - heard_at < _HEARD_S else 0
        late, in_flight = self._peers.load(name)
        return pressed, late, in_flight + (0 if self._is_ready(name) else _LOADING)

    def _is_ready(self, name: str) -> bool:
        """Tell whether it answered lately; one that was never heard of has to load first."""
        _, heard_at = self._heard.get(name, (0, float("-inf")))
        return time.monotonic() - heard_at < _READY_S


def _parted(found: Embedded, sizes: Iterable[int]) -> list[Embeddings]:
    """Return what is each request's of a batch, by how many texts it sent."""
    ends = itertools.accumulate(sizes, initial=0)
    return [
        Embeddings(found.vectors[start:end], found.tokens[start:end])
        for start, end in itertools.pairwise(ends)
    ]


async def _with_last_words(pool: Pool, lost: ReplicaLost) -> ReplicaLost | MemoryLimitExceeded:
    """Tell why the replicas died, where it was their memory limit."""
    give_up = time.monotonic() + _LAST_WORDS_S
    try:
        said: str = await first_answer(
            pool.embedders,
            lambda actor: actor.last_death.remote(),
            lambda: give_up - time.monotonic(),
        )
    except (TimeoutError, RayError, ReplicaLost):
        return lost
    return MemoryLimitExceeded(said, lost.retry_after_s) if said else lost
