"""Exact BM25 over memory-mapped postings, without looking at most of them.

The statistics (number of chunks, mean length, document frequencies) are those of everything that
is searched, over all shards and collections, so a chunk scores the same wherever it lies.

What a term can add to a row's score at most is known for each block of rows (bounds.py), and so is
what a query can reach there. The most promising blocks are scored first; once the k-th best score
is known, blocks that cannot reach it are never looked at: block-max pruning (Ding and Suel 2011,
Mallia et al. 2024) with arithmetic on whole arrays. A rare term weighs much in few blocks, so that
these come first by themselves. Small segments, and queries that leave most blocks in the running,
are scored from end to end. Either way a row's terms are added in byte order: its score is the same
to the last bit.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actors.index.bounds import BLOCK, K1, B, Bounds, TermBounds
from actors.index.mapped import let_go, load_array
from actors.index.postings import Postings
from actors.index.ranking import EMPTY, Ranking, at_least_kth, ranked
from actors.index.vocabulary import Vocabulary, keys_of, ranges
from actors.message import Message

_FEWEST_BLOCKS = 128
"""Of a segment that is scored block by block: some 4,000 rows take less time than the choice."""
_FIRST_BLOCKS = 64
"""Scored before there is a k-th best score; where k is larger, so many as k."""
_GROWTH = 3
"""How many times more blocks each round scores: the k-th best rises, and prunes what follows."""
_MOST_BLOCKS = 0.25
"""Share of all blocks from which it is quicker to score everything."""
_ROUNDING = 1e-6
"""Of a bound, for each term that is added to it: bounds are float32, rounded to 6e-8 at each step,
scores are float64, and no block may be left out for that."""
_LEAST = np.finfo(np.float32).tiny

_Scored = tuple[NDArray[np.intp], NDArray[np.float64]]
"""Rows and their scores."""


@dataclass(frozen=True, slots=True)
class WeightedTerms(Message):
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
    """Weigh query terms, each as often as it stands there, by their `rarity`."""
    counts = Counter(term.encode() for term in query_terms)
    return weighted(counts, frequency, chunks, total_length)


def weighted(
    counts: Mapping[bytes, float],
    frequency: Callable[[bytes], int],
    chunks: int,
    total_length: int,
) -> WeightedTerms:
    """Weigh terms by `rarity` times their counts; those that no chunk holds are left out."""
    held = [(term, count, frequency(term)) for term, count in sorted(counts.items())]
    weights = {term: count * rarity(df, chunks) for term, count, df in held if df > 0}
    return WeightedTerms(tuple(weights), tuple(weights.values()), total_length / max(chunks, 1))


def rarity(df: int, chunks: int) -> float:
    """Return ln(1 + (N - df + 0.5) / (df + 0.5)), Lucene's form of it, which is never negative."""
    return math.log(1 + (chunks - df + 0.5) / (df + 0.5))


class TermStatistics:
    """How many rows of a segment hold a term; all that a router needs of it."""

    def __init__(self, folder: Path) -> None:
        self.vocabulary = Vocabulary(folder)
        self.offsets = load_array(folder / "offsets.npy")

    def drop_caches(self) -> None:
        """Give up what can be computed or read again."""
        self.vocabulary.drop_caches()
        let_go(self.offsets)

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
        self._rows = load_array(folder / "rows.npy")
        self._counts = load_array(folder / "counts.npy")
        self.lengths = load_array(folder / "lengths.npy")
        self._bounds = Bounds(self._rows, self._counts, self.lengths)
        self._last_norms: tuple[float, NDArray[np.float64]] = (0.0, np.empty(0))

    def search(self, query: WeightedTerms, k: int, allowed: NDArray[np.bool_] | None) -> Ranking:
        """Return the best `k` rows that hold a query term, of those `allowed` (None: of all)."""
        terms = self._known(query)
        if not terms:
            return EMPTY
        norms = self._norms(query.mean_length)
        if self._bounds.blocks < _FEWEST_BLOCKS:
            rows, scores = self._best_of_all(terms, norms, k, allowed)
        else:
            rows, scores = self._best(terms, norms, query.mean_length, k, allowed)
        return ranked(self._ids[rows], scores, k)

    def rows_with(self, terms: Sequence[bytes]) -> NDArray[np.intp]:
        """Return the rows that hold all of some terms, ascending."""
        numbers = self.statistics.vocabulary.find_all(terms)
        known = [number for number in numbers if number is not None]
        if not known or len(known) < len(numbers):
            return np.empty(0, np.intp)
        offsets = self.statistics.offsets
        held = [self._rows[offsets[number] : offsets[number + 1]] for number in known]
        held.sort(key=len)
        common = reduce(partial(np.intersect1d, assume_unique=True), held)
        return common.astype(np.intp)

    def live_frequencies_lost(
        self, dead: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Return (term numbers, rows lost) for the terms that occur in `dead`, bool [rows]."""
        before = np.concatenate(([0], np.cumsum(dead[self._rows], dtype=np.int64)))
        offsets = self.statistics.offsets
        lost = before[offsets[1:]] - before[offsets[:-1]]
        terms = np.flatnonzero(lost)
        return terms.astype(np.int32), lost[terms].astype(np.int32)

    def drop_caches(self) -> None:
        """Give up what can be computed or read again: bounds, and pages of what is mapped."""
        self._bounds.clear()
        self._last_norms = (0.0, np.empty(0))
        self.statistics.drop_caches()
        for array in (self._rows, self._counts, self.lengths):
            let_go(array)

    def _known(self, query: WeightedTerms) -> list[_Term]:
        """Return the query's terms that occur here, in byte order."""
        numbers = self.statistics.vocabulary.find_all(query.terms)
        offsets = self.statistics.offsets
        return [
            _Term(number, weight, int(offsets[number]), int(offsets[number + 1]))
            for number, weight in zip(numbers, query.weights, strict=True)
            if number is not None
        ]

    def _norms(self, mean_length: float) -> NDArray[np.float64]:
        """Return what BM25 adds to a count below the line, float64 [rows]; the last is kept."""
        known_for, norms = self._last_norms
        if known_for != mean_length:
            norms = K1 * (1 - B + B * self.lengths / mean_length)
            self._last_norms = (mean_length, norms)
        return norms

    def _best_of_all(
        self,
        terms: Sequence[_Term],
        norms: NDArray[np.float64],
        k: int,
        allowed: NDArray[np.bool_] | None,
    ) -> _Scored:
        """Score every row that holds a term; return those that reach the k-th best score."""
        scores = np.zeros(len(norms), np.float64)
        for term in terms:
            rows = self._rows[term.first : term.past].astype(np.intp)
            counts = self._counts[term.first : term.past].astype(np.float64)
            add = term.weight * counts
            add *= K1 + 1
            add /= counts + norms.take(rows)
            scores[rows] += add
        matches = np.flatnonzero(scores if allowed is None else scores * allowed)
        best = matches[at_least_kth(scores[matches], k)]
        return best, scores[best]

    def _best(
        self,
        terms: Sequence[_Term],
        norms: NDArray[np.float64],
        mean_length: float,
        k: int,
        allowed: NDArray[np.bool_] | None,
    ) -> _Scored:
        """Do the same block by block, for as long as few blocks can reach the k-th best score."""
        bounds = [self._bounds.get(term.number, term.first, term.past) for term in terms]
        reach = self._reach(terms, bounds, mean_length)
        mask = None if allowed is None else _by_block(allowed, len(reach))
        if mask is not None:
            reach *= mask.view(np.uint64).any(axis=1)
        rows, scores = np.empty(0, np.intp), np.empty(0, np.float64)
        kth, wanted = _LEAST, max(_FIRST_BLOCKS, k)
        while len(able := np.flatnonzero(reach >= kth)):
            if len(able) > wanted:
                if wanted > len(reach) * _MOST_BLOCKS:
                    return self._best_of_all(terms, norms, k, allowed)
                able = np.sort(able[np.argpartition(reach[able], -wanted)[-wanted:]])
            reach[able] = 0
            found = self._scored(able, terms, bounds, norms)
            if mask is not None:
                found *= mask[able].ravel()
            hits = np.flatnonzero(found >= kth)
            rows = np.concatenate((rows, able[hits // BLOCK] * BLOCK + hits % BLOCK))
            scores = np.concatenate((scores, found[hits]))
            best = at_least_kth(scores, k)
            rows, scores = rows[best], scores[best]
            kth = scores.min() if len(scores) >= k else _LEAST
            wanted *= _GROWTH
        return rows, scores

    def _reach(
        self, terms: Sequence[_Term], bounds: Sequence[TermBounds], mean_length: float
    ) -> NDArray[np.float32]:
        """Return what the query can score in each block at most, float32 [blocks]."""
        reach = np.zeros(self._bounds.blocks, np.float32)
        stretch = self._bounds.stretch(mean_length) * (1 + _ROUNDING * (len(terms) + 1))
        for term, bound in zip(terms, bounds, strict=True):
            most = bound.most * np.float32(term.weight * stretch)
            if bound.blocks is None:
                reach += most
            else:
                reach[bound.blocks] += most
        return reach

    def _scored(
        self,
        blocks: NDArray[np.intp],
        terms: Sequence[_Term],
        bounds: Sequence[TermBounds],
        norms: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Return the scores of all rows of some blocks, float64 [blocks * BLOCK]."""
        place = np.full(self._bounds.blocks, -1, np.int32)
        place[blocks] = np.arange(len(blocks), dtype=np.int32)
        parts = [bound.within(blocks, place) for bound in bounds]
        starts, sizes, places = (np.concatenate(part) for part in zip(*parts, strict=True))
        held = np.repeat([term.weight for term in terms], [len(part[0]) for part in parts])
        at = ranges(starts, sizes)
        rows = self._rows.take(at).astype(np.intp)
        counts = self._counts.take(at).astype(np.float64)
        add = held.repeat(sizes)
        add *= counts
        add *= K1 + 1
        add /= counts + norms.take(rows)
        slots = (places * np.int64(BLOCK)).repeat(sizes)
        slots += rows % BLOCK
        return np.bincount(slots, add, len(blocks) * BLOCK).astype(np.float64, copy=False)


@dataclass(frozen=True, slots=True)
class _Term:
    """A query's term in a segment: its number, its weight, and which postings are its."""

    number: int
    weight: float
    first: int
    past: int


def read_postings(folder: Path) -> Postings:
    """Return the postings in a folder that `files_of` filled; all but the terms stay on disk."""
    arrays = {
        name: load_array(folder / f"{name}.npy")
        for name in ("offsets", "rows", "counts", "lengths")
    }
    return Postings(vocabulary=tuple(Vocabulary(folder)), **arrays)


def files_of(postings: Postings) -> dict[str, NDArray[Any]]:
    """Return the arrays that make up `postings` on disk, by file name."""
    sizes = np.fromiter(map(len, postings.vocabulary), np.int64, len(postings.vocabulary))
    blob = np.frombuffer(b"".join(postings.vocabulary), np.uint8)
    ends = np.concatenate(([0], np.cumsum(sizes)))
    return {
        "terms.npy": blob,
        "term_ends.npy": ends,
        "term_keys.npy": keys_of(blob, ends),
        "offsets.npy": postings.offsets,
        "rows.npy": postings.rows,
        "counts.npy": postings.counts,
        "lengths.npy": postings.lengths,
    }


def _by_block(allowed: NDArray[np.bool_], blocks: int) -> NDArray[np.bool_]:
    """Return a mask of rows, bool [rows], as bool [blocks, BLOCK]."""
    padded = np.zeros(blocks * BLOCK, np.bool_)
    padded[: len(allowed)] = allowed
    return padded.reshape(blocks, BLOCK)
