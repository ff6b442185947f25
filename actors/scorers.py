"""How a router has pairs scored: by the replicas of a cross-encoder, one query after the other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from actors.engines.base import Scores
from actors.errors import ModelLoadError, Overloaded
from actors.messages import Scored
from actors.origin import Origin, current, working_for
from actors.replicas import Replicas
from actors.routing.batch import MOST, SLOTS, Coalescer, Coalescers
from actors.routing.counts import Counts

_MOST_WAITING = 8
"""Queries that wait for a cross-encoder: each takes it longer than a whole search takes, so one
more is better answered at once, with hits in the order that they have, than late."""
_OF_THE_MODEL = (TimeoutError, ModelLoadError)
"""What is not the doing of one query."""


@dataclass(frozen=True, slots=True)
class _Pairs:
    """A query and the texts to score, as they wait for their turn."""

    query: str
    texts: tuple[str, ...]
    origin: Origin

    def __len__(self) -> int:
        return MOST  # they are a batch by themselves


class Scorers:
    """Scores texts against queries; belongs to one event loop.

    Args:
        replicas: Reaches those of the cross-encoder.
        counts: Where calls are counted.
    """

    def __init__(self, replicas: Replicas, counts: Counts) -> None:
        self._replicas = replicas
        self._counts = counts
        self._queues: Coalescers[str, _Pairs, Scores] = Coalescers()

    @property
    def waiting(self) -> int:
        """How many queries wait for their turn."""
        return self._queues.waiting

    async def score(
        self, model: str, query: str, texts: tuple[str, ...], give_up_at: float
    ) -> Scores:
        """Return how well texts answer a query, float32 [len(texts)]; see `CrossEncoder.score`.

        Args:
            model: The cross-encoder's name; its pool is made where there is none.
            query: What is asked.
            texts: What may answer it.
            give_up_at: The `time.monotonic` at which time is up.

        Raises:
            InvalidRequest: The model is no cross-encoder.
            Overloaded: Too many wait for it already.
            TimeoutError: Time is up.
            ShoalError: As from `Replicas.embed`.
        """
        queue = self._queue(model)
        if len(queue) >= _MOST_WAITING:
            message = f"{len(queue)} queries wait for {model} already; come back later"
            raise Overloaded(message, retry_after_s=1.0)
        answer = queue.submit(_Pairs(query, texts, current()), give_up_at)
        async with asyncio.timeout(max(give_up_at - time.monotonic(), 0)):
            return await answer

    def _queue(self, model: str) -> Coalescer[_Pairs, Scores]:
        send = partial(self._send, model)
        return self._queues.of(
            model, lambda: Coalescer(send, _OF_THE_MODEL, self._counts.dropped, len)
        )

    async def _send(
        self, model: str, batch: Sequence[_Pairs], give_up_at: float
    ) -> Sequence[Scores]:
        (pairs,) = batch
        with working_for(pairs.origin):
            pool = await self._replicas.pool("score", model, "", give_up_at)
            self._queue(model).slots = SLOTS * len(pool.embedders)
            found: Scored = await self._replicas.ask(
                pool,
                "score",
                len(pairs.texts),
                lambda replica, retried: replica.score.remote(
                    pairs.query, pairs.texts, retried, (pairs.origin,)
                ),
                give_up_at,
            )
        return [found.scores]
