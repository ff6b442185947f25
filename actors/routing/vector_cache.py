"""Query vectors that were asked for lately."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

MOST_BYTES = 8 << 20
"""Of vectors and their texts: some 4,000 of 384 dimensions."""
_ENTRY_BYTES = 400
"""Of the two objects, the key and the place in the dictionary."""

Vector = NDArray[np.float32]


class VectorCache:
    """Vectors by their space and text; the one that was not asked for longest goes first.

    Args:
        most_bytes: What they may hold.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._vectors: OrderedDict[tuple[str, str], Vector] = OrderedDict()

    def get(self, space: str, text: str) -> Vector | None:
        """Return a text's vector, float32 [d], or None."""
        vectors = self._vectors
        vector = vectors.get((space, text))
        if vector is not None:
            vectors.move_to_end((space, text))
        return vector

    def put(self, space: str, text: str, vector: Vector) -> None:
        """Remember a text's vector, float32 [d]."""
        if (space, text) in self._vectors:
            return
        own = vector.copy()  # a row would keep its whole batch
        self._vectors[space, text] = own
        self._bytes += _held(text, own)
        while self._bytes > self._most_bytes and self._vectors:
            (_, oldest), gone = self._vectors.popitem(last=False)
            self._bytes -= _held(oldest, gone)

    def clear(self) -> None:
        """Forget all; another thread may do this."""
        self._vectors, self._bytes = OrderedDict(), 0


def _held(text: str, vector: Vector) -> int:
    return vector.nbytes + 4 * len(text) + _ENTRY_BYTES
