"""Vectors as embeddings are: in clusters, and queries near some of them."""

import numpy as np

from actors.index.dense import exact_best, normalised

ROWS, DIMENSION = 30_000, 64


def clustered(rows=ROWS, dimension=DIMENSION, seed=1):
    """Return unit vectors, float32 [rows, dimension], a cluster's next to each other."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(max(rows // 100, 1), dimension))
    own = random.normal(size=(rows, dimension))
    near = np.sort(random.integers(len(centres), size=rows))
    return normalised((centres[near] + 0.7 * own).astype(np.float32))


def near(vectors, count=20, seed=2):
    """Return `count` queries, each beside one of the vectors."""
    random = np.random.default_rng(seed)
    chosen = vectors[random.choice(len(vectors), count, replace=False)]
    noise = random.normal(size=chosen.shape) * 0.5 / chosen.shape[1] ** 0.5
    return normalised((chosen + noise).astype(np.float32))


def recall(found, vectors, ids, queries, k, rows=None):
    """Return the share of the `k` nearest of `rows` that are in `found`, one ranking a query."""
    truth = exact_best(vectors, ids, queries, k, rows)
    pairs = zip(found, truth, strict=True)
    return float(np.mean([np.isin(t.ids, f.ids[:k]).mean() for f, t in pairs]))
