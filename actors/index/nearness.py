"""Whether words that follow one another in a query stand near one another in a text."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile

from actors.index.question import forms

_NEAR = 50
"""Letters between the beginnings of two words, some eight words; half of that ranks as well."""
_CACHED = 1 << 10


@dataclass(frozen=True, slots=True)
class _Forms:
    """What a word begins with in all its forms, and what matches a whole one."""

    beginning: str
    whole: re.Pattern[str]


def near_share(text: str, neighbours: Sequence[tuple[str, str]]) -> float:
    """Return what share of some pairs of words are near one another, in any of their forms.

    Parts of identifiers are words too. Looking for a few words costs a tenth of splitting the text.
    """
    small = text.lower()
    if not neighbours or len(small) != len(text):  # a few letters are two in lower case
        return 0.0
    words = {word for pair in neighbours for word in pair}
    places = {word: _places(text, small, _forms_of(word)) for word in words}
    return sum(_meet(places[one], places[other]) for one, other in neighbours) / len(neighbours)


def _places(text: str, small: str, word: _Forms) -> list[int]:
    """Return where a word begins in a text, ascending."""
    found = []
    at = small.find(word.beginning)
    while at >= 0:
        if _begins(text, at) and word.whole.match(text, at):
            found.append(at)
        at = small.find(word.beginning, at + 1)
    return found


def _begins(text: str, at: int) -> bool:
    """Tell whether a word can begin there: after what is no letter, or with a capital."""
    before = text[at - 1] if at else " "
    return not before.isalpha() or (text[at].isupper() and before.islower())


def _meet(one: Sequence[int], other: Sequence[int]) -> bool:
    for place in one:
        at = bisect_left(other, place - _NEAR)
        if at < len(other) and other[at] <= place + _NEAR:
            return True
    return False


@lru_cache(_CACHED)
def _forms_of(word: str) -> _Forms:
    spelled = sorted((word, *forms(word)), key=len, reverse=True)
    either = "|".join(map(re.escape, spelled))
    common = takewhile(lambda letters: len(set(letters)) == 1, zip(*spelled, strict=False))
    beginning = "".join(letter for letter, *_ in common)
    return _Forms(beginning, re.compile(f"(?i:{either})(?![a-z])"))
