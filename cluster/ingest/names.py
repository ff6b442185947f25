"""What a syntax node defines, and what it is called."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tree_sitter import Node

from cluster.ingest.grammars import HELD, Fields, Grammar
from cluster.ingest.packing import Head

_MAX_CHARS = 120
"""Of one name: a C++ signature can be a page."""

_MAX_HEAD_CHARS = 200
"""Of a head on one line; a longer one has its parameters in pieces of their own."""

_MAX_STEPS = 8
"""Wrappers, declarators and neighbours looked at, so that a broken tree costs no more."""

_BARE_DECLARATORS = frozenset({"reference_declarator", "parenthesized_declarator"})
_RECEIVER = re.compile(r"^\(.*?(\w+)\s*(?:\[.*\])?\s*\)$", re.DOTALL)
_TYPE_ARGUMENTS = re.compile(r"<[^<>()]*>|\[[^\[\]]*\]")
_NOISE = re.compile(
    r"^(?:module\.)?exports\.|^this\.|\.prototype(?=\.)|^&(?:'\w+\s+)?(?:mut\s+)?|^['\"`]|['\"`]$"
)


class Definition(NamedTuple):
    """What some nodes define.

    Attributes:
        name: Its name, or "" where they define nothing.
        head: How it begins; None where they define nothing.
        nodes: The nodes to look for its parts in.
    """

    name: str
    head: Head | None
    nodes: Sequence[Node]


@dataclass(frozen=True, slots=True)
class Names:
    """Names the definitions of one file.

    Attributes:
        grammar: What its language calls things.
        data: The file, as it was parsed.
    """

    grammar: Grammar
    data: bytes

    def definition(self, nodes: Sequence[Node]) -> Definition:
        """Return what nodes define.

        Args:
            nodes: Nodes that share rows: a definition and what leads to it, or a crowded line.
        """
        for node in nodes[-_MAX_STEPS:]:
            name, begin, inner = self._unwrapped(node)
            if name:
                parts = [inner] if node is nodes[-1] else nodes
                return Definition(name, self._head(begin, inner), parts)
        return Definition("", None, nodes)

    def _unwrapped(self, node: Node) -> tuple[str, Node, Node]:
        """Return a name, or "", the node that begins what is named, and the one with its parts."""
        grammar = self.grammar
        for _ in range(_MAX_STEPS):
            kind = node.type
            if kind in grammar.definitions:
                return self._name(node, grammar.definitions[kind]), node, node
            if kind in grammar.holders:
                name, held = self._held(node, *grammar.holders[kind])
                return name, node, held
            if kind not in grammar.wrappers:
                break
            inner = [child for child in node.named_children if child.type in grammar.defining]
            if len(inner) != 1:
                break
            node = inner[0]
        return "", node, node

    def _head(self, begin: Node, inner: Node) -> Head:
        """Return what stands up to a definition's body, or its first row if that is too long."""
        body = inner.child_by_field_name("body") or next(
            (child for child in inner.named_children if child.type.endswith("_body")), None
        )
        start = begin.start_byte
        end = start + 4 * _MAX_HEAD_CHARS if body is None else body.start_byte
        text = self.data[start : min(end, start + 4 * _MAX_HEAD_CHARS)].decode("utf-8", "replace")
        line = " ".join(text.split())
        if body is None or len(line) > _MAX_HEAD_CHARS:
            line = " ".join(text.partition("\n")[0].split())[:_MAX_HEAD_CHARS]
        return Head(begin.start_point[0], line)

    def _held(self, node: Node, name: str, value: str) -> tuple[str, Node]:
        held = _child(node, value)
        if held is not None and held.type in self.grammar.wrappers and held.named_children:
            held = held.named_children[0]
        if held is None or held.type not in HELD:
            return "", node
        return self._name(node, (name,)), held

    def _name(self, node: Node, fields: Fields) -> str:
        found = [_child(node, field) for field in fields]
        names = [_clean(self._text(each)) for each in found if each is not None]
        return ".".join(filter(None, names))[:_MAX_CHARS]

    def _text(self, node: Node) -> str:
        """Return a name's text; a C declarator's is that of the innermost one."""
        for _ in range(_MAX_STEPS if node.child_count else 0):
            inner = node.child_by_field_name("declarator")
            if inner is None and node.type in _BARE_DECLARATORS and node.named_children:
                inner = node.named_children[-1]
            if inner is None:
                break
            node = inner
        end = min(node.end_byte, node.start_byte + 4 * _MAX_CHARS)
        return self.data[node.start_byte : end].decode("utf-8", "replace")


def _child(node: Node, field: str) -> Node | None:
    found = node.child_by_field_name(field)
    if found is not None:
        return found
    return next((child for child in node.named_children if child.type == field), None)


def _clean(name: str) -> str:
    """Reduce a name to words and dots: no type arguments, pointers, quotes or `exports`."""
    if name.isidentifier():
        return name
    if receiver := _RECEIVER.match(name):
        return receiver[1]
    bare = _NOISE.sub("", _TYPE_ARGUMENTS.sub("", name))
    return " ".join(bare.replace("::", ".").split())
