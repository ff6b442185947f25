"""Nearest neighbours by cosine similarity: what every tier offers, and the exact one."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from actors.index.ranking import EMPTY, Ranking, at_least_kth, ranked
from actors.index.selection import Selection

_ROUNDING = 1e-5
"""Bound on how far a float32 product of unit vectors may be off; BLAS sums rows in an order that
depends on their position, so near the cut-off both sides are summed again in one fixed order."""
_GATHERED_SHARE = 8
"""From one row in so many on, all rows are multiplied: copying the wanted ones costs more."""


class Tier(StrEnum):
    """Where a segment's vectors are, and how they are searched."""

    EXACT = "exact"
    """float32 in memory, every row compared; for small segments."""
    RESIDENT = "resident"
    """fp16 in memory, found through 4-bit codes."""
    PAGED = "paged"
    """On disk, found through an index that is read by the page."""


class Dense(Protocol):
    """The vectors of one segment; safe to search from several threads."""

    @property
    def tier(self) -> Tier:
        """Where they are."""

    def search(
        self, queries: NDArray[np.float32], k: int, among: Selection | None
    ) -> list[Ranking]:
        """Return for each query the best `k` rows of `among` (None: of all).

        Args:
            queries: float32 [n, d], unit length.
            k: How many.
            among: What may be found.
        """


def normalised(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the rows at unit length, float32 [n, d]; a zero row stays zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(lengths == 0, 1, lengths)).astype(np.float32, copy=False)


def unit_vector(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return one vector at unit length, float32 [d], in 2 µs where `normalised` takes 6."""
    length = math.sqrt(vector @ vector)
    return vector if length == 0 else (vector / length).astype(np.float32, copy=False)


def exact_best(
    vectors: NDArray[np.float32],
    ids: NDArray[np.uint64],
    queries: NDArray[np.float32],
    k: int,
    rows: NDArray[np.intp] | None = None,
) -> list[Ranking]:
    """Return for each query the best `k` by cosine, scored in float64 in one fixed order.

    Args:
        vectors: float32 [n, d], unit length.
        ids: uint64 [n], their chunk ids.
        queries: float32 [m, d], unit length.
        k: How many.
        rows: Which of the vectors count; None for all.
    """
    products = queries @ vectors.T
    if rows is not None:
        products = products[:, rows]
    found = []
    for query, scores in zip(queries, products, strict=True):
        near = at_least_kth(scores, k, _ROUNDING)
        near = near if rows is None else rows[near]
        exact = (vectors[near].astype(np.float64) * query).sum(axis=1)
        found.append(ranked(ids[near], exact, k))
    return found


def nothing(queries: int) -> list[Ranking]:
    """Return an empty ranking for each of so many queries."""
    return [EMPTY] * queries


class ExactDense:
    """All vectors of a segment, compared one by one.

    The answers do not depend on how rows are spread over segments, nor on which queries come
    together.

    Args:
        vectors: float32 [rows, d], unit length.
        ids: uint64 [rows], chunk ids.
    """

    tier = Tier.EXACT

    def __init__(self, vectors: NDArray[np.float32], ids: NDArray[np.uint64]) -> None:
        self._vectors = vectors
        self._ids = ids

    def search(
        self, queries: NDArray[np.float32], k: int, among: Selection | None
    ) -> list[Ranking]:
        """See `Dense`."""
        if among is None:
            return exact_best(self._vectors, self._ids, queries, k)
        if among.count == 0:
            return nothing(len(queries))
        rows = among.rows()
        if among.count * _GATHERED_SHARE < len(self._ids):
            return exact_best(self._vectors[rows], self._ids[rows], queries, k)
        return exact_best(self._vectors, self._ids, queries, k, rows)
