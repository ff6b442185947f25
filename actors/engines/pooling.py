"""Token vectors to one vector of length 1."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from actors.engines.base import Vectors


def pool(hidden: NDArray[np.floating[Any]], mask: NDArray[Any], pooling: str) -> Vectors:
    """Make one vector of each text's token vectors.

    Args:
        hidden: [texts, tokens, dimension].
        mask: [texts, tokens], 1 where there is a token and 0 where there is padding, which is on
            the right.
        pooling: "mean" of the tokens, the first token ("cls"), or the "last" one.

    Returns:
        float32 [texts, dimension], of any length.
    """
    if pooling == "cls":
        first: Vectors = hidden[:, 0].astype(np.float32)
        return first
    if pooling == "last":
        last: Vectors = hidden[np.arange(len(hidden)), mask.sum(axis=1) - 1].astype(np.float32)
        return last
    weights = mask.astype(np.float32)
    weights /= np.maximum(weights.sum(axis=1, keepdims=True), 1)
    summed: Vectors = np.matmul(weights[:, None], hidden.astype(np.float32))[:, 0]
    return summed


def unit(vectors: NDArray[Any], dimension: int) -> Vectors:
    """Keep the first `dimension` numbers of each row and give the row length 1.

    Matryoshka models put what matters most first (Kusupati et al. 2022). A row of zeros stays one.

    Returns:
        float32 [len(vectors), dimension].
    """
    kept = vectors[:, :dimension].astype(np.float32)
    kept /= np.linalg.norm(kept, axis=1, keepdims=True) + np.float32(1e-32)
    return kept
