"""What every engine offers, and the name of the vector space it works in."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Kind = Literal["query", "document"]
Vectors = NDArray[np.float32]


class Engine(Protocol):
    """One model in memory, which turns texts into vectors."""

    @property
    def dimension(self) -> int:
        """Numbers in one vector."""

    def embed(self, texts: Sequence[str], kind: Kind) -> Vectors:
        """Embed texts; `kind` picks the prefix of models that have them.

        Returns:
            float32 [len(texts), dimension]. Rows have L2 norm 1; a text in which the model knows
            nothing, such as the empty one, has a row of zeros.
        """

    def close(self) -> None:
        """Give the memory back; nothing can be embedded afterwards. Closing twice is harmless."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Names a vector space: vectors compare only where their fingerprints are equal.

    Attributes:
        engine: The library that computes, as in `actors/engines/<engine>.py`.
        weights: First 16 hex digits of a sha256 over the model's files.
        dtype: How weights are stored ("int8").
        pooling: How token vectors become one ("mean").
        query_prefix: Put before each query; may be empty.
        document_prefix: Put before each document; may be empty.
        dimension: Numbers in one vector.
    """

    engine: str
    weights: str
    dtype: str
    pooling: str
    query_prefix: str
    document_prefix: str
    dimension: int

    def __str__(self) -> str:
        """Return one short stable line: "static/0123456789abcdef/int8/mean/256".

        Prefixes, where there are any, add the first 8 hex digits of their sha256.
        """
        parts = [self.engine, self.weights, self.dtype, self.pooling, str(self.dimension)]
        if self.query_prefix or self.document_prefix:
            prefixes = f"{self.query_prefix}\0{self.document_prefix}".encode()
            parts.append(hashlib.sha256(prefixes).hexdigest()[:8])
        return "/".join(parts)


EXTERNAL = "external"
"""Engine of a fingerprint whose vectors were handed in: nothing here can embed a query for it."""
