"""From the shards' candidates to the one ranking that answers."""

from __future__ import annotations

from collections.abc import Sequence

from actors.index.fusion import Mode, answer_of
from actors.index.ranking import Ranking, merge
from actors.messages import ShardAnswer

_DEPTH = 100
"""Candidates of each side: reciprocal ranks beyond it weigh less than half of a first rank."""


def depth_for(limit: int) -> int:
    """Return how many candidates each side needs of every shard for `limit` hits."""
    return max(_DEPTH, limit)


def best_of(mode: Mode, answers: Sequence[ShardAnswer], limit: int) -> Ranking:
    """Merge each side over all shards, then both sides, and keep the best `limit`.

    Merging comes first: a reciprocal rank means something among all chunks only.
    """
    depth = depth_for(limit)
    dense = merge((answer.dense for answer in answers), depth)
    lexical = merge((answer.lexical for answer in answers), depth)
    return answer_of(mode, dense, lexical, limit)
