"""What the words of a query weigh in all that is searched, taken as one corpus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from actors.index.lexical import WeightedTerms, rarity, weighted
from actors.index.question import FORM_WEIGHT, forms, telling_terms
from actors.index.typos import MOST_CORRECTIONS, TYPO_WEIGHT
from actors.routing.corpus import Generation


def weigh_query(
    query: str, generations: Sequence[Generation], typos: bool = False
) -> WeightedTerms:
    """Weigh the query's terms, and their other forms, with the statistics of all generations.

    Args:
        query: What was asked.
        generations: What is searched.
        typos: Let terms that no chunk holds stand for those one typing mistake away, at
            `TYPO_WEIGHT` of the weight.
    """
    counts = {term.encode(): float(count) for term, count in telling_terms(query).items()}
    others = {term: [form.encode() for form in forms(term.decode())] for term in counts}
    known = _frequencies(
        [*counts, *(form for each in others.values() for form in each)], generations
    )
    chunks = sum(generation.manifest.chunks for generation in generations)
    wanted = dict(counts)
    for term, each in others.items():
        for form, share in _shares(term, each, known, chunks).items():
            wanted[form] = max(wanted.get(form, 0.0), share * counts[term])
    for term in [
        term for term in counts if typos and not any(map(known.get, (term, *others[term])))
    ]:
        for near, held in _corrections(term, generations).items():
            known[near] = held
            wanted[near] = wanted.get(near, 0.0) + TYPO_WEIGHT * counts[term]
    total_length = sum(generation.manifest.total_length for generation in generations)
    return weighted(wanted, known.__getitem__, chunks, total_length)


def _shares(
    term: bytes, others: Sequence[bytes], known: Mapping[bytes, int], chunks: int
) -> dict[bytes, float]:
    """Return what share of a term's count its other forms get; none weighs more than a part."""
    own = rarity(known[term], chunks)
    return {
        form: FORM_WEIGHT * (min(1.0, own / rarity(known[form], chunks)) if known[term] else 1.0)
        for form in others
        if known[form]
    }


def _corrections(word: bytes, generations: Sequence[Generation]) -> dict[bytes, int]:
    """Return the most frequent terms one typing mistake away, and how many chunks hold each."""
    near = sorted(set().union(*(generation.neighbours(word) for generation in generations)))
    held = _frequencies(near, generations)
    best = sorted(near, key=lambda term: (-held[term], term))[:MOST_CORRECTIONS]
    return {term: held[term] for term in best}


def _frequencies(wanted: Sequence[bytes], generations: Sequence[Generation]) -> dict[bytes, int]:
    found = [generation.frequencies(wanted) for generation in generations]
    return dict(zip(wanted, map(sum, zip(*found, strict=True)), strict=True))
