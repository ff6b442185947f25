"""Whether words that follow one another in a query stand near one another in a text."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, takewhile

from actors.index.question import forms

_NEAR = 50
"""Letters between the beginnings of two words, some eight words; half of that ranks as well."""
_CACHED = 1 << 10
_WORD = re.compile(r"[A-Z]+(?![a-z])\d*|[^\W_][^\W_A-Z]*")
"""From its beginning on."""


@dataclass(frozen=True, slots=True)
class _Forms:
    """A word in all its forms, and what these begin with."""

    beginning: str
    spelled: frozenset[str]


def near_share(text: str, neighbours: Sequence[tuple[str, str]]) -> float:
    """Return what share of some pairs of words are near one another, in any of their forms.

    Parts of identifiers are words too. Looking for a few words costs a tenth of splitting the text.
    """
    small = text.lower() if neighbours else ""
    if not small or len(small) != len(text):  # a few letters are two in lower case
        return 0.0
    words = {word: _forms_of(word) for pair in neighbours for word in pair}
    there = {word for word, forms_of_it in words.items() if forms_of_it.beginning in small}
    pairs = [pair for pair in neighbours if there.issuperset(pair)]
    places = {word: _places(text, small, words[word]) for word in {*chain(*pairs)}}
    return sum(_meet(places[one], places[other]) for one, other in pairs) / len(neighbours)


def _places(text: str, small: str, word: _Forms) -> list[int]:
    """Return where a word begins in a text, ascending."""
    found = []
    at = small.find(word.beginning)
    while at >= 0:
        if _begins(text, at) and small[at : _end(text, at)] in word.spelled:
            found.append(at)
        at = small.find(word.beginning, at + 1)
    return found


def _begins(text: str, at: int) -> bool:
    """Tell whether a word can begin there: after what is no letter, or with a capital."""
    before = text[at - 1] if at else " "
    return not before.isalpha() or (text[at].isupper() and before.islower())


def _end(text: str, at: int) -> int:
    """Return where a word ends that begins there: before a capital that follows small letters."""
    word = _WORD.match(text, at)
    return word.end() if word else at


def _meet(one: Sequence[int], other: Sequence[int]) -> bool:
    for place in one:
        at = bisect_left(other, place - _NEAR)
        if at < len(other) and other[at] <= place + _NEAR:
            return True
    return False


@lru_cache(_CACHED)
def _forms_of(word: str) -> _Forms:
    spelled = (word, *forms(word))
    common = takewhile(lambda letters: len(set(letters)) == 1, zip(*spelled, strict=False))
    return _Forms("".join(letter for letter, *_ in common), frozenset(spelled))
