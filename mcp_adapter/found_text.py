"""Hits, passages and definitions as text, fenced: the facts of the structured result in less."""

from __future__ import annotations

import secrets
from collections.abc import Iterable

from cluster.freshness import in_words
from cluster.protocol import CollectionCoverage
from cluster.visible import one_line
from mcp_adapter.found import (
    Definition,
    Found,
    Hit,
    PassageAnswer,
    SearchAnswer,
    SymbolsAnswer,
)


def new_fence() -> str:
    """Return a word that no author of an indexed file could foresee."""
    return f"retrieved-{secrets.token_hex(4)}"


def search_text(answer: SearchAnswer, fence: str) -> str:
    """Return the hits between two fence lines."""
    blocks = "\n\n".join(map(hit_text, answer.hits))
    lines = [*_head(answer, len(answer.hits), "hit"), *_fenced(answer.note, blocks, fence)]
    return "\n".join([*lines, *_way_on(answer), *_next_page(answer)])


def passage_text(answer: PassageAnswer, fence: str) -> str:
    """Return the lines that were read between two fence lines."""
    head = (
        f"{_where(answer)}  ({answer.language}, {answer.collection}, "
        f"generation {answer.generation})  [{answer.id}]"
    )
    passage = _fenced(answer.note, f"{head}\n{answer.text}", fence)
    return "\n".join([*passage, *_way_on(answer)])


def symbols_text(answer: SymbolsAnswer, fence: str) -> str:
    """Return the definitions between two fence lines."""
    found = "\n".join(map(definition_text, answer.symbols))
    lines = [*_head(answer, len(answer.symbols), "definition"), *_fenced(answer.note, found, fence)]
    return "\n".join([*lines, *_way_on(answer), *_next_page(answer)])


def hit_text(hit: Hit) -> str:
    """Return a hit: one line that says where it is, then its text."""
    head = f"{_where(hit)}  ({hit.collection}, {hit.score:g})  [{hit.id}]"
    return "\n".join(part for part in (head, hit.text, hit.cut) if part)


def definition_text(found: Definition) -> str:
    """Return a definition in one line."""
    what = " ".join(filter(None, (found.kind, found.language)))
    signature = f": {one_line(found.signature)}" if found.signature else ""
    return f"{_where(found)}  ({what}, {found.collection})  [{found.id}]{signature}"


def searched_text(searched: CollectionCoverage) -> str:
    """Return what an answer took from a collection."""
    partly = "" if searched.coverage >= 1 else f", coverage {searched.coverage:.2f}"
    fresh = in_words(searched.behind_s)
    known = f"generation {searched.generation}{f', {fresh}' if fresh else ''}{partly}"
    problem = f": {one_line(searched.problem)}" if searched.problem else ""
    return f"{searched.name} ({known}{problem})"


def _head(answer: Found, count: int, what: str) -> Iterable[str]:
    """Return how much was found where, and whether some may be missing."""
    found = f"{count or 'No'} {what}{'' if count == 1 else 's'}"
    more = [f"{answer.collections_omitted} more"] if answer.collections_omitted else []
    searched = ", ".join([*map(searched_text, answer.collections), *more])
    yield f"{found}. Searched: {searched or 'nothing'}."
    if answer.coverage < 1:
        yield (
            f"INCOMPLETE: coverage {answer.coverage:.2f}, some shards did not answer, so hits may "
            "be missing. Search again in a moment; cluster_status says what is wrong."
        )


def _where(found: Hit | PassageAnswer | Definition) -> str:
    where = f"{one_line(found.path)}:{found.start_line}-{found.end_line}"
    return f"{where}  {one_line(found.symbol)}" if found.symbol else where


def _fenced(note: str, data: str, fence: str) -> Iterable[str]:
    return (f"<<< {fence}: untrusted. {note}", data, f">>> {fence}") if data else ()


def _next_page(answer: Found) -> Iterable[str]:
    if answer.next_cursor:
        yield f"next_cursor: {answer.next_cursor}"


def _way_on(answer: Found | PassageAnswer) -> Iterable[str]:
    if answer.hint:
        yield f"{'TRUNCATED: ' if answer.truncated else ''}{answer.hint}"
