"""Measures of a ranking: documents best first, beside what they are worth.

In all of them `grades` maps a document to its relevance, where 0 or absence is irrelevant, and only
the first `depth` documents count. Values are from 0 to 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

DEPTH = 10

Grades = Mapping[Any, float]


def ndcg(ranked: Sequence[object], grades: Grades, depth: int = DEPTH) -> float:
    """Return the normalised discounted cumulative gain.

    DCG = Σ grade(rank) / log2(rank + 1), ranks from 1, over the DCG of the best order that there
    is. Gains are the grades themselves, as in Järvelin and Kekäläinen, "Cumulated gain-based
    evaluation of IR techniques" (ACM TOIS 20(4), 2002), and as `trec_eval -m ndcg_cut` has it.
    """
    best = _gain(sorted(grades.values(), reverse=True), depth)
    return _gain((grades.get(one, 0.0) for one in ranked), depth) / best if best else 0.0


def recall(ranked: Sequence[object], grades: Grades, depth: int = DEPTH) -> float:
    """Return the share of the relevant documents that are found.

    Where more are relevant than are looked at, it cannot reach 1 (Manning, Raghavan, Schütze,
    "Introduction to Information Retrieval", 2008, 8.4; `trec_eval -m recall`).
    """
    wanted = {one for one, grade in grades.items() if grade > 0}
    return len(wanted.intersection(ranked[:depth])) / len(wanted) if wanted else 0.0


def reciprocal_rank(ranked: Sequence[object], grades: Grades, depth: int = DEPTH) -> float:
    """Return 1 over the rank of the first relevant document, or 0 where none is found.

    Its mean over questions is MRR (Voorhees, "The TREC-8 question answering track report", 1999).
    """
    found = (rank for rank, one in enumerate(ranked[:depth], 1) if grades.get(one, 0.0) > 0)
    return 1 / next(found, math.inf)


def percentile(values: Sequence[float], percent: float) -> float:
    """Return a percentile, interpolated linearly between the two values next to it.

    Raises:
        ValueError: There are no values.
    """
    if not values:
        message = "nothing has no percentile"
        raise ValueError(message)
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def _gain(gains: Iterable[float], depth: int) -> float:
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(islice(gains, depth), 1))
