"""Exact nearest neighbours by cosine similarity, in memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from actors.index.ranking import EMPTY, Ranking, at_least_kth, ranked

_ROUNDING = 1e-5
"""Bound on how far a float32 product of unit vectors may be off; BLAS sums rows in an order that
depends on their position, so near the cut-off both sides are summed again in one fixed order."""


def normalised(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the rows at unit length, float32 [n, d]; a zero row stays zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(lengths == 0, 1, lengths)).astype(np.float32, copy=False)


class ExactDense:
    """All vectors of a segment, compared one by one.

    Args:
        vectors: float32 [rows, d], unit length.
        ids: uint64 [rows], chunk ids.
    """

    def __init__(self, vectors: NDArray[np.float32], ids: NDArray[np.uint64]) -> None:
        self._vectors = vectors
        self._ids = ids

    def search(self, query: NDArray[np.float32], k: int, rows: NDArray[np.intp] | None) -> Ranking:
        """Return the best `k` of `rows` (None: of all) for the unit vector `query`, float32 [d]."""
        vectors = self._vectors if rows is None else self._vectors[rows]
        if len(vectors) == 0:
            return EMPTY
        near = at_least_kth(vectors @ query, k, _ROUNDING)
        exact = (vectors[near].astype(np.float64) * query).sum(axis=1)
        ids = self._ids[near] if rows is None else self._ids[rows[near]]
        return ranked(ids, exact, k)
