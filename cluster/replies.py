"""From what a router answers to what goes over HTTP."""

from __future__ import annotations

from actors.messages import Chunk, Hit, SearchAnswer
from cluster.freshness import Freshness
from cluster.protocol import CollectionCoverage, SearchHit, SearchReply


def search_reply(answer: SearchAnswer, gateway_ms: float, freshness: Freshness) -> SearchReply:
    """Return the reply to a search that took so long in the gateway."""
    parts = answer.collections
    return SearchReply(
        hits=tuple(map(_hit, answer.hits)),
        coverage=sum(c.coverage * c.shards for c in parts) / sum(c.shards for c in parts),
        collections=tuple(
            CollectionCoverage(
                name=c.name,
                generation=c.generation,
                coverage=c.coverage,
                problem=c.problem,
                behind_s=freshness.behind_s(c.name),
            )
            for c in parts
        ),
        timings_ms={**answer.timings_ms, "gateway": round(gateway_ms, 3)},
    )


def _hit(hit: Hit) -> SearchHit:
    chunk = Chunk.of(hit.record)
    return SearchHit(
        collection=hit.collection,
        path=chunk.path,
        start_line=chunk.start_line,
        end_line=chunk.end_line,
        language=chunk.language,
        symbol=chunk.symbol,
        score=hit.score,
        text=chunk.text,
        id=f"{hit.chunk_id:016x}",
    )
