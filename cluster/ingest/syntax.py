"""Where to cut source code: at definitions, else at statements, only as deep as need be."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple, cast

from tree_sitter import Language, Node, Parser, Point, Tree
from tree_sitter_language_pack import SupportedLanguage, get_language

from cluster.ingest.grammars import HELD, Fields, Grammar
from cluster.ingest.packing import MAX_CHARS, Piece, Source

_MAX_MEAN_ROW = 400
"""Characters; rows longer than this on average are minified code, which rows cannot cut."""

_BLOCK = 16 * 1024
_FREE_STEPS, _BYTES_A_STEP = 2000, 50
_FREE_READS, _READS_A_BLOCK = 300, 8
"""What a parse may spend: progress calls (one in a hundred parser operations) and blocks read.

Of 2,000 files in eight languages none spent half of it; what does is broken beyond use, and would
take minutes: an unclosed comment at each of 100,000 lines is scanned to the end from each.
"""

_MAX_NAME_CHARS = 120
_MAX_WRAPPERS = 8
_MAX_CANDIDATES = 8
_ANY_ROW = 1 << 40
_BARE_DECLARATORS = frozenset({"reference_declarator", "parenthesized_declarator"})
_GENERICS = re.compile(r"<[^<>()]*>|\[[^\[\]]*\]")
_NOISE = re.compile(
    r"^(?:module\.)?exports\.|^this\.|^['\"`]|['\"`]$|\.prototype(?=\.)|^&(?:'\w+\s+)?(?:mut\s+)?"
)
_RECEIVER = re.compile(r"^\(.*?(\w+)\s*(?:\[.*\])?\s*\)$", re.DOTALL)


class _Part(NamedTuple):
    """A row range still to be looked at, and the nodes to cut it by if it is too large."""

    start: int
    end: int
    context: str
    name: str
    nodes: Sequence[Node]


class _Slot(NamedTuple):
    """Nodes that cannot be told apart by rows, and the first row of all."""

    start: int
    nodes: list[Node]


def pieces(source: Source, grammar: Grammar) -> list[Piece]:
    """Cut a file into whole definitions and statements, the large ones into their parts.

    Args:
        source: The file's rows.
        grammar: How the language is cut.

    Returns:
        Pieces that together are all rows of the file; one that cannot be cut may be too large.
    """
    tree = _parse(source, _language(grammar.parser))
    found: list[Piece] = []
    pending = [_Part(0, source.rows, "", "", [tree.root_node] if tree else [])]
    while pending:
        part = pending.pop()
        if not part.nodes or source.size(part.start, part.end) <= MAX_CHARS:
            found.append(Piece(part.start, part.end, part.context, part.name))
        else:
            pending.extend(reversed(_divide(part, grammar)))
    return found


def _parse(source: Source, language: Language) -> Tree | None:
    """Parse, or return None for what is no source code; what is spent is counted, not timed."""
    if len(source.text) > source.rows * _MAX_MEAN_ROW:
        return None
    data = source.text.encode("utf-8", "replace")
    steps = _FREE_STEPS + len(data) // _BYTES_A_STEP
    reads = _FREE_READS + len(data) // _BLOCK * _READS_A_BLOCK

    def read(offset: int, _: Point) -> bytes:
        nonlocal reads
        reads -= 1
        return data[offset : offset + _BLOCK]

    def is_enough(_offset: int, _has_error: bool) -> bool:
        nonlocal steps
        steps -= 1
        return steps < 0 or reads < 0

    try:
        return Parser(language).parse(read, progress_callback=is_enough)
    except ValueError:
        return None


@cache
def _language(name: str) -> Language:
    return get_language(cast("SupportedLanguage", name))


def _divide(part: _Part, grammar: Grammar) -> list[_Part]:
    """Cut a part at its nodes' children, going down while they share all their rows."""
    context = part.name or part.context
    nodes = part.nodes
    while nodes:
        slots = _slots(nodes, grammar)
        if slots and slots[0].start > part.start:
            slots.insert(0, _Slot(part.start, []))
        if len(slots) > 1:
            return _parts(slots, part, context, grammar)
        name, nodes = _definition(slots[0].nodes, grammar) if slots else ("", [])
        context = _qualified(context, name)
    return [_Part(part.start, part.end, context, "", [])]


def _parts(slots: list[_Slot], whole: _Part, context: str, grammar: Grammar) -> list[_Part]:
    ends = [slot.start for slot in slots[1:]] + [whole.end]
    start = whole.start
    parts: list[_Part] = []
    for slot, end in zip(slots, ends, strict=True):
        name, nodes = _definition(slot.nodes, grammar)
        parts.append(_Part(start, end, context, _qualified(context, name) if name else "", nodes))
        start = end
    return parts


def _slots(nodes: Sequence[Node], grammar: Grammar) -> list[_Slot]:
    """Lay out the nodes' children by rows; what leads to a definition shares its slot."""
    slots: list[_Slot] = []
    bottom, reach = -1, -1
    for node in nodes:
        for child in node.named_children:
            first, last = child.start_point[0], child.end_point[0]
            if last > first and child.end_point[1] == 0:
                last -= 1
            if slots and first <= max(bottom, reach):
                slots[-1].nodes.append(child)
            else:
                slots.append(_Slot(first, [child]))
            bottom = max(bottom, last)
            kind = child.type
            reach = bottom + 1 if kind in grammar.comments else -1
            if kind in grammar.marks:
                reach = _ANY_ROW
    return slots


def _definition(nodes: Sequence[Node], grammar: Grammar) -> tuple[str, Sequence[Node]]:
    """Return the name of what the nodes define, or "", and the nodes to cut it by."""
    for node in nodes[:_MAX_CANDIDATES]:
        name, inner = _unwrapped(node, grammar)
        if name:
            return name, [inner] if node is nodes[-1] else nodes
    return "", nodes


def _unwrapped(node: Node, grammar: Grammar) -> tuple[str, Node]:
    for _ in range(_MAX_WRAPPERS):
        kind = node.type
        if kind in grammar.definitions:
            return _name(node, grammar.definitions[kind]), node
        if kind in grammar.holders:
            return _held(node, *grammar.holders[kind])
        if kind not in grammar.wrappers:
            break
        inner = [child for child in node.named_children if grammar.may_define(child.type)]
        if len(inner) != 1:
            break
        node = inner[0]
    return "", node


def _held(node: Node, name: str, value: str) -> tuple[str, Node]:
    held = node.child_by_field_name(value)
    if held is None or held.type not in HELD:
        return "", node
    return _name(node, (name,)), held


def _name(node: Node, fields: Fields) -> str:
    names = [_clean(_text(found)) for each in fields if (found := node.child_by_field_name(each))]
    return ".".join(name for name in names if name)[:_MAX_NAME_CHARS]


def _text(node: Node) -> str:
    """Return a name's text; a C declarator's is that of the innermost one."""
    for _ in range(_MAX_WRAPPERS):
        inner = node.child_by_field_name("declarator")
        if inner is None and node.type in _BARE_DECLARATORS:
            inner = node.named_children[-1] if node.named_children else None
        if inner is None:
            break
        node = inner
    return (node.text or b"")[: 4 * _MAX_NAME_CHARS].decode("utf-8", "replace")


def _clean(name: str) -> str:
    if receiver := _RECEIVER.match(name):
        return receiver[1]
    name = _NOISE.sub("", _GENERICS.sub("", name))
    return re.sub(r"\s+", " ", name.replace("::", ".")).strip()


def _qualified(context: str, name: str) -> str:
    return f"{context}.{name}" if context and name else context or name
