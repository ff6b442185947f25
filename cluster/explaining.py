"""Why a hit stands where it stands, in a line for people."""

from __future__ import annotations

from cluster.protocol import Why


def explained(why: Why, score: float) -> str:
    """Return a hit's place on each side, and what its score is the sum of, the most first."""
    sides = (
        ("meaning", why.dense_rank, "cosine", why.cosine, 3),
        ("words", why.lexical_rank, "BM25", why.bm25, 2),
    )
    places = [
        f"{side}: rank {rank} ({unit} {amount:.{digits}f})"
        for side, rank, unit, amount, digits in sides
        if rank is not None and amount is not None
    ]
    parts = sorted(why.parts.items(), key=lambda part: -abs(part[1]))
    total = " ".join(f"{amount:+.2f} {name.replace('_', ' ')}" for name, amount in parts)
    read = [] if why.rerank is None else [f"reranker: {why.rerank:.2f}"]
    fused = sum(why.parts.values()) if read else score  # before it was reranked
    return "; ".join([*read, *places, *([f"{fused:.2f} = {total}"] if total else [])])
