"""Asking shards: what each answered, or why it did not, within the time that a request has."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actors import spans
from actors.errors import IncompleteCoverage, ShoalError, StorageError
from actors.index.ranking import Ranking
from actors.messages import Coverage, ShardAnswer, ShardQuery, ShardRef, Topology
from actors.origin import joined, working_for
from actors.peers import Peers
from actors.routing.batch import SLOTS, Coalescer, Coalescers
from actors.routing.counts import Counts
from actors.routing.hedge import Pace
from actors.routing.place import placement

_OF_THE_SHARD = (TimeoutError, StorageError)
"""What is not the doing of one query."""
_Key = tuple[str, int, int, str]


class Watch:
    """Knows how much of a request's time is left, and where it went.

    Args:
        deadline_s: Seconds that the request may take.
        counts: Where the times are added up.

    Attributes:
        give_up_at: The `time.monotonic` at which its time is up.
    """

    def __init__(self, deadline_s: float, counts: Counts) -> None:
        self._started = time.perf_counter()
        self.give_up_at = time.monotonic() + deadline_s
        self._counts = counts
        self._spent: dict[str, float] = {}

    def left_s(self) -> float:
        """Return the seconds that remain; negative once they are over."""
        return self.give_up_at - time.monotonic()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Note how long the block takes."""
        started = time.perf_counter()
        try:
            with spans.span(f"router.{name}"):
                yield
        finally:
            spent = time.perf_counter() - started
            self._spent[name] = spent
            self._counts.stages[name].note(spent)

    def timings_ms(self, asked: Sequence[Asked]) -> dict[str, float]:
        """Return milliseconds by stage, for people."""
        in_host = max((a.answer.search_ms for a in asked if a.answer), default=0.0)
        spent = {stage: seconds * 1e3 for stage, seconds in self._spent.items()}
        total = time.perf_counter() - self._started
        self._counts.stages["router"].note(total)
        self._counts.stages["slowest_host"].note(in_host / 1e3)
        told = {**spent, "slowest_host": in_host, "router": total * 1e3}
        return {k: round(v, 3) for k, v in told.items()}


@dataclass(frozen=True, slots=True)
class Asked:
    """A shard and its vector space; its answer, or why there is none."""

    shard: ShardRef
    space: str
    answer: ShardAnswer | None = None
    problem: str = ""

    @property
    def key(self) -> _Key:
        """Tells the shard from others, and from its namesake in a collection that was deleted."""
        shard = self.shard
        segment = shard.segments[0].id if shard.segments else ""
        return shard.collection, shard.generation, shard.shard, segment

    def answered(self, answer: asyncio.Future[ShardAnswer]) -> Asked:
        """Return the same with what came of asking, whatever that is; the others answer."""
        if answer.cancelled():
            return self.failed(TimeoutError())
        error = answer.exception()
        return self.failed(error) if error else replace(self, answer=answer.result())

    def failed(self, error: BaseException) -> Asked:
        """Return the same without an answer, and why there is none."""
        number = self.shard.shard
        if isinstance(error, TimeoutError):
            return replace(self, answer=None, problem=f"shard {number} did not answer in time")
        said = str(error) if isinstance(error, ShoalError) else repr(error)
        return replace(self, answer=None, problem=f"shard {number}: {said}")


class Scatter:
    """Asks shards of their hosts: what waits for one goes to it in one call.

    Args:
        topology: The hosts.
        counts: Where calls are counted.
    """

    def __init__(self, topology: Topology, counts: Counts) -> None:
        self._topology = topology
        self._counts = counts
        self._peers = Peers(counts)
        self._queues: Coalescers[_Key, ShardQuery, ShardAnswer] = Coalescers()
        self._paces: defaultdict[tuple[str, int], Pace] = defaultdict(Pace)
        self._text_pace = Pace()
        self._places: dict[tuple[str, int], list[list[str]]] = {}

    @property
    def in_flight(self) -> int:
        """How many queries are under way at hosts, counted once for each shard."""
        return self._peers.in_flight

    @property
    def waiting(self) -> int:
        """How many queries wait for a batch, counted once for each shard."""
        return self._queues.waiting

    def arrange(self, topology: Topology) -> None:
        """Ask these hosts from now on."""
        self._topology = topology
        self._places.clear()

    def keep_only(self, collections: Collection[str]) -> None:
        """Forget what is known of other collections."""
        for key in [key for key in self._paces if key[0] not in collections]:
            del self._paces[key]
        self._places.clear()

    async def ask(self, shards: Sequence[tuple[Asked, ShardQuery]], watch: Watch) -> list[Asked]:
        """Ask shards, each its own form of the query; what befalls one is told, and not raised."""
        give_up_at = watch.give_up_at
        answers = [self._queue(a).submit(query, give_up_at) for a, query in shards]
        try:
            await asyncio.wait(answers, timeout=max(watch.left_s(), 0))
        finally:
            for answer in answers:
                if not answer.done():  # time is up or the caller left: not to be sent any more
                    answer.cancel()
        return [a.answered(answer) for (a, _), answer in zip(shards, answers, strict=True)]

    async def texts(
        self, asked: Asked, ids: NDArray[np.uint64], context: int, watch: Watch
    ) -> dict[int, bytes]:
        """Return records of a shard's chunks."""
        self._counts.second_hops += 1
        found: dict[int, bytes] = await self._one(
            asked, lambda host, shard: host.records.remote(shard, ids, context), watch
        )
        return found

    async def each(
        self, shards: Sequence[Asked], call: Callable[[Any, ShardRef], Awaitable[Any]], watch: Watch
    ) -> list[Any]:
        """Return what a call to a host of each shard comes to, or the error that befell it.

        Args:
            shards: Whom to ask.
            call: Makes the remote call, for a host and a shard that it serves.
            watch: Knows how much time is left.
        """
        asking = [self._one(asked, call, watch) for asked in shards]
        return await asyncio.gather(*asking, return_exceptions=True)

    async def _one(
        self, asked: Asked, call: Callable[[Any, ShardRef], Awaitable[Any]], watch: Watch
    ) -> Any:  # noqa: ANN401 - whatever the remote method returns
        first, beyond = self._hosts(asked)
        return await self._peers.ask(
            [*first, *beyond],
            lambda host: call(host, asked.shard),
            watch.left_s,
            weight=1,
            pace=self._text_pace,
            others=first[1:],
        )

    def _queue(self, asked: Asked) -> Coalescer[ShardQuery, ShardAnswer]:
        send = partial(self._send, asked)
        queue = self._queues.of(
            asked.key, lambda: Coalescer(send, _OF_THE_SHARD, self._counts.dropped)
        )
        queue.slots = SLOTS * min(self._topology.replication, len(self._topology.hosts))
        return queue

    async def _send(
        self, asked: Asked, queries: Sequence[ShardQuery], give_up_at: float
    ) -> tuple[ShardAnswer, ...]:
        self._counts.shard_calls += 1
        self._counts.shard_queries += len(queries)
        self._counts.host_batches.note(len(queries))
        batch, shard = tuple(queries), asked.shard
        first, beyond = self._hosts(asked)
        with working_for(joined([query.origin for query in queries])):
            answers: tuple[ShardAnswer, ...] = await self._peers.ask(
                [*first, *beyond],
                lambda host: host.search.remote(shard, batch),
                lambda: give_up_at - time.monotonic(),
                weight=len(batch),
                pace=self._paces[shard.collection, shard.shard],
                others=first[1:],
            )
        return answers

    def _hosts(self, asked: Asked) -> tuple[list[str], list[str]]:
        """Return those that serve a shard, best first, and those that do where all these died."""
        key = asked.shard.collection, asked.shard.shards
        if key not in self._places:
            self._places[key] = placement(*key, self._topology.hosts, self._topology.nodes)
        hosts = self._places[key][asked.shard.shard]
        number = self._topology.replication
        return self._peers.order(hosts[:number]), hosts[number:]


async def fetch_texts(
    scatter: Scatter,
    best: Ranking,
    known: dict[int, tuple[str, bytes]],
    answered: Sequence[tuple[Asked, ShardAnswer]],
    context: int,
    watch: Watch,
) -> tuple[dict[int, tuple[str, bytes]], dict[ShardRef, Asked]]:
    """Fetch the text of hits that their shard did not expect to be among the best.

    Returns:
        What came, and the shards from which it did not.
    """
    missing = np.array([i for i in best.ids.tolist() if i not in known], np.uint64)
    found, failed = {}, {}

    async def fetch(asked: Asked, ids: NDArray[np.uint64]) -> None:
        try:
            records = await scatter.texts(asked, ids, context, watch)
        except Exception as error:  # noqa: BLE001 - whatever befell a shard, the others answer
            failed[asked.shard] = asked.failed(error)
        else:
            found.update({i: (asked.shard.collection, record) for i, record in records.items()})

    calls = []
    for asked, answer in answered if len(missing) else ():
        here = np.intersect1d(missing, np.concatenate((answer.dense.ids, answer.lexical.ids)))
        if len(here):
            calls.append(fetch(asked, here))
    await asyncio.gather(*calls)
    return found, failed


def coverage_of(asked: Sequence[Asked]) -> tuple[Coverage, ...]:
    """Return how much of each collection was searched, and what was not."""
    shards = Counter((a.shard.collection, a.shard.generation) for a in asked)
    answered = Counter((a.shard.collection, a.shard.generation) for a in asked if not a.problem)
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


def incomplete(coverage: Sequence[Coverage]) -> IncompleteCoverage:
    """Return the error of an answer that had to be of all shards and is not; it names them."""
    missing = "; ".join(
        f"{part.name}: {part.problem or 'not searched'}" for part in coverage if part.coverage < 1
    )
    message = f"full coverage is required, and not all was searched ({missing}); try again"
    return IncompleteCoverage(message, retry_after_s=1.0)
