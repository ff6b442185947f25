"""From the gateway's replies to answers that fit: what was found, cut to a budget of tokens.

Some hosts hand a model the structured result, some the text, so that an answer fits where the
larger of the two does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from cluster.lookup_protocol import Passage, Symbol, SymbolsReply
from cluster.protocol import (
    MAX_CHUNK_CHARS,
    MAX_LIMIT,
    CollectionCoverage,
    SearchHit,
    SearchReply,
)
from cluster.visible import one_line, visible
from mcp_adapter.budget import (
    DEFAULT_TOKENS,
    Snippet,
    cost,
    cut,
    fitting,
    longest,
    room,
    shortened,
)
from mcp_adapter.cursors import CURSOR_CHARS
from mcp_adapter.found import (
    UNTRUSTED,
    Definition,
    Detail,
    Hit,
    PassageAnswer,
    SearchAnswer,
    SymbolsAnswer,
)
from mcp_adapter.found_text import (
    definition_text,
    hit_text,
    new_fence,
    passage_text,
    search_text,
    searched_text,
    symbols_text,
)

CONCISE_CHARS = 800
"""Of a hit: all of most chunks, and of a longer one its signature, its docstring and more."""
_MOST_CHARS: dict[Detail, int] = {
    "locations": 0,
    "concise": CONCISE_CHARS,
    "full": MAX_CHUNK_CHARS,
}
_PATH_BYTES, _NAME_BYTES, _SIGNATURE_BYTES, _PROBLEM_BYTES = 240, 120, 400, 200
"""What is longer is shown by its ends; the id tells the whole."""

_A_FENCE = new_fence()
_FENCE_BYTES = len(f"<<< {_A_FENCE}: untrusted. {UNTRUSTED}\n>>> {_A_FENCE}\n")

_NARROW = "narrow with paths, exclude_paths, languages or collections"
_MORE_DEFINITIONS = (
    "There are more definitions: call again with next_cursor as cursor, or give the whole dotted "
    "name, kind, languages or collections."
)
_NO_MORE_DEFINITIONS = (
    "There may be more definitions: give the whole dotted name, kind, languages or collections."
)
_NO_DEFINITION = "search finds where it is used or described; find_symbol knows definitions only."
_NOTHING = "Other words, another mode, fewer filters? list_collections says what is indexed."


@dataclass(frozen=True, slots=True)
class Page:
    """How much of what was found to show.

    Attributes:
        detail: How much of each hit.
        max_tokens: How large the answer may be.
        offset: How many hits were shown before.
        cursor_to: Returns the cursor of a page by its offset; None where there are no pages.
    """

    detail: Detail = "concise"
    max_tokens: int = DEFAULT_TOKENS
    offset: int = 0
    cursor_to: Callable[[int], str] | None = None


def search_answer(reply: SearchReply, page: Page) -> SearchAnswer:
    """Return as many of the hits as fit, and where the next ones are."""
    bytes_left = room(page.max_tokens)
    hit = {found.collection for found in reply.hits}
    searched = _searched(reply.collections, hit, bytes_left // 4)
    frame = SearchAnswer(
        coverage=reply.coverage,
        collections=searched,
        collections_omitted=len(reply.collections) - len(searched),
        truncated=True,
        hint=_too_long(page, len(reply.hits), len(reply.hits), go_on=True),
        next_cursor="-" * CURSOR_CHARS,
    )
    bytes_left -= cost(frame, search_text(frame, _A_FENCE)) + _FENCE_BYTES
    most = _MOST_CHARS[page.detail]
    hits = fitting((_hit(hit, most) for hit in reply.hits), _cost_of_hit, bytes_left)
    lacking = len(hits) < len(reply.hits)
    if lacking and not hits:
        hits = [_cut_hit(reply.hits[0], most, bytes_left)]
    way_on = _way_on(page, reply, len(hits), lacking)
    return frame.model_copy(update={"hits": tuple(hits), "truncated": lacking, **way_on})


def passage_answer(passage: Passage, max_tokens: int) -> PassageAnswer:
    """Return a passage, or its first lines and how to read on."""
    text = visible(passage.text).rstrip("\n")
    known = {
        **passage.model_dump(exclude={"text", "path", "symbol"}),
        "path": shortened(visible(passage.path), _PATH_BYTES),
        "symbol": shortened(visible(passage.symbol), _NAME_BYTES),
    }

    def answer(size: int) -> PassageAnswer:
        part = cut(text, size)
        if not part.cut:
            return PassageAnswer(**known, text=part.text)
        end = passage.start_line + part.text.count("\n")
        changed = {**known, "end_line": end}
        hint = f"{part.cut} {_read_on(passage, end, known['path'])}"
        return PassageAnswer(**changed, text=part.text, truncated=True, hint=hint)

    def fits(size: int) -> bool:
        made = answer(size)
        return cost(made, passage_text(made, _A_FENCE)) <= room(max_tokens)

    return answer(longest(len(text), fits))


def symbols_answer(reply: SymbolsReply, page: Page) -> SymbolsAnswer:
    """Return as many of the definitions as fit, and where the next ones are."""
    bytes_left = room(page.max_tokens)
    hit = {symbol.collection for symbol in reply.symbols}
    searched = _searched(reply.collections, hit, bytes_left // 4)
    frame = SymbolsAnswer(
        coverage=reply.coverage,
        collections=searched,
        collections_omitted=len(reply.collections) - len(searched),
        truncated=True,
        hint=_MORE_DEFINITIONS,
        next_cursor="-" * CURSOR_CHARS,
    )
    bytes_left -= cost(frame, symbols_text(frame, _A_FENCE)) + _FENCE_BYTES
    found = fitting(map(_definition, reply.symbols), _cost_of_definition, bytes_left)
    truncated = reply.more or len(found) < len(reply.symbols)
    pages = page.cursor_to if truncated and found else None
    following = page.offset + len(found)
    next_cursor = pages(following) if pages and following < MAX_LIMIT else ""
    hint = _hint_of_definitions(page, found, truncated, next_cursor)
    changes = {"symbols": tuple(found), "truncated": truncated, "hint": hint}
    return frame.model_copy(update={**changes, "next_cursor": next_cursor})


def _hint_of_definitions(
    page: Page, found: Sequence[Definition], truncated: bool, next_cursor: str
) -> str:
    if truncated:
        return _MORE_DEFINITIONS if next_cursor else _NO_MORE_DEFINITIONS
    if found:
        return ""
    return "That was all." if page.offset else _NO_DEFINITION


def _searched(
    searched: Iterable[CollectionCoverage], hit: set[str], most: int
) -> tuple[CollectionCoverage, ...]:
    """Return the collections that fit, those with a problem first, then those with hits."""
    telling = sorted(searched, key=lambda c: (not c.problem, c.name not in hit))
    short = (
        c.model_copy(update={"problem": shortened(one_line(c.problem), _PROBLEM_BYTES)})
        for c in telling
    )
    return tuple(fitting(short, lambda c: cost(c, searched_text(c)), most))


def _way_on(page: Page, reply: SearchReply, shown: int, lacking: bool) -> dict[str, str]:
    """Return hint and cursor: whether that was all, and else how to go on."""
    following = page.offset + shown
    there_are_more = reply.more or shown < len(reply.hits)
    pages = page.cursor_to if there_are_more and following < MAX_LIMIT else None
    if not reply.hits:
        hint = "That was all." if page.offset else _NOTHING
    elif lacking:
        hint = _too_long(page, shown, len(reply.hits), go_on=bool(pages))
    elif pages:
        hint = f"More hits: call again with next_cursor as cursor, or {_NARROW}."
    else:
        hint = f"There are more hits: raise limit, or {_NARROW}." if there_are_more else ""
    return {"hint": hint, "next_cursor": pages(following) if pages else ""}


def _too_long(page: Page, shown: int, found: int, *, go_on: bool) -> str:
    rest = " next_cursor leads to the rest." if go_on else ""
    return (
        f"{shown} of {found} hits fit into max_tokens={page.max_tokens}.{rest} For more at once "
        f"raise max_tokens, take detail='locations', or {_NARROW}."
    )


def _hit(hit: SearchHit, most_chars: int) -> Hit:
    text = visible(hit.text).rstrip("\n")
    snippet = cut(text, most_chars) if most_chars else Snippet("", "")
    return Hit(
        id=hit.id,
        path=shortened(visible(hit.path), _PATH_BYTES),
        start_line=hit.start_line,
        end_line=hit.end_line,
        symbol=shortened(visible(hit.symbol), _NAME_BYTES),
        collection=hit.collection,
        score=round(hit.score, 4),
        text=snippet.text,
        cut=snippet.cut,
    )


def _cut_hit(hit: SearchHit, most_chars: int, left: int) -> Hit:
    """Return a hit with as much of its text as fits into so many bytes."""
    most_chars = min(most_chars, len(hit.text))
    return _hit(hit, longest(most_chars, lambda size: _cost_of_hit(_hit(hit, size)) <= left))


def _definition(symbol: Symbol) -> Definition:
    return Definition(
        id=symbol.id,
        symbol=shortened(visible(symbol.symbol), _NAME_BYTES),
        kind=symbol.kind,
        path=shortened(visible(symbol.path), _PATH_BYTES),
        start_line=symbol.start_line,
        end_line=symbol.end_line,
        language=symbol.language,
        collection=symbol.collection,
        signature=shortened(one_line(symbol.signature), _SIGNATURE_BYTES),
    )


def _cost_of_hit(hit: Hit) -> int:
    return cost(hit, hit_text(hit))


def _cost_of_definition(found: Definition) -> int:
    return cost(found, definition_text(found))


def _read_on(passage: Passage, end: int, path: str) -> str:
    if path != passage.path:  # as shown, it names nothing
        return "Raise max_tokens to read on."
    return (
        f"read_chunk(path={path!r}, collection={passage.collection!r}, start_line={end + 1}) "
        "reads on, or raise max_tokens."
    )
