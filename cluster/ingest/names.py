"""What a syntax node defines, and what it is called."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tree_sitter import Node

from cluster.ingest.grammars import HELD, Fields, Grammar

_MAX_CHARS = 120
"""Of one name: a C++ signature can be a page."""

_MAX_STEPS = 8
"""Wrappers, declarators and neighbours looked at, so that a broken tree costs no more."""

_BARE_DECLARATORS = frozenset({"reference_declarator", "parenthesized_declarator"})
_RECEIVER = re.compile(r"^\(.*?(\w+)\s*(?:\[.*\])?\s*\)$", re.DOTALL)
_TYPE_ARGUMENTS = re.compile(r"<[^<>()]*>|\[[^\[\]]*\]")
_NOISE = re.compile(
    r"^(?:module\.)?exports\.|^this\.|\.prototype(?=\.)|^&(?:'\w+\s+)?(?:mut\s+)?|^['\"`]|['\"`]$"
)


@dataclass(frozen=True, slots=True)
class Names:
    """Names the definitions of one file.

    Attributes:
        grammar: What its language calls things.
        data: The file, as it was parsed.
    """

    grammar: Grammar
    data: bytes

    def definition(self, nodes: Sequence[Node]) -> tuple[str, Sequence[Node]]:
        """Return the name of what nodes define, or "", and the nodes to look for its parts in.

        Args:
            nodes: Nodes that share rows: a definition and what leads to it, or a crowded line.
        """
        for node in nodes[-_MAX_STEPS:]:
            name, inner = self._unwrapped(node)
            if name:
                return name, [inner] if node is nodes[-1] else nodes
        return "", nodes

    def _unwrapped(self, node: Node) -> tuple[str, Node]:
        grammar = self.grammar
        for _ in range(_MAX_STEPS):
            kind = node.type
            if kind in grammar.definitions:
                return self._name(node, grammar.definitions[kind]), node
            if kind in grammar.holders:
                return self._held(node, *grammar.holders[kind])
            if kind not in grammar.wrappers:
                break
            inner = [child for child in node.named_children if child.type in grammar.defining]
            if len(inner) != 1:
                break
            node = inner[0]
        return "", node

    def _held(self, node: Node, name: str, value: str) -> tuple[str, Node]:
        held = node.child_by_field_name(value)
        if held is None or held.type not in HELD:
            return "", node
        return self._name(node, (name,)), held

    def _name(self, node: Node, fields: Fields) -> str:
        found = [node.child_by_field_name(field) for field in fields]
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


def _clean(name: str) -> str:
    """Reduce a name to words and dots: no type arguments, pointers, quotes or `exports`."""
    if name.isidentifier():
        return name
    if receiver := _RECEIVER.match(name):
        return receiver[1]
    bare = _NOISE.sub("", _TYPE_ARGUMENTS.sub("", name))
    return " ".join(bare.replace("::", ".").split())
