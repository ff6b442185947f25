"""The one tokenizer of the lexical side, for chunks and queries alike."""

from __future__ import annotations

import re
from functools import lru_cache

from actors.engines.identifiers import BOUNDARY

_WORD = re.compile(r"\w+")
_CACHED_WORD = 64
"""Longer words are rarely seen twice; caching them would only hold memory."""


def words(text: str) -> list[str]:
    """Return the runs of letters, digits and underscores in `text`, in order."""
    return _WORD.findall(text)


def split_word(word: str) -> tuple[str, ...]:
    """Return the whole word in lower case, followed by its parts where it has any."""
    return _cached_split(word) if len(word) <= _CACHED_WORD else _split(word)


def terms(text: str) -> list[str]:
    """Return every term of `text`: no stop words, no length cut, repeats kept."""
    return [term for word in words(text) for term in split_word(word)]


def _split(word: str) -> tuple[str, ...]:
    whole = word.lower()
    parts = tuple(part.lower() for part in BOUNDARY.split(word) if part)
    return (whole,) if parts in ((whole,), ()) else (whole, *parts)


_cached_split = lru_cache(maxsize=1 << 16)(_split)
