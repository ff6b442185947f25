"""Passages that resemble each other, found by k-means: those that are hard to tell apart."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

OF_ONE = 200  # passages of a cluster, on average
_ROUNDS = 5
_AT_ONCE = 16_384


def clusters_of(vectors: torch.Tensor, seed: int) -> npt.NDArray[np.int64]:
    """Number the cluster of each vector.

    Args:
        vectors: [texts, dimension], each of length 1.
        seed: Of the vectors that the centres start from.

    Returns:
        int64 [texts].
    """
    chance = torch.Generator().manual_seed(seed)
    count = max(1, len(vectors) // OF_ONE)
    centres = vectors[torch.randperm(len(vectors), generator=chance)[:count]].float()
    for _ in range(_ROUNDS):
        nearest = _nearest(vectors, centres)
        sums = torch.zeros_like(centres).index_add_(0, nearest, vectors.float())
        centres = functional.normalize(sums + 1e-6 * centres, dim=1)  # an empty one stays
    numbers: npt.NDArray[np.int64] = _nearest(vectors, centres).numpy()
    return numbers


def _nearest(vectors: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
    parts = torch.split(vectors, _AT_ONCE)
    return torch.cat([(part.float() @ centres.T).argmax(1) for part in parts])
