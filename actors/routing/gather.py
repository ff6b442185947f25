"""From the shards' candidates to the one ranking that answers."""

from __future__ import annotations

from collections.abc import Sequence

from actors.index.fusion import Mode, answer_of
from actors.index.ranking import Ranking, merge
from actors.messages import ShardAnswer

_DEPTH = 100
"""Candidates of each side: reciprocal ranks beyond it weigh less than half of a first rank."""


def depth_for(limit: int, fused: bool = True) -> int:
    """Return how many candidates each side needs of every shard for `limit` hits.

    Args:
        limit: Hits.
        fused: Several rankings become one by their ranks; a single one needs no more than it shows.
    """
    return max(_DEPTH, limit) if fused else limit


def best_of(mode: Mode, answers: Sequence[tuple[str, ShardAnswer]], limit: int) -> Ranking:
    """Merge each side over all shards, then the sides, and keep the best `limit`.

    Merging comes first: a reciprocal rank means something among all chunks only, and a cosine
    among those of one vector space.

    Args:
        mode: Which sides answer.
        answers: Each with the fingerprint of its shard's vector space.
        limit: How many to keep.
    """
    depth = depth_for(limit)
    spaces = dict.fromkeys(space for space, _ in answers) or {"": None}
    dense = [merge((a.dense for s, a in answers if s == space), depth) for space in spaces]
    words = () if mode is Mode.SEMANTIC else (answer.lexical for _, answer in answers)
    lexical = merge(words, depth)
    return answer_of(mode, dense, lexical, limit)
