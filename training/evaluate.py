"""How good a table of vectors is: on pairs held out, and on retrieval sets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cluster.evaluation.metrics import DEPTH, ndcg

Vectors = npt.NDArray[np.float32]


def mean_ndcg(similar: Vectors, grades: Sequence[dict[int, float]]) -> float:
    """Return the mean nDCG@10 of the documents in order of their similarity."""
    order = np.argsort(-similar, axis=1, kind="stable")[:, :DEPTH]
    rows = zip(order.tolist(), grades, strict=True)
    return float(np.mean([ndcg(row, wanted) for row, wanted in rows]))


def mean_reciprocal_rank(queries: Vectors, passages: Vectors) -> float:
    """Return MRR@10 where each query's passage is the one of its row."""
    similar = queries @ passages.T
    right = similar[np.arange(len(queries)), np.arange(len(queries))]
    ranks = 1 + (similar > right[:, None]).sum(1)
    return float(np.mean(np.where(ranks <= DEPTH, 1 / ranks, 0.0)))
