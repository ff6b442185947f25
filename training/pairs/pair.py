"""One pair, and what makes a text fit to be half of one."""

from __future__ import annotations

import re
from dataclasses import dataclass

MOST_QUERY = 300  # characters
MOST_PASSAGE = 1_000  # characters: about 250 word pieces
_WORD = re.compile(r"[A-Za-z]{2,}")
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
_LONG_SUMMARY = 160  # characters
_BLANKS = re.compile(r"\s+")
_LEGAL = re.compile(r"copyright|licen[sc]e|warrant|all rights reserved|spdx-", re.IGNORECASE)
_FEWEST_LETTERS = 0.5  # of a query: tables, drawings and encoded data have fewer


@dataclass(frozen=True, slots=True)
class Pair:
    """A query and the passage that answers it.

    Attributes:
        kind: What sort of texts these are: "python", "rust", "prose", "dictionary", and so on.
        source: The package that they come from.
        query: One line.
        passage: Source code or prose, with its lines.
    """

    kind: str
    source: str
    query: str
    passage: str


def one_line(text: str) -> str:
    """Return the text with every run of white space as one blank."""
    return _BLANKS.sub(" ", text).strip()


def summary_of(text: str) -> tuple[str, str]:
    """Return what a comment says first, in one line, and the rest of it.

    That is its first paragraph, or the first sentence of a long one.
    """
    first, _, rest = text.strip().partition("\n\n")
    summary = one_line(first)
    if len(summary) > _LONG_SUMMARY:
        summary, *others = _SENTENCE.split(summary, maxsplit=1)
        rest = "\n\n".join([*others, rest])
    return summary, rest.strip()


def is_query(text: str, fewest_words: int = 3) -> bool:
    """Tell whether a text says something: words enough, mostly letters, and no legal notice."""
    letters = sum(character.isalpha() for character in text)
    return (
        letters >= _FEWEST_LETTERS * len(text)
        and len(_WORD.findall(text)) >= fewest_words
        and not _LEGAL.search(text)
    )


def make_pair(
    kind: str, source: str, query: str, passage: str, fewest_words: int = 3
) -> Pair | None:
    """Trim both halves, or return None where one of them says too little.

    Args:
        kind: See `Pair`.
        source: See `Pair`.
        query: Any text; it becomes one line.
        passage: Any text.
        fewest_words: That the query must have.
    """
    query = shorten(one_line(query), MOST_QUERY)
    passage = shorten(passage.strip("\n"), MOST_PASSAGE)
    enough = len(_WORD.findall(passage)) >= 2 * fewest_words
    if not enough or not is_query(query, fewest_words) or query == one_line(passage):
        return None
    return Pair(kind, source, query, passage)


def shorten(text: str, most: int) -> str:
    """Cut a text to so many characters, where it has a blank."""
    return text if len(text) <= most else text[:most].rsplit(None, 1)[0]
