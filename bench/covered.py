"""How well hits answer a question: passages covered, tokens spent, files ranked."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from labelled import Question

from actors.messages import Chunk
from cluster.evaluation import metrics

BUDGET = 1_000
"""Tokens that are read at most where all cutters get the same: hits in order, the last cut off."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk that was found, and the tokens of its file that it is."""

    chunk: Chunk
    tokens: range


@dataclass(frozen=True, slots=True)
class Answered:
    """A question with its hits, best first."""

    question: Question
    hits: Sequence[Hit]

    @property
    def paths(self) -> list[str]:
        """The file of each hit."""
        return [hit.chunk.path for hit in self.hits]


def mean(values: Iterable[float]) -> float:
    """Return the mean, to four decimals."""
    return round(fmean(values), 4)


def ndcg(answered: Answered, paths: Sequence[str]) -> float:
    """Return nDCG@10 of paths as semble counts: a file ranks where its first chunk does."""
    firsts = [None if path in paths[:rank] else path for rank, path in enumerate(paths)]
    return metrics.ndcg(firsts, dict.fromkeys(answered.question.files, 1.0))


def within_budget(hits: Sequence[Hit]) -> list[Hit]:
    """Return what is read of hits by someone who reads `BUDGET` tokens and stops."""
    left, read = BUDGET, []
    for hit in hits:
        read.append(Hit(hit.chunk, hit.tokens[:left]))
        left -= len(read[-1].tokens)
        if not left:
            break
    return read


def coverage(answers: Sequence[tuple[Question, Sequence[Hit]]]) -> dict[str, float]:
    """Return means over questions.

    covered: the share of a question's passages that lie in one hit from end to end. recall,
    precision, iou: of tokens, where what several hits hold is returned several times.
    """
    covered, recall, precision, iou = [], [], [], []
    returned, whole = 0, 0
    for question, hits in answers:
        in_one = [
            any(hit.chunk.path == path and holds(hit.tokens, tokens) for hit in hits)
            for path, tokens in question.spans
        ]
        covered.append(fmean(in_one))
        wanted = {(path, token) for path, tokens in question.spans for token in tokens}
        got = [(hit.chunk.path, token) for hit in hits for token in hit.tokens]
        both = len(wanted.intersection(got))
        recall.append(both / len(wanted))
        precision.append(both / len(got))
        iou.append(both / (len(got) + len(wanted) - both))
        returned += len(got)
        whole += sum(in_one)
    return {
        "covered": mean(covered),
        "recall": mean(recall),
        "precision": mean(precision),
        "iou": mean(iou),
        "tokens": round(returned / len(answers), 1),
        "tokens_per_covered": round(returned / whole, 1) if whole else math.inf,
    }


def holds(outer: range, inner: range) -> bool:
    """Tell whether one run of tokens lies in another from end to end."""
    return outer.start <= inner.start and inner.stop <= outer.stop
