"""Top-k lists that come out the same however the rows are spread over shards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Ranking:
    """Chunks, best first; equal scores stand in the order of their ids.

    Attributes:
        ids: uint64 [k], chunk ids.
        scores: float64 [k], descending.
    """

    ids: NDArray[np.uint64]
    scores: NDArray[np.float64]

    def __reduce__(self) -> tuple[Callable[[bytes, bytes], Ranking], tuple[bytes, bytes]]:
        """Pickle without buffers of their own, which cost more than a hundred numbers."""
        return _ranking, (self.ids.tobytes(), self.scores.tobytes())

    def without(self, ids: Sequence[int]) -> Ranking:
        """Return the same without some chunks."""
        kept = ~np.isin(self.ids, np.array(ids, np.uint64))
        return Ranking(self.ids[kept], self.scores[kept])

    def between(self, first: int, past: int) -> Ranking:
        """Return those from one place up to another, counted from 0."""
        return Ranking(self.ids[first:past], self.scores[first:past])


def _ranking(ids: bytes, scores: bytes) -> Ranking:
    return Ranking(np.frombuffer(ids, np.uint64), np.frombuffer(scores, np.float64))


EMPTY = Ranking(np.empty(0, np.uint64), np.empty(0, np.float64))


def at_least_kth(scores: NDArray[np.floating[Any]], k: int, slack: float = 0.0) -> NDArray[np.intp]:
    """Return the positions of all scores no further than `slack` below the k-th best.

    More than `k` positions come back where scores tie: the caller orders and cuts them, so that
    the choice among equals never depends on where a row lies.
    """
    if len(scores) <= k:
        return np.arange(len(scores))
    kth = scores[np.argpartition(scores, -k)[-k:]].min()
    return np.flatnonzero(scores >= kth - slack)


def ranked(ids: NDArray[np.uint64], scores: NDArray[np.float64], k: int) -> Ranking:
    """Order by descending score, then by id, and keep the first `k`."""
    order = np.lexsort((ids, -scores))[:k]
    return Ranking(ids[order], scores[order])


def merge(rankings: Iterable[Ranking], k: int) -> Ranking:
    """Merge rankings of disjoint sets of chunks into the best `k` of all."""
    parts = list(rankings)
    if not parts:
        return EMPTY
    if len(parts) == 1 and len(parts[0].ids) <= k:
        return parts[0]
    ids = np.concatenate([part.ids for part in parts])
    scores = np.concatenate([part.scores for part in parts])
    return ranked(ids, scores, k)
