"""One list out of several: what each side scores beyond its mean, and what a chunk's place tells.

A score is a sum of parts, so that it can be explained. Ranks alone (reciprocal rank fusion, Cormack
et al. 2009) would throw away by how much one candidate is better than the next.
`bench/results/ablation.json` has what each constant brings.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import reduce
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from actors.index.question import QueryKind, Wish
from actors.index.ranking import EMPTY, Ranking, ranked
from actors.index.signals import FEATURED, NO_SIGNALS, SHARES, Signals

DENSE_WEIGHT = {
    QueryKind.PROSE: 9.5,
    QueryKind.NAME: 5.0,
    QueryKind.PATH: 5.0,
    QueryKind.PHRASE: 5.0,
}
"""Of a cosine above the mean of the candidates', beside a BM25 in units of the mean of theirs.

A side whose candidates are all alike has little say so: its scores hardly leave their mean."""
USUAL_WORDS = 7
"""Telling words of a question in prose at which its meaning weighs so much. Fewer words tell less,
and its meaning counts for more; of more words, it is the other way round."""
LEAST_MEANING, MOST_MEANING = 0.5, 1.6
"""Times that, at the longest questions and the shortest."""
FILE_NAME = 1.5
"""Where the query has all words of the file's name; a part of it for some."""
FOLDER = 0.5
"""Where all words of the query are names of folders; likewise."""
DEFINITION = 2.0
"""Where the chunk defines what the query names."""
PHRASE = 3.0
"""Where the chunk has what the query quotes, word by word."""
NEIGHBOURS = 1.0
"""Where all words that follow one another in the query are near one another; a part for some."""
ASIDE = -0.5
"""A test, an example, generated or foreign code, unless the query asks for such."""
NEAR_COPY = -5.0
"""A chunk most lines of which stand in a better one: it comes after what is new."""

PARTS = ("meaning", "words", *SHARES, "near_copy")
"""What a fused score is the sum of."""
_MEANING, _WORDS, _NEAR_COPY = map(PARTS.index, ("meaning", "words", "near_copy"))
_SIGNALS = slice(PARTS.index(SHARES[0]), PARTS.index(SHARES[-1]) + 1)
_WEIGHTS = np.array([FILE_NAME, FOLDER, DEFINITION, PHRASE, NEIGHBOURS, ASIDE])
_MEAN_OF = 100
"""Candidates of a side, the best: its mean does not depend on how many are asked for."""
_FEWEST = 20
"""Candidates of words: where fewer chunks hold any, the others count as zeros."""
_MOST = 5
"""Times the mean, at most, that the best counts: where few chunks hold the telling word and many a
common one, the mean is hardly above nothing."""
_ALIKE = 0.8
"""Share of common lines from which one of two chunks is a near copy."""


class Mode(StrEnum):
    """Which sides of the index answer."""

    HYBRID = "hybrid"
    SEMANTIC = "semantic"
    LEXICAL = "lexical"


@dataclass(frozen=True, slots=True)
class Fused:
    """A ranking, and what it was made of.

    Attributes:
        ranking: The best.
        parts: float64 [k, PARTS], what their scores are sums of; None where one side answered.
        dense: One ranking for each vector space.
        lexical: The one of words.
    """

    ranking: Ranking
    parts: NDArray[np.float64] | None
    dense: Sequence[Ranking]
    lexical: Ranking


def answer_of(
    mode: Mode,
    dense: Sequence[Ranking],
    lexical: Ranking,
    k: int,
    signals: Signals = NO_SIGNALS,
    wish: Wish = Wish(),  # noqa: B008 - frozen
) -> Fused:
    """Return the ranking that answers in `mode`; a single side keeps its own scores.

    Args:
        mode: Which sides answer.
        dense: One ranking for each vector space.
        lexical: The one of all chunks.
        k: How many to keep.
        signals: What is known of the best of each side; taken into account in hybrid mode.
        wish: What the query asks for.
    """
    if mode is Mode.HYBRID:
        return fuse(dense, lexical, k, signals, wish)
    if mode is Mode.SEMANTIC and len(dense) > 1:
        return fuse(dense, EMPTY, k)
    (side,) = dense if mode is Mode.SEMANTIC else (lexical,)
    return Fused(Ranking(side.ids[:k], side.scores[:k]), None, dense, lexical)


def fuse(
    dense: Sequence[Ranking],
    lexical: Ranking,
    k: int,
    signals: Signals = NO_SIGNALS,
    wish: Wish = Wish(),  # noqa: B008 - frozen
) -> Fused:
    """Merge rankings by the sum of their parts; see `answer_of`.

    A candidate that only one side has counts as average on the other.
    """
    ids = reduce(np.union1d, (ranking.ids for ranking in dense), lexical.ids)
    parts = np.zeros((len(ids), len(PARTS)))
    weight = weight_of_meaning(wish)
    for ranking in dense:
        meaning = weight * (ranking.scores - _mean(ranking, 1))
        parts[np.searchsorted(ids, ranking.ids), _MEANING] = meaning
    if len(lexical.ids):
        unit = max(_mean(lexical, _FEWEST), float(lexical.scores[0]) / _MOST)
        words = lexical.scores / unit - 1
        parts[np.searchsorted(ids, lexical.ids), _WORDS] = words
    seen = signals.among([ranking.ids[:FEATURED] for ranking in (*dense, lexical)])
    if len(seen.ids):
        rows = np.searchsorted(ids, seen.ids)
        parts[rows, _SIGNALS] = seen.shares * _WEIGHTS
        parts[rows, _NEAR_COPY] = _near_copy(parts[rows].sum(axis=1), seen)
    scores = parts.sum(axis=1)
    best = ranked(ids, scores, k)
    return Fused(best, parts[np.searchsorted(ids, best.ids)], dense, lexical)


def weight_of_meaning(wish: Wish) -> float:
    """Return what a cosine above the mean weighs, beside a BM25 in units of the mean."""
    weight = DENSE_WEIGHT[wish.kind]
    if wish.kind is not QueryKind.PROSE or not wish.stems:
        return weight
    return weight * min(max(USUAL_WORDS / len(wish.stems), LEAST_MEANING), MOST_MEANING)


def _mean(ranking: Ranking, at_least: int) -> float:
    scores = ranking.scores[:_MEAN_OF]
    return float(scores.sum()) / max(len(scores), at_least)


def _near_copy(scores: NDArray[np.float64], seen: Signals) -> NDArray[np.float64]:
    """Return what chunks lose for what stands in better ones already."""
    loss = np.zeros(len(scores))
    held = Counter(chain.from_iterable(seen.lines))
    kept_with: defaultdict[int, list[int]] = defaultdict(list)
    for row in np.lexsort((seen.ids, -scores)).tolist():
        size = len(seen.lines[row])
        shared = [line for line in seen.lines[row] if held[line] > 1]  # most are of one chunk alone
        common = Counter(better for line in shared for better in kept_with.get(line, ()))
        if any(
            count >= _ALIKE * max(size, len(seen.lines[better])) for better, count in common.items()
        ):
            loss[row] = NEAR_COPY
        else:
            for line in shared:
                kept_with[line].append(row)
    return loss
