"""How good a table of vectors is: on pairs held out, and on retrieval sets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

DEPTH = 10

Vectors = npt.NDArray[np.float32]


def ndcg(ranked: npt.NDArray[np.int64], grades: dict[int, float]) -> float:
    """Normalised discounted cumulative gain at 10 (linear gain, log2 discount), 0 to 1."""
    discounts = 1.0 / np.log2(np.arange(2, DEPTH + 2))
    gains = np.array([grades.get(int(document), 0.0) for document in ranked[:DEPTH]])
    ideal = np.array(sorted(grades.values(), reverse=True)[:DEPTH])
    best = float(ideal @ discounts[: len(ideal)])
    return float(gains @ discounts[: len(gains)]) / best if best else 0.0


def mean_ndcg(similar: Vectors, grades: Sequence[dict[int, float]]) -> float:
    """Return the mean nDCG@10 of the documents in order of their similarity."""
    order = np.argsort(-similar, axis=1, kind="stable")[:, :DEPTH]
    return float(np.mean([ndcg(row, wanted) for row, wanted in zip(order, grades, strict=True)]))


def mean_reciprocal_rank(queries: Vectors, passages: Vectors) -> float:
    """Return MRR@10 where each query's passage is the one of its row."""
    similar = queries @ passages.T
    right = similar[np.arange(len(queries)), np.arange(len(queries))]
    ranks = 1 + (similar > right[:, None]).sum(1)
    return float(np.mean(np.where(ranks <= DEPTH, 1 / ranks, 0.0)))
