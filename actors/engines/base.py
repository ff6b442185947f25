"""What every engine offers, and the name of the vector space it works in."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from actors.engines.spec import ModelSpec

Kind = Literal["query", "document"]
Vectors = NDArray[np.float32]
Counts = NDArray[np.int32]
Scores = NDArray[np.float32]

Task = Literal["embed", "score"]
"""What a model is for: vectors of texts, or the scores of pairs."""
SCORE: Final = "score"
"""In place of a fingerprint's pooling: a cross-encoder's, whose one number is no vector."""

OnProgress = Callable[[str, int, int], None]
"""Told what a load is doing: a phase in words, bytes done, bytes in all (0 where unknown)."""


def silent(_phase: str, _done: int, _total: int) -> None:
    """Tell nobody."""


class Loaded(Protocol):
    """One model in memory. Safe to call from several threads.

    Attributes:
        batch_tokens: How many tokens, padding included, it takes into one computation. May be set
            while it works: halved under memory pressure, put back afterwards.
    """

    batch_tokens: int

    def drop_caches(self) -> None:
        """Give up what can be computed again."""

    def close(self) -> None:
        """Give the memory back; nothing can be computed afterwards. Closing twice is harmless."""


class Engine(Loaded, Protocol):
    """A model in memory that turns texts into vectors."""

    @property
    def dimension(self) -> int:
        """Numbers in one vector."""

    def embed(self, texts: Sequence[str], kind: Kind, counts: Counts | None = None) -> Vectors:
        """Embed texts; `kind` picks the prefix of models that have them.

        Texts are cut to what the model reads, in characters before they reach a tokenizer.

        Args:
            texts: What to embed.
            kind: "query" or "document".
            counts: int32 [len(texts)], filled with how many tokens were read of each text, prefix
                and special tokens included.

        Returns:
            float32 [len(texts), dimension], in the order of `texts`. Rows have L2 norm 1; a text in
            which the model knows nothing, such as the empty one, may have a row of zeros.

        Raises:
            RuntimeError: The engine is closed.
            MemoryError: There was no memory for it; the engine goes on with the next call.
        """


class CrossEncoder(Loaded, Protocol):
    """A model in memory that reads a query and a text together: how well does this answer that?

    It makes no vectors, so it cannot search; it orders the few that a search has found.
    """

    def score(self, query: str, texts: Sequence[str]) -> Scores:
        """Score texts against a query.

        Query and text are read as one pair. Where a pair is longer than what the model reads, the
        longer of the two, which hardly ever is the query, loses its end.

        Args:
            query: What is asked.
            texts: What may answer it.

        Returns:
            float32 [len(texts)], in the order of `texts`: the model's raw outputs (logits), which
            are of any sign and size. More is better; only scores of one query compare.

        Raises:
            RuntimeError: The engine is closed.
            MemoryError: There was no memory for it; the engine goes on with the next call.
        """


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Names a vector space: vectors compare only where their fingerprints are equal.

    Attributes:
        engine: The library that computes, as in `actors/engines/<engine>.py`.
        weights: First 16 hex digits of a sha256 over the model's files.
        dtype: How weights are stored ("int8").
        pooling: How token vectors become one ("mean"), or `SCORE`.
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

    @property
    def task(self) -> Task:
        """What the model is for; no collection's vectors are of one that scores."""
        return "score" if self.pooling == SCORE else "embed"

    def __str__(self) -> str:
        """Return one short stable line: "static/0123456789abcdef/int8/mean/256".

        Prefixes, where there are any, add the first 8 hex digits of their sha256.
        """
        parts = [self.engine, self.weights, self.dtype, self.pooling, str(self.dimension)]
        if self.query_prefix or self.document_prefix:
            prefixes = f"{self.query_prefix}\0{self.document_prefix}".encode()
            parts.append(hashlib.sha256(prefixes).hexdigest()[:8])
        return "/".join(parts)


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a loaded model is expected to hold, in bytes.

    Attributes:
        mapped: File mappings, which are shared by all who map them and can be dropped.
        private: Everything else: copied weights, arenas, what a batch needs.
    """

    mapped: int
    private: int

    @property
    def total(self) -> int:
        """Both together."""
        return self.mapped + self.private


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A model as its files describe it; nothing is loaded for it.

    Attributes:
        spec: What was asked for, its engine found out.
        path: The folder, or the one file, that holds the model.
        fingerprint: Its vector space.
        max_tokens: Tokens read of one text, prefix and special tokens included.
        footprint: What it will hold.
        budget: Bytes that its replica may use; on an accelerator, of the accelerator's memory.
        prefault: Read the weights through before they are mapped or loaded.
    """

    spec: ModelSpec
    path: Path
    fingerprint: Fingerprint
    max_tokens: int
    footprint: Footprint
    budget: int = 0
    prefault: bool = True


class EngineModule(Protocol):
    """What each `actors/engines/<engine>.py` offers; `open_model` alone imports its library.

    Attributes:
        HUB_PATTERNS: Globs of the files that a hub repository must give for this engine.
        LIBRARIES: What a replica imports when it starts, because it stays when a model is unloaded.
    """

    HUB_PATTERNS: tuple[str, ...]
    LIBRARIES: tuple[str, ...]

    def holds(self, path: Path) -> bool:
        """Tell whether this folder or file is a model for this engine."""

    def describe(self, spec: ModelSpec, path: Path) -> ModelCard:
        """Read the model's own configuration and hash its files.

        Raises:
            ModelLoadError: A file is missing, unreadable or does not fit the others.
            InvalidRequest: The spec sets something that this model cannot do.
        """

    def open_model(self, card: ModelCard, threads: int, on_progress: OnProgress) -> Loaded:
        """Load the model, an `Engine` or a `CrossEncoder`; computations use `threads` threads.

        Raises:
            ModelLoadError: The files cannot be loaded, or the engine's library is not installed.
            MemoryError: There was no memory for it.
        """


EXTERNAL = "external"
"""Engine of a fingerprint whose vectors were handed in: nothing here can embed a query for it."""
