"""What a shard answers to the queries of a batch: candidates, and the text of likely ones."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from actors.index.featured import signals_of
from actors.index.fusion import Mode, answer_of
from actors.index.question import Wish
from actors.index.ranking import Ranking, merge
from actors.index.segment import Segment
from actors.index.signals import FEATURED, NO_SIGNALS, Signals
from actors.messages import Chunk, ShardAnswer, ShardQuery

_TEXT_MARGIN = 3
"""How many times the limit of chunks come back with text where fusing changes their order."""
_FEWEST_TEXTS = 5
"""Of each side, and `_TEXT_MARGIN` times as many of both, however few are wanted."""
_NOTHING = np.empty(0, np.uint64)

_Side = Ranking | None
"""What a segment found by cosine or by BM25; None where it was not asked."""


def answered(
    queries: Sequence[ShardQuery],
    found: Sequence[Sequence[tuple[_Side, _Side]]],
    segments: Sequence[Segment],
    started: float,
) -> tuple[ShardAnswer, ...]:
    """Return the answer to each query; what several of them show is read once.

    Args:
        queries: The queries.
        found: For each query what each of the segments found.
        segments: The shard's; there may be none.
        started: The `time.perf_counter` when the queries came.

    Raises:
        LimitExceeded: The texts are more than is read at once.
    """
    sides = [_merged(query, parts) for query, parts in zip(queries, found, strict=True)]
    featured = [
        np.union1d(dense.ids[:FEATURED], words.ids[:FEATURED]) if query.wish else _NOTHING
        for query, (dense, words) in zip(queries, sides, strict=True)
    ]
    read = read_records(segments, _all_of(featured), 0)
    signals = [
        _signals(_some(read, ids), query.wish) if query.wish else NO_SIGNALS
        for query, ids in zip(queries, featured, strict=True)
    ]
    likely = [_likely(*one) for one in zip(queries, sides, signals, strict=True)]
    texts = _texts(queries, likely, read, segments)
    took_ms = (time.perf_counter() - started) * 1e3
    return tuple(
        ShardAnswer(dense, words, shown, took_ms, known)
        for (dense, words), shown, known in zip(sides, texts, signals, strict=True)
    )


def read_records(
    segments: Sequence[Segment], ids: NDArray[np.uint64], context: int
) -> dict[int, bytes]:
    """Return records of those of `ids`, uint64 [n], that are in the segments; see `Segment`."""
    found: dict[int, bytes] = {}
    for segment in segments if len(ids) else ():
        found.update(segment.records(ids, context))
    return found


def _merged(query: ShardQuery, parts: Sequence[tuple[_Side, _Side]]) -> tuple[Ranking, Ranking]:
    dense = merge([d for d, _ in parts if d is not None], query.depth)
    return dense, merge([w for _, w in parts if w is not None], query.depth)


def _texts(
    queries: Sequence[ShardQuery],
    likely: Sequence[NDArray[np.uint64]],
    read: dict[int, bytes],
    segments: Sequence[Segment],
) -> list[dict[int, bytes]]:
    """Return for each query the records of its likely chunks; `read` holds some without context."""
    records: dict[int, dict[int, bytes]] = {0: read}
    for context in {query.context for query in queries}:
        wanted = [
            ids for query, ids in zip(queries, likely, strict=True) if query.context == context
        ]
        known = records.get(context, {})
        missing = [i for i in _all_of(wanted).tolist() if i not in known]
        fresh = read_records(segments, np.array(missing, np.uint64), context)
        records[context] = known | fresh
    return [_some(records[query.context], ids) for query, ids in zip(queries, likely, strict=True)]


def _all_of(ids: Sequence[NDArray[np.uint64]]) -> NDArray[np.uint64]:
    return np.unique(np.concatenate(ids))


def _some(records: Mapping[int, bytes], ids: NDArray[np.uint64]) -> dict[int, bytes]:
    return {i: records[i] for i in ids.tolist() if i in records}


def _likely(
    query: ShardQuery, sides: tuple[Ranking, Ranking], signals: Signals
) -> NDArray[np.uint64]:
    """Return the chunks that are likely to be shown.

    A shard's own means are not those of all shards, so that its order of both sides is a guess.
    """
    mode, (dense, words) = _mode(query), sides
    if mode is not Mode.HYBRID or not query.limit:
        return answer_of(mode, [dense], words, query.limit).ranking.ids
    wish = query.wish or Wish()
    most = max(query.limit, _FEWEST_TEXTS)
    fused = answer_of(mode, [dense], words, _TEXT_MARGIN * most, signals, wish).ranking.ids
    return np.unique(np.concatenate((fused, dense.ids[:most], words.ids[:most])))


def _signals(records: Mapping[int, bytes], wish: Wish) -> Signals:
    """Return what is known of chunks: of each once, also where a dead row has its id too."""
    ids = sorted(records)
    return signals_of(ids, [Chunk.of(records[i]) for i in ids], wish)


def _mode(query: ShardQuery) -> Mode:
    if query.vector is None:
        return Mode.LEXICAL
    return Mode.SEMANTIC if query.terms is None else Mode.HYBRID
