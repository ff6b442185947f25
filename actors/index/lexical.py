"""Exact BM25 over memory-mapped postings.

The statistics (number of chunks, mean length, document frequencies) are those of everything that
is searched, over all shards and collections, so a chunk scores the same wherever it lies.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actors.index.postings import Postings
from actors.index.ranking import EMPTY, Ranking, at_least_kth, ranked

K1 = 1.2
"""Term saturation; Robertson and Zaragoza 2009, "The Probabilistic Relevance Framework"."""
B = 0.75
"""Length normalisation; same source."""


@dataclass(frozen=True, slots=True)
class WeightedTerms:
    """A query, ready to be scored against any segment.

    Attributes:
        terms: Distinct terms in byte order, as UTF-8.
        weights: Inverse document frequency times the term's count in the query.
        mean_length: Mean chunk length in terms over all that is searched.
    """

    terms: tuple[bytes, ...]
    weights: tuple[float, ...]
    mean_length: float


def weigh(
    query_terms: Sequence[str], frequency: Callable[[bytes], int], chunks: int, total_length: int
) -> WeightedTerms:
    """Weigh query terms by ln(1 + (N - df + 0.5) / (df + 0.5)), Lucene's form, never negative."""
    weighted = {}
    for term, count in sorted(Counter(term.encode() for term in query_terms).items()):
        df = frequency(term)
        if df > 0:
            weighted[term] = count * math.log(1 + (chunks - df + 0.5) / (df + 0.5))
    return WeightedTerms(tuple(weighted), tuple(weighted.values()), total_length / max(chunks, 1))


class Vocabulary(Sequence[bytes]):
    """A sorted list of terms in two memory-mapped files, found by bisection."""

    def __init__(self, folder: Path) -> None:
        self._blob = _load(folder / "terms.npy")
        self._ends = _load(folder / "term_ends.npy")

    def __len__(self) -> int:
        """Return the number of terms."""
        return len(self._ends) - 1

    def __getitem__(self, number: int) -> bytes:  # type: ignore[override]
        """Return the term at `number`."""
        return self._blob[self._ends[number] : self._ends[number + 1]].tobytes()

    def find(self, term: bytes) -> int | None:
        """Return the term's number, or None."""
        number = bisect_left(self, term)
        return number if number < len(self) and self[number] == term else None


class TermStatistics:
    """How many rows of a segment hold a term; all that a router needs of it."""

    def __init__(self, folder: Path) -> None:
        self.vocabulary = Vocabulary(folder)
        self.offsets = _load(folder / "offsets.npy")

    def frequency(self, number: int) -> int:
        """Return the number of rows, dead ones included, that hold term `number`."""
        return int(self.offsets[number + 1] - self.offsets[number])


class LexicalIndex:
    """A segment's postings.

    Args:
        folder: Where `files_of` put them.
        ids: uint64 [rows], chunk ids.
    """

    def __init__(self, folder: Path, ids: NDArray[np.uint64]) -> None:
        self._ids = ids
        self.statistics = TermStatistics(folder)
        self._rows = _load(folder / "rows.npy")
        self._counts = _load(folder / "counts.npy")
        self.lengths = _load(folder / "lengths.npy")

    def search(self, query: WeightedTerms, k: int, allowed: NDArray[np.bool_] | None) -> Ranking:
        """Return the best `k` rows that hold a query term, of those `allowed` (None: of all)."""
        scores = np.zeros(len(self._ids), np.float64)
        for term, weight in zip(query.terms, query.weights, strict=True):
            self._add(scores, term, weight, query.mean_length)
        matches = np.flatnonzero(scores if allowed is None else scores * allowed)
        if len(matches) == 0:
            return EMPTY
        best = matches[at_least_kth(scores[matches], k)]
        return ranked(self._ids[best], scores[best], k)

    def live_frequencies_lost(
        self, dead: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Return (term numbers, rows lost) for the terms that occur in `dead`, bool [rows]."""
        before = np.concatenate(([0], np.cumsum(dead[self._rows], dtype=np.int64)))
        offsets = self.statistics.offsets
        lost = before[offsets[1:]] - before[offsets[:-1]]
        terms = np.flatnonzero(lost)
        return terms.astype(np.int32), lost[terms].astype(np.int32)

    def _add(
        self, scores: NDArray[np.float64], term: bytes, weight: float, mean_length: float
    ) -> None:
        number = self.statistics.vocabulary.find(term)
        if number is None:
            return
        postings = slice(*self.statistics.offsets[number : number + 2])
        rows, counts = self._rows[postings], self._counts[postings].astype(np.float64)
        norm = K1 * (1 - B + B * self.lengths[rows] / mean_length)
        scores[rows] += weight * counts * (K1 + 1) / (counts + norm)


def files_of(postings: Postings) -> dict[str, NDArray[Any]]:
    """Return the arrays that make up `postings` on disk, by file name."""
    sizes = np.fromiter(map(len, postings.vocabulary), np.int64, len(postings.vocabulary))
    return {
        "terms.npy": np.frombuffer(b"".join(postings.vocabulary), np.uint8),
        "term_ends.npy": np.concatenate(([0], np.cumsum(sizes))),
        "offsets.npy": postings.offsets,
        "rows.npy": postings.rows,
        "counts.npy": postings.counts,
        "lengths.npy": postings.lengths,
    }


def _load(path: Path) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError:  # an empty array cannot be mapped
        array = np.load(path, allow_pickle=False)
    return array
