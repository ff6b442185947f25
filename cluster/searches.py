"""Searches that wait for a router go there together."""

from __future__ import annotations

import math
import time
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

from actors.errors import DeadlineExceeded, GatewayUnavailable, ReplicaLost
from actors.messages import SearchAnswer, SearchRequest
from actors.routing.batch import Coalescer, Coalescers
from cluster.calls import Calls

_Answer = SearchAnswer | BaseException
_OF_ROUTERS = (GatewayUnavailable, ReplicaLost)
"""What is not the doing of one search."""
_SLOTS = 4
"""Batches under way at once to one router, which works on all of them: at 32 callers two cores were
idle for a seventh of the time with two batches, for a ninth with three, for a tenth with five."""
_PATIENCE_S = 0.1
"""Several times what a batch takes: one that waits for a shard that hangs holds up no other."""


@dataclass(frozen=True, slots=True)
class _Search:
    request: SearchRequest
    give_up_at: float


class Searches:
    """Sends searches to routers: at once while few are under way, else those alike in one call.

    Args:
        calls: Reaches the routers.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._queues: Coalescers[Hashable, _Search, _Answer] = Coalescers()

    async def answer(self, request: SearchRequest) -> SearchAnswer:
        """Return what a router answers.

        Raises:
            ShoalError: What the router raised, or there is none.
        """
        search = _Search(request, time.monotonic() + request.deadline_s)
        queue = self._queues.of(
            _kind(request), lambda: Coalescer(self._send, _OF_ROUTERS, patience_s=_PATIENCE_S)
        )
        queue.slots = _SLOTS * self._calls.routers
        try:
            answer = await queue.submit(search, search.give_up_at)
        except TimeoutError as error:
            raise _not_in_time(request) from error
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def _send(self, searches: Sequence[_Search], give_up_at: float) -> tuple[_Answer, ...]:
        now = time.monotonic()
        batch = tuple(replace(s.request, deadline_s=s.give_up_at - now) for s in searches)
        answers: tuple[_Answer, ...] = await self._calls.ask_router(
            lambda router: router.search_many.remote(batch), give_up_at - now, len(batch)
        )
        return answers


def _kind(request: SearchRequest) -> Hashable:
    """Return what only searches have in common that wait for the same, and about as long.

    A batch comes back as one, once its last search is answered or its time is up.
    """
    has_vector, seconds = request.vector is not None, math.ceil(request.deadline_s)
    slow = request.typos, request.reranker
    return request.mode, has_vector, slow, request.collections, seconds


def _not_in_time(request: SearchRequest) -> DeadlineExceeded:
    message = f"no router was free within {request.deadline_s:g} s; give it more, or come later"
    return DeadlineExceeded(message, retry_after_s=1.0)
