"""The shards that a host serves: segments opened when first asked for, searched, closed."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar
from weakref import ref

import numpy as np
from numpy.typing import NDArray

from actors.errors import MemoryLimitExceeded
from actors.index.answering import answered, read_records
from actors.index.dense import Tier
from actors.index.lookup import best, find_definitions, find_passage
from actors.index.opened import OpenSegments
from actors.index.paged import CACHE_BYTES, build_index
from actors.index.segment import Segment
from actors.index.selection import Selection
from actors.index.stored import living_rows
from actors.index.tiers import bytes_held
from actors.lookup_messages import Definitions, Passage, PassageQuery, SymbolQuery
from actors.memory import give_back
from actors.messages import SegmentRef, ShardAnswer, ShardQuery, ShardRef
from actors.priority import step_back
from actors.storage import Storage

_log = logging.getLogger("shoal.index")

_METADATA_BYTES = 8 << 20
_RETRY_S = 1.0

CheckRoom = Callable[[int, str], None]
"""Told how many bytes something will hold, and what it is; raises where that is too much."""
_T = TypeVar("_T")


class Shards:
    """Serves any shard of any collection, from segments that it keeps open; for several threads.

    A segment is searched as soon as it is open, by comparing every row. What makes a large one
    quick (codes, an index on disk) is built after that, in a thread that yields to searches, or
    read where another process has built it: neither a publish nor a first query waits for it.

    Args:
        storage: The root.
        check_room: Asked before a segment is opened.
        room: Tells how many bytes may still be taken with ease; a large segment that needs more
            stays on disk.
        build_index: Builds the index of a Lance dataset, by its address, outside of this process.
    """

    def __init__(
        self,
        storage: Storage,
        check_room: CheckRoom = lambda _size, _what: None,
        room: Callable[[], int] = lambda: sys.maxsize,
        build_index: Callable[[str], None] = build_index,
    ) -> None:
        self._storage = storage
        self._check_room, self._room, self._build_index = check_room, room, build_index
        self._open: OpenSegments[Segment] = OpenSegments()
        self._live: dict[str, Selection] = {}
        self._session: Any = None
        self._background = ThreadPoolExecutor(1, "shoal-index", _yield_to_searches)

    def search(self, shard: ShardRef, queries: tuple[ShardQuery, ...]) -> tuple[ShardAnswer, ...]:
        """Answer each query with the shard's best candidates; together they cost less.

        Raises:
            CorruptData: A segment of the shard is damaged.
            MemoryLimitExceeded: A segment, or what a search takes, does not fit into memory.
        """
        what = f"searching shard {shard.shard} of {shard.collection}"
        return self._within_memory(what, lambda: self._search(shard, queries))

    def is_at_hand(self, shard: ShardRef) -> bool:
        """Tell whether a search of a shard waits for no storage."""
        segments = (self._open.get(part.id) for part in shard.segments)
        return all(segment is not None and segment.is_at_hand for segment in segments)

    def records(self, shard: ShardRef, ids: NDArray[np.uint64], context: int) -> dict[int, bytes]:
        """Return records of those of `ids`, uint64 [n], in the shard, with lines around them.

        Raises:
            LimitExceeded: That would be more text than is read at once.
        """
        with self._open.using(*self._segments(shard)) as segments:
            return read_records(segments, ids, context)

    def passage(self, shard: ShardRef, query: PassageQuery) -> Passage | None:
        """Return stored lines, or None where the shard has neither the chunk nor the file.

        Raises:
            NotFound: The file is here, and has no such lines.
            LimitExceeded: That is more text than is read at once.
        """

        def find() -> Passage | None:
            with self._parts(shard) as parts:
                found = (find_passage(segment, query, live) for segment, live in parts)
                return next((passage for passage in found if passage), None)

        return self._within_memory("reading", find)

    def definitions(self, shard: ShardRef, query: SymbolQuery) -> Definitions:
        """Return what the shard defines under a name."""

        def find() -> Definitions:
            with self._parts(shard) as parts:
                found = [find_definitions(segment, query, live) for segment, live in parts]
            return best(found, query)

        return self._within_memory("looking a name up", find)

    def warm(self, shard: ShardRef) -> None:
        """Open the shard's segments, so that its first search finds them open.

        Raises:
            CorruptData: A segment of the shard is damaged.
            MemoryLimitExceeded: A segment does not fit into memory.
        """
        with self._open.using(*self._segments(shard)):
            for part in shard.segments:
                self._living(shard, part)

    def keep_only(self, collection_segments: frozenset[str]) -> None:
        """Close every segment that is not named, and forget its tombstones.

        What it makes room for is read from disk into memory.
        """
        self._open.keep_only(collection_segments)
        self._live.clear()
        give_back()
        for segment in self._open.all():
            if segment.dense.tier is Tier.PAGED:
                self._background.submit(self._promote, ref(segment))

    def close_least_used(self) -> None:
        """Close one segment: the one whose last use is longest ago, of those not in use."""
        self._open.close_least_used()

    def close_idle(self) -> None:
        """Close every segment that is not in use; after the last, forget what was read of them."""
        self._open.close_idle()
        if not self._open.all():
            self._session = None
        give_back()

    def drop_caches(self) -> None:
        """Give up what can be computed again."""
        for segment in self._open.all():
            segment.drop_caches()

    def census(self) -> dict[str, int]:
        """Return how many segments and chunks are open, by tier too, and how often that changed.

        `unfinished` counts those that would be quicker with an index that is not built yet.
        """
        segments = self._open.all()
        counts = {"segments": len(segments), "chunks": sum(s.rows for s in segments)}
        for tier in Tier:
            here = [s for s in segments if s.dense.tier is tier]
            counts[f"{tier}_segments"] = len(here)
            counts[f"{tier}_chunks"] = sum(s.rows for s in here)
        counts["unfinished"] = sum(segment.dense.unfinished for segment in segments)
        kept = self._open
        return counts | {"hits": kept.hits, "opens": kept.opens, "closes": kept.closes}

    def _segments(self, shard: ShardRef) -> tuple[list[str], Callable[[str], Segment]]:
        """Return the ids of the shard's segments, and what opens one."""
        return [part.id for part in shard.segments], lambda name: self._opened(shard, name)

    @contextmanager
    def _parts(self, shard: ShardRef) -> Iterator[list[tuple[Segment, Selection | None]]]:
        """Keep the shard's segments open during the block; yield each with its living rows."""
        with self._open.using(*self._segments(shard)) as segments:
            yield [
                (segment, self._living(shard, part))
                for segment, part in zip(segments, shard.segments, strict=True)
            ]

    def _search(self, shard: ShardRef, queries: tuple[ShardQuery, ...]) -> tuple[ShardAnswer, ...]:
        started = time.perf_counter()
        with self._open.using(*self._segments(shard)) as segments:
            found = [
                segment.search(queries, self._living(shard, part), shard.share(part))
                for segment, part in zip(segments, shard.segments, strict=True)
            ]
            by_query = [[part[number] for part in found] for number in range(len(queries))]
            return answered(queries, by_query, segments, started)

    def _opened(self, shard: ShardRef, name: str) -> Segment:
        """Open a segment; where it does not fit, close others that are not in use."""
        while True:
            try:
                segment = self._read(shard, name)
            except MemoryLimitExceeded:
                if not self._open.close_least_used():
                    raise
                give_back()
            else:
                if segment.dense.unfinished:
                    self._background.submit(self._finish, ref(segment))
                return segment

    def _read(self, shard: ShardRef, name: str) -> Segment:
        import lance  # noqa: PLC0415 - see segment.py

        session = self._session or lance.Session(
            index_cache_size_bytes=CACHE_BYTES, metadata_cache_size_bytes=_METADATA_BYTES
        )
        self._session = session
        what = f"segment {name} of {shard.collection}"
        return Segment(
            self._storage,
            shard.collection,
            name,
            room=lambda: self._room() - CACHE_BYTES,
            check_room=lambda size: self._check_room(size, what),
            session=session,
        )

    def _finish(self, opened: ref[Segment]) -> None:
        """Make a segment quick, unless it is closed; where that fails, its answers stay right."""
        segment = opened()
        if segment is None or not segment.dense.unfinished:
            return
        try:
            what = f"the index of segment {segment.id}"
            self._check_room(segment.dense.bytes_to_finish(), what)
            segment.dense.finish(self._build_index)
        except Exception as error:  # noqa: BLE001 - a thread of its own has nobody to tell
            _log.warning("segment %s is searched without its index: %s", segment.id, error)

    def _promote(self, opened: ref[Segment]) -> None:
        """Read a paged segment into memory, unless it is closed or does not fit."""
        segment = opened()
        if segment is None:
            return
        need = bytes_held(Tier.RESIDENT, segment.rows, segment.dense.dimension)
        if need <= self._room():
            try:
                segment.dense.promote()
            except Exception as error:  # noqa: BLE001 - a thread of its own has nobody to tell
                _log.warning("segment %s is not kept in memory: %s", segment.id, error)
            self._finish(opened)

    def _living(self, shard: ShardRef, part: SegmentRef) -> Selection | None:
        """Return the living rows, or None where all live."""
        if not part.tombstones:
            return None
        live = self._live.get(part.tombstones)
        if live is None:
            living = living_rows(self._storage, shard.collection, part)
            live = self._live[part.tombstones] = Selection(living)
        return live

    def _within_memory(self, what: str, work: Callable[[], _T]) -> _T:
        """Do it; where an allocation fails, close what is idle, and try once more."""
        try:
            return work()
        except MemoryError:
            _log.warning("out of memory %s; what is idle is closed", what)
        self.drop_caches()
        self.close_idle()
        try:
            return work()
        except MemoryError as error:
            message = f"{what} ran out of memory; raise SHOAL_HOST_MEMORY, or send fewer at once"
            raise MemoryLimitExceeded(message, _RETRY_S) from error


def _yield_to_searches() -> None:
    """Run the calling thread after all others of this machine, where a thread can do so alone."""
    if sys.platform == "linux":
        step_back()
