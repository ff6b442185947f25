"""From texts to BM25 postings: block by block while files are read, merged once per segment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from actors.index.tokens import split_word, words
from actors.index.vocabulary import ranges

_N = TypeVar("_N", bound=np.generic)
_MAX_COUNT = np.iinfo(np.uint16).max


@dataclass(frozen=True, slots=True)
class TermBlock:
    """The terms of some chunks, in chunk order, over a vocabulary of their own.

    Attributes:
        vocabulary: The distinct terms; `terms` points into it.
        terms: int32 [n], the distinct terms of each chunk, chunk after chunk.
        counts: uint16 [n], how often each occurs in its chunk.
        distinct: int32 [chunks], how many entries of `terms` belong to each chunk.
        lengths: uint32 [chunks], terms in each chunk, repeats counted.
    """

    vocabulary: tuple[str, ...]
    terms: NDArray[np.int32]
    counts: NDArray[np.uint16]
    distinct: NDArray[np.int32]
    lengths: NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Postings:
    """A segment's postings in compressed sparse rows, one row per term in byte order.

    Attributes:
        vocabulary: The terms as UTF-8, sorted.
        offsets: int64 [terms + 1], where each term's postings begin.
        rows: uint32 [postings], the segment's rows that hold the term, ascending.
        counts: uint16 [postings], how often.
        lengths: uint32 [rows], terms in each row's text, repeats counted.
    """

    vocabulary: tuple[bytes, ...]
    offsets: NDArray[np.int64]
    rows: NDArray[np.uint32]
    counts: NDArray[np.uint16]
    lengths: NDArray[np.uint32]


class _WordIds(dict[str, tuple[int, ...]]):
    """Word → ids of its terms, filled on first sight."""

    def __init__(self) -> None:
        super().__init__()
        self.vocabulary: dict[str, int] = {}

    def __missing__(self, word: str) -> tuple[int, ...]:
        known = self.vocabulary
        ids = tuple(known.setdefault(term, len(known)) for term in split_word(word))
        self[word] = ids
        return ids


def count_terms(texts: Sequence[str]) -> TermBlock:
    """Tokenise `texts` and count each one's terms."""
    ids = _WordIds()
    tokens = [list(chain.from_iterable(map(ids.__getitem__, words(text)))) for text in texts]
    lengths = np.fromiter(map(len, tokens), np.uint32, len(tokens))
    flat = np.fromiter(chain.from_iterable(tokens), np.int64, int(lengths.sum()))
    size = max(len(ids.vocabulary), 1)
    owner = np.repeat(np.arange(len(tokens), dtype=np.int64), lengths)
    keys, counts = np.unique(owner * size + flat, return_counts=True)
    return TermBlock(
        vocabulary=tuple(ids.vocabulary),
        terms=(keys % size).astype(np.int32),
        counts=np.minimum(counts, _MAX_COUNT).astype(np.uint16),
        distinct=np.bincount(keys // size, minlength=len(tokens)).astype(np.int32),
        lengths=lengths,
    )


def merge(blocks: Sequence[TermBlock]) -> Postings:
    """Turn the blocks of one segment, in row order, into its postings."""
    vocabulary = sorted({term.encode() for block in blocks for term in block.vocabulary})
    rank = {term: number for number, term in enumerate(vocabulary)}
    terms = _concatenate([_renumber(block, rank) for block in blocks], np.int32)
    distinct = _concatenate([block.distinct for block in blocks], np.int32)
    rows = np.repeat(np.arange(len(distinct), dtype=np.uint32), distinct)
    order = np.argsort(terms, kind="stable")
    sizes = np.bincount(terms, minlength=len(vocabulary))
    return Postings(
        vocabulary=tuple(vocabulary),
        offsets=np.concatenate(([0], np.cumsum(sizes, dtype=np.int64))),
        rows=rows[order],
        counts=_concatenate([block.counts for block in blocks], np.uint16)[order],
        lengths=_concatenate([block.lengths for block in blocks], np.uint32),
    )


def join(parts: Sequence[Postings], living: Sequence[NDArray[np.bool_]]) -> Postings:
    """Put the postings of segments together, those of dead rows left out.

    The result is that of `merge` over the living rows, without a look at their texts.

    Args:
        parts: One for each segment, in the order of their rows.
        living: bool [rows] for each segment.
    """
    sizes = [_living_sizes(part, alive) for part, alive in zip(parts, living, strict=True)]
    held = [
        [term for term, size in zip(part.vocabulary, own.tolist(), strict=True) if size]
        for part, own in zip(parts, sizes, strict=True)
    ]
    vocabulary = sorted(set(chain.from_iterable(held)))
    rank = {term: number for number, term in enumerate(vocabulary)}
    ranks = [np.fromiter(map(rank.__getitem__, terms), np.int64, len(terms)) for terms in held]
    totals = np.zeros(len(vocabulary), np.int64)
    for place, own in zip(ranks, sizes, strict=True):
        totals[place] += own[own > 0]
    offsets = np.concatenate(([0], np.cumsum(totals, dtype=np.int64)))
    joined = Postings(
        vocabulary=tuple(vocabulary),
        offsets=offsets,
        rows=np.empty(offsets[-1], np.uint32),
        counts=np.empty(offsets[-1], np.uint16),
        lengths=np.concatenate([p.lengths[alive] for p, alive in zip(parts, living, strict=True)]),
    )
    free, first_row = offsets[:-1].copy(), 0
    for part, alive, place, own in zip(parts, living, ranks, sizes, strict=True):
        kept = alive[part.rows]
        to = ranges(free[place], own[own > 0])
        joined.rows[to] = (np.cumsum(alive, dtype=np.uint32) - 1)[part.rows[kept]] + first_row
        joined.counts[to] = part.counts[kept]
        free[place] += own[own > 0]
        first_row += int(alive.sum())
    return joined


def _living_sizes(part: Postings, alive: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return how many living rows hold each term, int64 [terms]."""
    before = np.concatenate(([0], np.cumsum(alive[part.rows], dtype=np.int64)))
    sizes: NDArray[np.int64] = np.diff(before[part.offsets])
    return sizes


def _renumber(block: TermBlock, rank: dict[bytes, int]) -> NDArray[np.int32]:
    numbers = np.fromiter((rank[t.encode()] for t in block.vocabulary), np.int32)
    return numbers[block.terms]


def _concatenate(parts: Sequence[NDArray[_N]], kind: type[_N]) -> NDArray[_N]:
    return np.concatenate(parts) if parts else np.empty(0, kind)
