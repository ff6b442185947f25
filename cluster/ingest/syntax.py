"""Where to cut source code: at definitions, else at statements, only as deep as need be."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cache
from itertools import chain
from typing import NamedTuple

from tree_sitter import Language, Node, Parser, Point, Tree
from tree_sitter_language_pack import get_language

from cluster.ingest.grammars import Grammar
from cluster.ingest.names import Definition, Names
from cluster.ingest.packing import MAX_CHARS, Head, Piece, Source

_MAX_MEAN_ROW = 400
"""Bytes; rows longer than this on average are minified code, which rows cannot cut."""

_BLOCK = 16 * 1024
_FREE_STEPS, _BYTES_A_STEP = 2000, 50
_FREE_READS, _READS_A_BLOCK = 300, 8
"""What a parse may spend: progress calls (one in a hundred parser operations) and blocks read.

Of 2,000 files in eight languages none spent two thirds of it; what spends more is broken, and would
take minutes: an unclosed comment at each of 100,000 lines is scanned to the end from each.
"""


class _Lent(threading.local):
    """What a parser reads from: one block in each thread.

    tree-sitter 0.26 holds on to every object that it is given, for ever: a view of the same block
    each time costs nothing, where a copy of each part of a text would be that text, lost.
    """

    def __init__(self) -> None:
        self.block = bytearray(_BLOCK)


_lent = _Lent()


class _Part(NamedTuple):
    """A row range still to be looked at, and the nodes to cut it by if it is too large or open."""

    start: int
    end: int
    context: str
    name: str
    nodes: Sequence[Node]
    head: Head | None = None
    is_open: bool = False


class _Slot:
    """Nodes that rows cannot tell apart."""

    __slots__ = ("defines", "nodes", "start")

    def __init__(self, start: int, nodes: list[Node], defines: bool) -> None:
        self.start = start
        self.nodes = nodes
        self.defines = defines


def pieces(source: Source, grammar: Grammar) -> list[Piece]:
    """Cut a file into whole definitions and statements, the large ones into their parts.

    Args:
        source: The file's rows.
        grammar: How the language is cut.

    Returns:
        Pieces that together are all rows of the file; one that cannot be cut may be too large.
    """
    names = Names(grammar, source.text.encode("utf-8", "replace"))
    tree = _parse(names.data, source.rows, _language(grammar.parser))
    found: list[Piece] = []
    whole = _Part(0, source.rows, "", "", [tree.root_node] if tree else [])
    pending = _divide(whole, names)[::-1]
    while pending:
        part = pending.pop()
        fits = source.size(part.start, part.end) <= MAX_CHARS
        if not part.nodes or (fits and not part.is_open):
            found.append(Piece(part.start, part.end, part.context, part.name, part.head))
        else:
            pending.extend(reversed(_divide(part, names)))
    return found


def _parse(data: bytes, rows: int, language: Language) -> Tree | None:
    """Parse, or return None for what is no source code; what is spent is counted, not timed."""
    if len(data) > rows * _MAX_MEAN_ROW:
        return None
    steps = _FREE_STEPS + len(data) // _BYTES_A_STEP
    reads = _FREE_READS + len(data) // _BLOCK * _READS_A_BLOCK

    def read(offset: int, _: Point) -> memoryview | bytes:
        nonlocal reads
        reads -= 1
        block = data[offset : offset + _BLOCK]
        _lent.block[: len(block)] = block
        return memoryview(_lent.block)[: len(block)] if block else b""

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
    language: Language = get_language(name)
    return language


def _divide(part: _Part, names: Names) -> list[_Part]:
    """Cut a part at its nodes' children, going down while they share all their rows."""
    context, head = part.name or part.context, part.head
    nodes = part.nodes
    while nodes:
        slots = _slots(nodes, names.grammar)
        if slots and slots[0].start > part.start:
            slots.insert(0, _Slot(part.start, [], defines=False))
        if len(slots) > 1:
            return _parts(slots, part._replace(context=context, head=head), names)
        name, own, nodes = names.definition(slots[0].nodes) if slots else Definition("", None, [])
        context, head = _qualified(context, name), own or head
    return [_Part(part.start, part.end, context, "", [], head)]


def _parts(slots: list[_Slot], whole: _Part, names: Names) -> list[_Part]:
    """Make each slot a part of the whole, whose context and head are those of its parts."""
    ends = [slot.start for slot in slots[1:]] + [whole.end]
    start = whole.start
    parts: list[_Part] = []
    for slot, end in zip(slots, ends, strict=True):
        nothing = Definition("", None, slot.nodes)
        name, own, nodes = names.definition(slot.nodes) if slot.defines else nothing
        is_open = slot.defines and nodes[-1].type in names.grammar.opened
        name = name and _qualified(whole.context, name)
        parts.append(_Part(start, end, whole.context, name, nodes, own or whole.head, is_open))
        start = end
    return parts


def _slots(nodes: Sequence[Node], grammar: Grammar) -> list[_Slot]:
    """Lay out the nodes' children by rows; what leads to a definition shares its slot."""
    slots: list[_Slot] = []
    slot = _Slot(-1, [], False)
    leads, defining = grammar.leads, grammar.defining
    bottom = reach = -1
    leading = False
    for child in chain.from_iterable(node.named_children for node in nodes):
        kind, first, (last, column) = child.type, child.start_point[0], child.end_point
        if first > reach:
            slot = _Slot(first, [child], kind in defining)
            slots.append(slot)
            leading = kind in leads
        else:
            slot.nodes.append(child)
            slot.defines = slot.defines or kind in defining
            leading = leading and kind in leads
        bottom = max(bottom, last - (column == 0 and last > first))
        reach = bottom + leads[kind] if leading else bottom
    return slots


def _qualified(context: str, name: str) -> str:
    return f"{context}.{name}" if context and name else context or name
