"""Reranking: the best of a ranking, ordered anew by a cross-encoder that reads them."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from actors.engines.base import Scores
from actors.errors import ShoalError
from actors.index.ranking import Ranking
from actors.index.writing import searchable_text
from actors.messages import RERANK_DEPTH, Chunk, SearchRequest, Why
from actors.scatter import Watch

_log = logging.getLogger("shoal.reranking")

_KEPT_SHARE = 0.1
"""Of the time that a search has left, kept for what follows."""

Score = Callable[[str, str, tuple[str, ...], float], Awaitable[Scores]]
"""As `Scorers.score`."""


@dataclass(frozen=True, slots=True)
class Reranked:
    """A ranking of which a cross-encoder has read the best.

    Attributes:
        ranking: Those that it read first, by its scores.
        read: How many it read.
        problem: Why it read none, or "".
    """

    ranking: Ranking
    read: int = 0
    problem: str = ""

    def explained(self, reasons: Mapping[int, Why]) -> dict[int, Why]:
        """Add its scores to what is told of chunks."""
        ids, scores = self.ranking.ids[: self.read], self.ranking.scores[: self.read]
        known = dict(zip(ids.tolist(), scores.tolist(), strict=True))
        return {i: replace(reason, rerank=known.get(i)) for i, reason in reasons.items()}


async def reranked(
    score: Score,
    request: SearchRequest,
    found: Ranking,
    records: Mapping[int, tuple[str, bytes]],
    watch: Watch,
) -> Reranked:
    """Order the best `RERANK_DEPTH` of a ranking by their scores from a cross-encoder.

    Those whose text is not at hand and those further down follow, in the order that they had.
    Where the cross-encoder does not answer for whatever reason, the order is what it was.

    Args:
        score: Scores texts against a query.
        request: The search.
        found: What it found.
        records: Chunk id → collection and record.
        watch: Knows how much time is left.
    """
    best = [i for i in found.ids[:RERANK_DEPTH].tolist() if i in records]
    if not best:
        return Reranked(found)
    texts = tuple(_text_of(records[i][1]) for i in best)
    give_up_at = time.monotonic() + max(watch.left_s(), 0) * (1 - _KEPT_SHARE)
    try:
        scores = await score(request.reranker, request.query, texts, give_up_at)
    except TimeoutError:
        return Reranked(found, problem="the reranker did not answer in time")
    except Exception as error:  # noqa: BLE001 - whatever befell it, the hits are there
        return Reranked(found, problem=_reason(error))
    if not np.isfinite(scores).all():
        return Reranked(found, problem="the reranker gave scores that are no numbers")
    return Reranked(reordered(found, np.array(best, np.uint64), scores), len(best))


def reordered(found: Ranking, ids: NDArray[np.uint64], scores: Scores) -> Ranking:
    """Put some chunks of a ranking first, best score first; of equal ones the former order stays.

    Args:
        found: The ranking.
        ids: uint64 [n], those that have a new score, in the order that they have in `found`.
        scores: float32 [n], their new scores; the others keep theirs, on a scale of its own.
    """
    order = np.argsort(-scores, kind="stable")
    rest = ~np.isin(found.ids, ids)
    return Ranking(
        np.concatenate((ids[order], found.ids[rest])),
        np.concatenate((scores[order].astype(np.float64), found.scores[rest])),
    )


def _text_of(record: bytes) -> str:
    chunk = Chunk.of(record)
    return searchable_text(chunk.path, chunk.symbol, chunk.text)


def _reason(error: Exception) -> str:
    if isinstance(error, ShoalError):
        return str(error)
    _log.exception("reranking failed")
    return f"the reranker failed: {error!r}"
