"""From the shards' candidates to the one ranking that answers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from actors.index.fusion import PARTS, Fused, Mode, answer_of
from actors.index.question import Wish
from actors.index.ranking import Ranking, merge
from actors.index.signals import merged
from actors.messages import ShardAnswer, Why

_DEPTH = 100
"""Candidates of each side: what comes after them is hardly above the mean of either."""


def depth_for(limit: int, fused: bool = True) -> int:
    """Return how many candidates each side needs of every shard for `limit` hits.

    Args:
        limit: Hits.
        fused: Several rankings become one; a single one needs no more than it shows.
    """
    return max(_DEPTH, limit) if fused else limit


def best_of(
    mode: Mode,
    answers: Sequence[tuple[str, ShardAnswer]],
    limit: int,
    wish: Wish = Wish(),  # noqa: B008 - frozen
) -> Fused:
    """Merge each side over all shards, then the sides, and keep the best `limit`.

    Merging comes first: a score is held against the mean of all candidates, and a cosine means
    something among those of one vector space.

    Args:
        mode: Which sides answer.
        answers: Each with the fingerprint of its shard's vector space.
        limit: How many to keep.
        wish: What the query asks for.
    """
    depth = depth_for(limit)
    spaces = dict.fromkeys(space for space, _ in answers) or {"": None}
    dense = [merge((a.dense for s, a in answers if s == space), depth) for space in spaces]
    words = () if mode is Mode.SEMANTIC else (answer.lexical for _, answer in answers)
    lexical = merge(words, depth)
    signals = merged(answer.signals for _, answer in answers)
    return answer_of(mode, dense, lexical, limit, signals, wish)


def why(found: Fused, ids: NDArray[np.uint64]) -> dict[int, Why]:
    """Return what the scores of some of the chunks found, uint64 [n], are made of."""
    places = {number: place for place, number in enumerate(found.ranking.ids.tolist())}
    by_meaning = {i: seen for side in found.dense for i, seen in _seen(side).items()}
    by_words = _seen(found.lexical)
    unseen = None, None
    reasons = {}
    for number in ids.tolist():
        dense_rank, cosine = by_meaning.get(number, unseen)
        lexical_rank, bm25 = by_words.get(number, unseen)
        parts = _parts(found, places[number])
        reasons[number] = Why(dense_rank, cosine, lexical_rank, bm25, parts)
    return reasons


def _seen(side: Ranking) -> dict[int, tuple[int, float]]:
    """Return the rank, from 1, and the score of each chunk of a side."""
    scored = zip(side.ids.tolist(), side.scores.tolist(), strict=True)
    return {number: (rank, score) for rank, (number, score) in enumerate(scored, 1)}


def _parts(found: Fused, place: int) -> tuple[tuple[str, float], ...]:
    if found.parts is None:
        return ()
    amounts = zip(PARTS, found.parts[place].tolist(), strict=True)
    return tuple((name, amount) for name, amount in amounts if amount)
