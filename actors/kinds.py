"""What kinds of definitions there are."""

from __future__ import annotations

from typing import Literal

Kind = Literal[
    "function",
    "method",
    "class",
    "struct",
    "interface",
    "trait",
    "enum",
    "type",
    "module",
    "macro",
    "extension",
    "heading",
    "definition",
]
"""An extension adds to a type that is defined elsewhere: Rust's `impl`, Swift's `extension`. A
definition is what a chunk is named after where no rule tells what it is."""
