"""Words of a vocabulary that a typing mistake apart would be the word that was asked for.

One mistake is a letter too many, one missing, one wrong, or two neighbours exchanged: the distance
of Damerau 1964, "A technique for computer detection and correction of spelling errors", which found
four of five misspellings to be that.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from actors.index.vocabulary import Vocabulary

TYPO_WEIGHT = 0.5
"""Of a word that stands in for another: below any exact match of like rarity."""
MOST_CORRECTIONS = 8
"""Of a word, the most frequent first: one mistake away from a short one are hundreds."""
SHORTEST = 3
"""Characters of a word that is corrected; Lucene's AUTO fuzziness begins there too."""

_Letters = NDArray[np.uint32]


def neighbours(vocabulary: Vocabulary, word: bytes) -> list[bytes]:
    """Return the terms that are one mistake away from `word`, in byte order."""
    letters = _letters(word)
    if len(letters) < SHORTEST:
        return []
    found: list[int] = []
    for size in (len(letters) - 1, len(letters), len(letters) + 1):
        numbers = _near(vocabulary, word, size)
        if len(numbers):
            terms = _letters(vocabulary.some(numbers)).reshape(-1, size)
            found += numbers[_one_mistake(terms, letters)].tolist()
    return [vocabulary[number] for number in sorted(found)]


def _near(vocabulary: Vocabulary, word: bytes, size: int) -> NDArray[np.intp]:
    """Return the numbers of terms of `size` characters that begin or end as the word does.

    A mistake in one half leaves the other as it was.
    """
    numbers = np.flatnonzero(vocabulary.characters == size)
    first, last = vocabulary.outer_bytes(numbers)
    alike: NDArray[np.intp] = numbers[(first == word[0]) | (last == word[-1])]
    return alike


def _one_mistake(terms: _Letters, word: _Letters) -> NDArray[np.bool_]:
    """Tell which of some terms, [n, size], are one mistake away from the word."""
    size = terms.shape[1]
    if size == len(word):
        return _one_wrong(terms, word)
    if size < len(word):
        same_begin, same_end = terms == word[:-1], terms == word[1:]
    else:
        same_begin, same_end = terms[:, :-1] == word, terms[:, 1:] == word
    begin = np.logical_and.accumulate(same_begin, axis=1).sum(axis=1)
    end = np.logical_and.accumulate(same_end[:, ::-1], axis=1).sum(axis=1)
    enough: NDArray[np.bool_] = begin + end >= min(size, len(word))
    return enough


def _one_wrong(terms: _Letters, word: _Letters) -> NDArray[np.bool_]:
    differ = terms != word
    count = differ.sum(axis=1)
    first = np.minimum(differ.argmax(axis=1), len(word) - 2)
    row = np.arange(len(terms))
    exchanged = (terms[row, first] == word[first + 1]) & (terms[row, first + 1] == word[first])
    wrong: NDArray[np.bool_] = (count == 1) | ((count == 2) & exchanged)  # noqa: PLR2004
    return wrong


def _letters(text: bytes) -> _Letters:
    return np.frombuffer(text.decode().encode("utf-32-le"), "<u4")
