"""ShardHost: serves shards from a process of its own, inside its memory limit."""

from __future__ import annotations

import logging
from concurrent.futures import Executor
from dataclasses import dataclass
from importlib import import_module

import numpy as np
import ray
from numpy.typing import NDArray

from actors import spans
from actors.direct_wire import Address, Request
from actors.errors import ShoalError
from actors.index.paged import BUILD_BYTES, build_index
from actors.index.shards import Shards
from actors.listening import Listener, listen_in_thread
from actors.lookup_messages import Definitions, Passage, PassageQuery, SymbolQuery
from actors.memory import Pressure, node_memory
from actors.messages import ActorStatus, ShardAnswer, ShardQuery, ShardRef
from actors.priority import cores, step_back
from actors.process import MemoryConfig, answers_always, guard_memory, started_threads, status_of
from actors.storage import Storage

_log = logging.getLogger("shoal.host")

_BUILD_S = 300.0
"""For a paged index, waiting for memory included; 500,000 rows take 15 s."""


SEARCHES_AT_ONCE = 4
"""In one host, of what may wait for storage: a slow read holds up one of them."""
_AT_HAND_AT_ONCE = max(1, min(SEARCHES_AT_ONCE, cores() // 2))
"""Searches of what is in memory, which keep a core busy each: callers, gateway and router need the
other half. Two hosts on two cores answered 32 callers 5% more often with one each than with four,
which have less of a core's cache each and take Python's lock from each other."""
_DIRECT = frozenset({"search", "records", "passage", "definitions"})
"""Methods that are called over the actor's own socket too."""


@dataclass(frozen=True, slots=True)
class HostConfig:
    """What a ShardHost is made with: its actor name, the storage root, its memory."""

    name: str
    root: str
    memory: MemoryConfig


class ShardHost:
    """Serves any shard of any collection."""

    def __init__(self, config: HostConfig) -> None:
        self._config = config
        # Threads come first: where the address space is capped, the stack of each would count.
        self._threads = started_threads(SEARCHES_AT_ONCE, "host")
        self._threads_at_hand = started_threads(_AT_HAND_AT_ONCE, "at-hand")
        self._listener = Listener(self, _DIRECT, self._threads_for)
        self._address = listen_in_thread(self._listener)
        import_module("lance")  # reserves 1 GiB of addresses, which a cap would count from then on
        self._memory = guard_memory(config)
        self._shards = Shards(
            Storage(config.root), self._memory.check_room, self._room, _build_index_elsewhere
        )
        self._memory.on_pressure(self._relieve)

    def search(self, shard: ShardRef, queries: tuple[ShardQuery, ...]) -> tuple[ShardAnswer, ...]:
        """Answer each query with the shard's best candidates.

        Raises:
            CorruptData: A segment of the shard is damaged.
            MemoryLimitExceeded: There is no memory to open or search it.
        """
        what = f"search shard {shard.shard} of {shard.collection}"
        whose = [query.origin for query in queries]
        with spans.span("host.search", *whose, shard=shard.shard, queries=len(queries)):
            self._memory.admit(what)
            with self._memory.track(what, logging.DEBUG):
                return self._shards.search(shard, queries)

    def records(self, shard: ShardRef, ids: NDArray[np.uint64], context: int) -> dict[int, bytes]:
        """Return records of those of `ids`, uint64 [n], in the shard, with lines around them.

        Raises:
            LimitExceeded: That would be more text than is read at once.
        """
        what = f"read {len(ids)} chunks of {shard.collection}"
        with self._memory.track(what, logging.DEBUG):
            return self._shards.records(shard, ids, context)

    def passage(self, shard: ShardRef, query: PassageQuery) -> Passage | None:
        """Return stored lines, or None where the shard has neither the chunk nor the file.

        Raises:
            NotFound: The file is here, and has no such lines.
            LimitExceeded: That is more text than is read at once.
        """
        what = f"read from shard {shard.shard} of {shard.collection}"
        with spans.span("host.passage", query.origin, shard=shard.shard):
            self._memory.admit(what)
            with self._memory.track(what, logging.DEBUG):
                return self._shards.passage(shard, query)

    def definitions(self, shard: ShardRef, query: SymbolQuery) -> Definitions:
        """Return what the shard defines under a name.

        Raises:
            CorruptData: A segment of the shard is damaged.
        """
        what = f"look a name up in shard {shard.shard} of {shard.collection}"
        with spans.span("host.definitions", query.origin, shard=shard.shard):
            self._memory.admit(what)
            with self._memory.track(what, logging.DEBUG):
                return self._shards.definitions(shard, query)

    def warm(self, shards: tuple[ShardRef, ...]) -> None:
        """Open what the shards need, before a search asks for it; what cannot be is left to it."""
        for shard in shards:
            what = f"warm shard {shard.shard} of {shard.collection}"
            try:
                with self._memory.track(what, logging.DEBUG):
                    self._shards.warm(shard)
            except (ShoalError, MemoryError) as error:
                _log.warning("cannot %s: %s", what, error)

    def keep_only(self, collection_segments: frozenset[str]) -> None:
        """Close every segment that is not named, and forget its tombstones."""
        self._shards.keep_only(collection_segments)

    @answers_always
    def listens(self) -> Address:
        """Return where processes of the same machine may call it past Ray."""
        return self._address

    @answers_always
    def configuration(self) -> HostConfig:
        """Return what this actor was made with."""
        return self._config

    @answers_always
    def status(self) -> ActorStatus:
        """Return how the actor is."""
        return status_of(self, self._config, self._memory, **self._shards.census())

    def _threads_for(self, request: Request) -> Executor:
        """Return where a call is to run: what waits for storage is not to hold up what does not."""
        if request.method == "search" and self._shards.is_at_hand(request.args[0]):
            return self._threads_at_hand
        return self._threads

    def _room(self) -> int:
        """Return how many bytes may be taken before memory is short here or on the node."""
        held = self._memory.sample()
        ours = int(self._config.memory.soft * held.limit) - held.pss
        return min(ours, node_memory().available)

    def _relieve(self, pressure: Pressure) -> None:
        """Give up what can be read again; called anew for as long as memory stays short."""
        if pressure is not Pressure.OK:
            self._shards.drop_caches()
        if pressure is Pressure.SOFT:
            self._shards.close_least_used()
        if pressure is Pressure.HARD:
            self._shards.close_idle()


def _index(uri: str) -> None:
    step_back()
    build_index(uri)


def _build_index_elsewhere(uri: str) -> None:
    """Have a process of its own build a paged index: it takes more memory than a host may have.

    Raises:
        TimeoutError: It was not built in time, or the cluster has no memory for it.
    """
    task = ray.remote(num_cpus=0, max_calls=1, max_retries=0, memory=BUILD_BYTES)(_index)
    building = task.remote(uri)
    try:
        ray.get(building, timeout=_BUILD_S)
    except TimeoutError:
        ray.cancel(building, force=True)
        raise
