"""From what a router answers to what goes over HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from actors.layout import Layout, Node, Place
from actors.lookup_messages import Definition, PassageAnswer, SymbolAnswer
from actors.messages import Chunk, Coverage, Hit, SearchAnswer, fields_of
from cluster.freshness import Behind
from cluster.lookup_protocol import Passage, Symbol, SymbolsReply
from cluster.protocol import CollectionCoverage, Scale, SearchReply
from cluster.topology import Machine, Plan, PlannedActor


def search_reply(answer: SearchAnswer, gateway_ms: float, behind: Behind) -> SearchReply:
    """Return the reply to a search that took so long in the gateway."""
    reply = {
        "hits": tuple(map(_hit, answer.hits)),
        "coverage": _share(answer.collections),
        "collections": _covered(answer.collections, behind),
        "timings_ms": {**answer.timings_ms, "gateway": round(gateway_ms, 3)},
        "more": answer.more,
        "rerank_problem": answer.rerank_problem,
    }
    return SearchReply.model_validate(reply)  # all at once: half the time of hit by hit


def plan_of(layout: Layout) -> Plan:
    """Return a layout as it travels."""
    return Plan(
        nodes=tuple(map(_machine, layout.nodes)),
        actors=tuple(map(_planned, layout.places)),
        scale=Scale(**asdict(layout.scale)),
        notes=layout.notes,
    )


def passage_of(answer: PassageAnswer) -> Passage:
    """Return stored lines as they travel."""
    passage, chunk = answer.passage, answer.passage.chunk
    return Passage(
        **_place(chunk),
        collection=answer.collection,
        text=chunk.text,
        id=_id(passage.chunk_id),
        generation=answer.generation,
    )


def symbols_reply(answer: SymbolAnswer, behind: Behind) -> SymbolsReply:
    """Return definitions as they travel."""
    return SymbolsReply(
        symbols=tuple(_symbol(collection, found) for collection, found in answer.found),
        more=answer.more,
        coverage=_share(answer.collections),
        collections=_covered(answer.collections, behind),
    )


def _share(parts: Sequence[Coverage]) -> float:
    return sum(c.coverage * c.shards for c in parts) / sum(c.shards for c in parts)


def _covered(parts: Sequence[Coverage], behind: Behind) -> tuple[CollectionCoverage, ...]:
    return tuple(
        CollectionCoverage(
            name=c.name,
            generation=c.generation,
            coverage=c.coverage,
            problem=c.problem,
            behind_s=behind.behind_s(c.name),
        )
        for c in parts
    )


def _hit(hit: Hit) -> dict[str, Any]:
    path, start_line, end_line, language, symbol, text = fields_of(hit.record)
    return {
        "path": path,
        "start_line": start_line,
        "end_line": end_line,
        "language": language,
        "symbol": symbol,
        "text": text,
        "collection": hit.collection,
        "score": hit.score,
        "id": _id(hit.chunk_id),
        "why": hit.why and asdict(hit.why) | {"parts": dict(hit.why.parts)},
    }


def _symbol(collection: str, found: Definition) -> Symbol:
    return Symbol(
        **_place(found),
        collection=collection,
        kind=found.kind,
        signature=found.signature,
        id=_id(found.chunk_id),
    )


def _place(found: Chunk | Definition) -> dict[str, Any]:
    """Return where something stands, under the names that it travels by."""
    return {
        "path": found.path,
        "start_line": found.start_line,
        "end_line": found.end_line,
        "language": found.language,
        "symbol": found.symbol,
    }


def _id(chunk_id: int) -> str:
    return f"{chunk_id:016x}"


def _machine(node: Node) -> Machine:
    return Machine(
        id=node.id,
        address=node.address,
        is_head=node.is_head,
        cpus=node.cpus,
        gpus=node.gpus,
        total_bytes=node.total,
        room_bytes=node.room,
        object_store_bytes=node.object_store,
        labels=dict(node.labels),
    )


def _planned(place: Place) -> PlannedActor:
    return PlannedActor(
        name=place.name,
        kind=place.kind,
        node=place.node,
        now=place.now,
        limit_bytes=place.limit_bytes,
        gpus=place.gpus,
        model=place.model,
        reason=place.reason,
    )
