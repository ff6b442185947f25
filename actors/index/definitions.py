"""What a chunk defines under a name: its qualified name, kind, lines and signature."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

from actors.headings import SEPARATOR, headings
from actors.index.beginnings import Beginning, all_beginnings, beginnings
from actors.index.definition_rules import TYPES
from actors.kinds import Kind
from actors.lookup_messages import Definition
from actors.messages import Chunk

_MOST_NAMES = 3
"""How many definitions a chunk of small ones is named after; those beyond are in its text alone."""
_MAX_SIGNATURE_CHARS = 200
_SELF = re.compile(r"\s*(?:self|cls)\b")
_OPENS = (")", "]", "{", ":")
"""A line that begins so goes on with a head, however far to the left it stands."""
_CLOSES = ("}", "end")


def normalised(name: str) -> str:
    """Return a name as symbols write it: `Router::search()` is "Router.search"."""
    return name.strip().removesuffix("()").replace("::", ".")


def fit(symbol: str, name: str) -> int | None:
    """Return how well a symbol fits a name, 0 for best; None where it does not.

    It is the name, or ends in it; then the same with letters of either case.
    """
    for worse, (whole, end) in enumerate(((symbol, name), (symbol.casefold(), name.casefold()))):
        if whole == end:
            return 2 * worse
        if whole.endswith((f".{end}", f":{end}", f"{SEPARATOR}{end}")):
            return 2 * worse + 1
    return None


def names_of(symbol: str) -> list[str]:
    """Return what a chunk is named after; the whole is one of it, as headings may hold commas."""
    return list(dict.fromkeys((*symbol.split(", "), symbol))) if symbol else []


def definitions(chunk: Chunk, name: str) -> list[Definition]:
    """Return what a chunk defines under a name, in the order of its lines.

    Args:
        chunk: The chunk.
        name: What is looked for, `normalised`.
    """
    if chunk.language == "markdown":
        return [each for each in _sections(chunk) if fit(each.symbol, name) is not None]
    *_, last = re.split(r"[.:]", name)
    found = beginnings(chunk.language, chunk.text, last)
    if not found:
        return []
    everything = all_beginnings(chunk.language, chunk.text)
    context = _context(chunk.symbol, {outer.name for outer in everything})
    free = [*names_of(chunk.symbol), *_outer(chunk.symbol)]
    defined = []
    for each in found:
        around = _around(chunk.text, each, everything)
        trail = [*(outer.name for outer in around), each.name]
        symbol = _qualified(free, trail) or ".".join(filter(None, (context, *trail)))
        if each.kind in {"function", "method"} and symbol in free:
            free.remove(symbol)  # of two methods of one name, each has its own class
        if fit(symbol, name) is not None:
            defined.append(_definition(chunk, each, symbol, _kind(chunk, each, around, symbol)))
    return defined


def undefined(chunk: Chunk, symbol: str) -> Definition:
    """Return a chunk as the definition of what it is named after, where no rule finds one in it."""
    first = next(filter(str.strip, chunk.text.split("\n")), "")
    return Definition(
        chunk.path,
        chunk.start_line,
        chunk.end_line,
        chunk.language,
        symbol,
        "heading" if chunk.language == "markdown" else "definition",
        _on_one_line(first),
    )


def _sections(chunk: Chunk) -> Iterator[Definition]:
    lines = chunk.text.split("\n")
    found = list(headings(lines))
    ends = [row for row, _, _ in found[1:]] + [len(lines)]
    names = names_of(chunk.symbol)
    for (row, _, title), end in zip(found, ends, strict=True):
        trail = next((each for each in names if fit(each, title) in {0, 1}), "")
        if trail or len(names) > _MOST_NAMES:  # it may be one that the symbol has no room for
            yield Definition(
                chunk.path,
                min(chunk.start_line + row, chunk.end_line),
                min(chunk.start_line + end - 1, chunk.end_line),
                chunk.language,
                trail or title,
                "heading",
                _on_one_line(lines[row]),
            )


def _definition(chunk: Chunk, begin: Beginning, symbol: str, kind: Kind) -> Definition:
    head_end = _head_end(chunk.text, begin)
    first = chunk.text.count("\n", 0, begin.start)
    head = chunk.text.count("\n", begin.start, head_end)
    last = first + _rows_of(chunk.text[begin.start :], head)
    return Definition(
        chunk.path,
        min(chunk.start_line + first, chunk.end_line),
        min(chunk.start_line + last, chunk.end_line),
        chunk.language,
        symbol,
        kind,
        _on_one_line(chunk.text[begin.start : head_end]),
    )


def _around(text: str, begin: Beginning, everything: Sequence[Beginning]) -> list[Beginning]:
    """Return what a definition is part of in its chunk, as indentation tells, outermost first."""
    depth = _indent(text[begin.start : begin.end])
    around: list[Beginning] = []
    for each in reversed(everything):
        own = _indent(text[each.start : each.end])
        if each.start < begin.start and own < depth:
            around.insert(0, each)
            depth = own
    return around


def _qualified(names: Sequence[str], trail: Sequence[str]) -> str:
    """Return what a chunk is named after and a trail within it leads on from, or ""."""
    for size in range(len(trail), 0, -1):
        inner = ".".join(trail[:size])
        known = next((each for each in names if fit(each, inner) in {0, 1}), "")
        if known:
            return ".".join((known, *trail[size:]))
    return ""


def _outer(symbol: str) -> Iterator[str]:
    """Yield what the definitions that a chunk is named after are in, the innermost first."""
    for name in symbol.split(", "):
        outer = name.rpartition(".")[0]
        while outer:
            yield outer
            outer = outer.rpartition(".")[0]


def _context(symbol: str, here: Collection[str]) -> str:
    """Return what a chunk is a part of: what its one name is, unless that begins here, or holds."""
    *others, last = symbol.split(", ")
    outer, _, own = last.rpartition(".")
    return outer if others or own in here else last


def _kind(chunk: Chunk, begin: Beginning, around: Sequence[Beginning], symbol: str) -> Kind:
    """Return what a definition is; a function is a method in a type, or in a name like a type's."""
    if begin.kind != "function":
        return begin.kind
    if around:
        return "method" if around[-1].kind in TYPES else "function"
    _, _, outer = symbol.rpartition(".")[0].rpartition(".")
    takes_self = chunk.language == "python" and _SELF.match(chunk.text, begin.end)
    return "method" if outer and (takes_self or outer.lstrip("_$")[:1].isupper()) else "function"


def _head_end(text: str, begin: Beginning) -> int:
    """Return where the line ends on which a definition's parameters do."""
    end = begin.end
    while True:
        end = text.find("\n", end)
        if end < 0:
            return len(text)
        is_open = text.count("(", begin.start, end) > text.count(")", begin.start, end)
        if not is_open or end - begin.start > 2 * _MAX_SIGNATURE_CHARS:
            return end
        end += 1


def _rows_of(text: str, head: int) -> int:
    """Return the row on which a definition ends that begins a text and has a head of some rows."""
    lines = text.split("\n")
    depth, last = _indent(lines[0]), head
    for row, line in enumerate(lines[head + 1 :], head + 1):
        if not line.strip():
            continue
        if _indent(line) <= depth:
            bare = line.strip()
            if _indent(line) < depth or not bare.startswith(_OPENS + _CLOSES):
                break
            if bare.startswith(_CLOSES):
                return row
        last = row
    return last


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _on_one_line(text: str) -> str:
    return " ".join(text.split())[:_MAX_SIGNATURE_CHARS].removesuffix("{").rstrip()
