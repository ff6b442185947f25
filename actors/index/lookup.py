"""Looking things up in a segment: stored lines, and definitions by name.

Words are kept whole in the postings, so the rows that hold a name are at hand, and no other text is
read. What a chunk is named after tells where to look first; but a small class is one chunk, and is
not named after its methods, so that the texts of the others are looked at too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from actors.errors import NotFound
from actors.index.definitions import definitions, fit, names_of, normalised, undefined
from actors.index.segment import Segment
from actors.index.selection import Selection
from actors.index.texts import joined, widened
from actors.index.tokens import words
from actors.lookup_messages import Definition, Definitions, Passage, PassageQuery, SymbolQuery
from actors.messages import Chunk

_MOST_READ = 4000
"""Chunks whose text is looked at for one name, some 100 ms; a longer name is in fewer."""
_READ_AT_ONCE = 256
_NO_FIT = 4

_Candidate = tuple[int, str]
"""A row, and what of its chunk's symbol fits the name, or ""."""


def find_definitions(segment: Segment, query: SymbolQuery, live: Selection | None) -> Definitions:
    """Return what the `live` rows of a segment define under a name.

    Raises:
        CorruptData: What is read on the way is not what was written.
    """
    name = normalised(query.name)
    terms = [word.lower().encode() for word in words(name)]
    rows = segment.rows_with(terms, query.languages, live)
    candidates = _by_fit(segment, rows, name)
    found: list[Definition] = []
    named: dict[tuple[str, str], tuple[int, Chunk]] = {}
    for first in range(0, min(len(candidates), _MOST_READ), _READ_AT_ONCE):
        some = candidates[first : min(first + _READ_AT_ONCE, _MOST_READ)]
        for (row, symbol), chunk in zip(some, segment.chunks([r for r, _ in some]), strict=True):
            number = int(segment.ids[row])
            found += [replace(each, chunk_id=number) for each in definitions(chunk, name)]
            if symbol and row < named.get((chunk.path, symbol), (row + 1, chunk))[0]:
                named[chunk.path, symbol] = row, chunk
    known = {(each.path, each.symbol) for each in found}
    found += [
        replace(undefined(chunk, symbol), chunk_id=int(segment.ids[row]))
        for (path, symbol), (row, chunk) in named.items()
        if (path, symbol) not in known
    ]
    wanted = [each for each in found if query.kind in {None, each.kind}]
    return best([Definitions(tuple(wanted), len(candidates) > _MOST_READ)], query)


def best(parts: Iterable[Definitions], query: SymbolQuery) -> Definitions:
    """Put together what was found in several places, the best first, as many as are wanted."""
    several = list(parts)
    name = normalised(query.name)
    found = sorted(
        (each for part in several for each in part.found), key=lambda each: order(each, name)
    )
    more = len(found) > query.wanted or any(part.more for part in several)
    return Definitions(tuple(found[: query.wanted]), more)


def order(definition: Definition, name: str) -> tuple[int, str, int]:
    """Return by what definitions are ordered: how well they fit, then where they stand."""
    how = fit(definition.symbol, name)
    return _NO_FIT if how is None else how, definition.path, definition.start_line


def find_passage(segment: Segment, query: PassageQuery, live: Selection | None) -> Passage | None:
    """Return stored lines, or None where neither the chunk nor the file is among the `live` rows.

    Raises:
        NotFound: The file is here, and has no such lines.
        LimitExceeded: That is more text than is read at once.
    """
    row = None if query.chunk_id is None else segment.row_of(query.chunk_id, live)
    if query.chunk_id is not None and row is None:
        return None
    rows = segment.rows_of_file(query.path if row is None else segment.path_of(row), live)
    if not rows:
        return None
    chosen = [row] if row is not None else _chosen(segment, rows, query)
    (first, _), (_, last) = segment.lines_of(chosen[0]), segment.lines_of(chosen[-1])
    overlapping = _between(segment, rows, first, last)
    if row is not None or query.around:
        chunk = _chunk(segment, chosen[0], rows, query.context)
    else:
        chunk = _lines(segment, rows, chosen, query)
    return Passage(
        chunk,
        int(segment.ids[chosen[0]]),
        tuple(int(segment.ids[each]) for each in overlapping),
        segment.vector(chosen[0]),
    )


def _by_fit(segment: Segment, rows: list[int], name: str) -> list[_Candidate]:
    """Return rows by how well what they are named after fits a name, then by file and line."""
    if not rows:
        return []
    ranked = []
    *_, last = re.split(r"[.:]", name.casefold())
    for row, symbol in zip(rows, segment.symbols(rows), strict=True):
        names = names_of(symbol) if last in symbol.casefold() else []
        fits = [(how, each) for each in names if (how := fit(each, name)) is not None]
        how, own = min(fits, default=(_NO_FIT, ""))
        ranked.append((how, row, own))
    return [(row, own) for _, row, own in sorted(ranked)]


def _chosen(segment: Segment, rows: list[int], query: PassageQuery) -> list[int]:
    """Return the rows of a file with the lines that are wanted; where those are blank, the next."""
    end = max(segment.lines_of(row)[1] for row in rows)
    first = query.start_line or 1
    if first > end:
        message = f"{query.path} has lines 1-{end} in the index, and line {first} is asked for"
        raise NotFound(message)
    last = first if query.around else query.end_line or end
    within = _between(segment, rows, first, last)
    return within or [next(row for row in rows if segment.lines_of(row)[1] >= first)]


def _between(segment: Segment, rows: Sequence[int], first: int, last: int) -> list[int]:
    spans = ((row, segment.lines_of(row)) for row in rows)
    return [row for row, (start, end) in spans if start <= last and end >= first]


def _chunk(segment: Segment, row: int, rows: list[int], context: int) -> Chunk:
    first, last = segment.lines_of(row)
    near = _between(segment, rows, first - context, last + context) if context else [row]
    chunks = dict(zip(near, segment.chunks(near), strict=True))
    return widened(chunks[row], list(chunks.values()), context)


def _lines(segment: Segment, rows: list[int], chosen: list[int], query: PassageQuery) -> Chunk:
    spans = [segment.lines_of(row) for row in rows]
    begin, end = min(start for start, _ in spans), max(last for _, last in spans)
    first = begin if query.start_line is None else max(1, query.start_line - query.context)
    last = min(end, (query.end_line or end) + query.context)
    near = _between(segment, rows, first, last) or chosen
    return joined(segment.chunks(near), first, last)
