"""How much of a model's context an answer may take, in both forms in which hosts hand it on."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

from pydantic import BaseModel

BYTES_PER_TOKEN = 3.5
"""What a token holds, as Anthropic's glossary says of English. Bytes of UTF-8, not characters:
a character of another script takes two to four bytes, and about as much more of a token."""
LEAST_TOKENS = 600
"""What surrounds a single hit, and its path, fit into that at their longest."""
DEFAULT_TOKENS = 4_000
MOST_TOKENS = 20_000
"""Hosts cut a tool's answer at 25,000."""
LIST_TOKENS = 8_000
"""Of a list that has no budget of its own among its arguments."""

T = TypeVar("T")


class Snippet(NamedTuple):
    """A text and, where it was cut, how much is missing."""

    text: str
    cut: str


def room(tokens: int) -> int:
    """Return how many bytes so many tokens are taken to be."""
    return int(tokens * BYTES_PER_TOKEN)


def cost(answer: BaseModel, text: str) -> int:
    """Return the bytes of the larger form: JSON as it is sent, or text."""
    as_json = json.dumps(answer.model_dump(mode="json"), ensure_ascii=False, separators=(",", ":"))
    return max(len(as_json.encode()), len(text.encode())) + 2  # what stands between two


def fitting(items: Iterable[T], cost_of: Callable[[T], int], left: int) -> list[T]:
    """Return the first items that fit into so many bytes together."""
    shown = []
    for item in items:
        left -= cost_of(item)
        if left < 0:
            break
        shown.append(item)
    return shown


def cut(text: str, budget: int) -> Snippet:
    """Return the lines of a text that fit into `budget` characters, and a note on the rest."""
    if len(text) <= budget:
        return Snippet(text, "")
    whole = text.rfind("\n", 0, budget + 1)
    if whole <= 0:
        return Snippet(text[:budget], f"[cut: {len(text) - budget} characters]")
    missing = text.count("\n", whole)
    return Snippet(text[:whole], f"[cut: {missing} line{'s' if missing > 1 else ''}]")


def longest(most: int, fits: Callable[[int], bool]) -> int:
    """Return the largest size up to `most` that fits; 0 where none does."""
    return bisect_left(range(1, most + 1), True, key=lambda size: not fits(size))


def shortened(name: str, most: int) -> str:
    """Return a name, or where it has more bytes than `most`, its two ends."""
    raw = name.encode()
    if len(raw) <= most:
        return name
    half = (most - 3) // 2
    return f"{raw[:half].decode(errors='ignore')}…{raw[-half:].decode(errors='ignore')}"
