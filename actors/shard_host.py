"""ShardHost: opens the segments of shards when they are first asked for, and searches them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from actors.index.fusion import Mode, answer_of
from actors.index.ranking import merge
from actors.index.segment import Segment, read_tombstones
from actors.memory import give_back
from actors.messages import ActorStatus, Chunk, SegmentRef, ShardAnswer, ShardQuery, ShardRef
from actors.process import answers_always, status_of
from actors.storage import Storage

_TEXT_MARGIN = 2
"""How many times the limit of chunks come back with text: ranks change when shards are merged."""


@dataclass(frozen=True, slots=True)
class HostConfig:
    """What a ShardHost is made with: its actor name and the storage root."""

    name: str
    root: str


class ShardHost:
    """Serves any shard of any collection, from segments that it keeps open."""

    def __init__(self, config: HostConfig) -> None:
        self._config = config
        self._storage = Storage(config.root)
        self._segments: dict[str, Segment] = {}
        self._live: dict[str, NDArray[np.bool_]] = {}
        self._opening = Lock()

    def search(self, shard: ShardRef, queries: tuple[ShardQuery, ...]) -> tuple[ShardAnswer, ...]:
        """Answer each query with the shard's best candidates.

        Raises:
            CorruptData: A segment of the shard is damaged.
        """
        parts = [(self._segment(shard, ref), self._mask(shard, ref)) for ref in shard.segments]
        return tuple(_search(parts, query) for query in queries)

    def chunks(self, shard: ShardRef, ids: NDArray[np.uint64], context: int) -> dict[int, Chunk]:
        """Return those of `ids`, uint64 [n], that lie in the shard, with lines around them."""
        found: dict[int, Chunk] = {}
        for ref in shard.segments:
            found.update(self._segment(shard, ref).chunks(ids, context))
        return found

    def keep_only(self, collection_segments: frozenset[str]) -> None:
        """Close every segment that is not named, and forget its tombstones."""
        with self._opening:
            for key in set(self._segments) - collection_segments:
                del self._segments[key]
            self._live.clear()
        give_back()

    @answers_always
    def configuration(self) -> HostConfig:
        """Return what this actor was made with."""
        return self._config

    @answers_always
    def status(self) -> ActorStatus:
        """Return how the actor is."""
        segments = list(self._segments.values())
        rows = sum(len(segment.ids) for segment in segments)
        return status_of(self, self._config.name, segments=len(segments), chunks=rows)

    def _segment(self, shard: ShardRef, ref: SegmentRef) -> Segment:
        segment = self._segments.get(ref.id)
        if segment is None:
            with self._opening:
                segment = self._segments.get(ref.id)
                if segment is None:
                    segment = Segment(self._storage, shard.collection, ref.id)
                    self._segments[ref.id] = segment
        return segment

    def _mask(self, shard: ShardRef, ref: SegmentRef) -> NDArray[np.bool_] | None:
        """Return the living rows, bool [rows], or None where all live."""
        if not ref.tombstones:
            return None
        live = self._live.get(ref.tombstones)
        if live is None:
            live = np.ones(ref.rows, np.bool_)
            live[read_tombstones(self._storage, shard.collection, ref).rows] = False
            self._live[ref.tombstones] = live
        return live


def _search(
    parts: list[tuple[Segment, NDArray[np.bool_] | None]], query: ShardQuery
) -> ShardAnswer:
    started = time.perf_counter()
    found = [segment.search(query, live) for segment, live in parts]
    dense = merge([d for d, _ in found if d is not None], query.depth)
    lexical = merge([w for _, w in found if w is not None], query.depth)
    shown = answer_of(_mode(query), dense, lexical, query.limit * _TEXT_MARGIN).ids
    chunks: dict[int, Chunk] = {}
    for segment, _ in parts:
        chunks.update(segment.chunks(shown, query.context))
    return ShardAnswer(dense, lexical, chunks, (time.perf_counter() - started) * 1e3)


def _mode(query: ShardQuery) -> Mode:
    if query.vector is None:
        return Mode.LEXICAL
    return Mode.SEMANTIC if query.terms is None else Mode.HYBRID
