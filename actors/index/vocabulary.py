"""A segment's terms, memory-mapped, and where a word stands among them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from actors.index.mapped import let_go, load_array

_PREFIX = 8
"""Bytes of a term that its key holds: one machine word, and past it few terms are still equal."""


class Vocabulary(Sequence[bytes]):
    """A sorted list of terms in memory-mapped files, found by their first bytes.

    Args:
        folder: Where `files_of` put them; `term_keys.npy` is computed where a folder lacks it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._blob = load_array(folder / "terms.npy")
        self._ends = load_array(folder / "term_ends.npy")

    def __len__(self) -> int:
        """Return the number of terms."""
        return len(self._ends) - 1

    def __getitem__(self, number: int) -> bytes:  # type: ignore[override]
        """Return the term at `number`."""
        return self._blob[self._ends[number] : self._ends[number + 1]].tobytes()

    def find(self, term: bytes) -> int | None:
        """Return the term's number, or None."""
        return self.find_all((term,))[0]

    def find_all(self, terms: Sequence[bytes]) -> list[int | None]:
        """Return the number of each of some terms, or None."""
        wanted = np.fromiter(map(_key, terms), np.uint64, len(terms))
        first = self._keys.searchsorted(wanted).tolist()
        past = self._keys.searchsorted(wanted, "right").tolist()
        return [self._bisect(t, *span) for t, *span in zip(terms, first, past, strict=True)]

    def some(self, numbers: NDArray[np.intp]) -> bytes:
        """Return the terms of some numbers, one after the other."""
        starts, sizes = self._ends[numbers], self._ends[numbers + 1] - self._ends[numbers]
        return self._blob[ranges(starts, sizes)].tobytes()

    def drop_caches(self) -> None:
        """Give up what can be computed or read again."""
        let_go(self._blob)
        let_go(self._ends)
        for name in ("characters", "_keys"):
            self.__dict__.pop(name, None)

    def outer_bytes(self, numbers: NDArray[np.intp]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return the first and the last byte of the terms of some numbers."""
        return self._blob[self._ends[numbers]], self._blob[self._ends[numbers + 1] - 1]

    @cached_property
    def characters(self) -> NDArray[np.int32]:
        """How many characters each term has, int32 [terms]."""
        begins = (self._blob & 0xC0) != 0x80  # noqa: PLR2004 - all but UTF-8's later bytes
        counted = np.concatenate(([0], np.cumsum(begins, dtype=np.int32)))
        sizes: NDArray[np.int32] = np.diff(counted[self._ends])
        return sizes

    @cached_property
    def _keys(self) -> NDArray[np.uint64]:
        file = self._folder / "term_keys.npy"
        return load_array(file) if file.exists() else keys_of(self._blob, self._ends)

    def _bisect(self, term: bytes, first: int, past: int) -> int | None:
        at = bisect_left(self, term, first, past)
        return at if at < past and self[at] == term else None


def keys_of(blob: NDArray[np.uint8], ends: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return the first bytes of each term as a big-endian number, uint64 [terms]: order is kept."""
    padded = np.concatenate((blob, np.zeros(_PREFIX, np.uint8)))
    starts, sizes = ends[:-1], np.diff(ends)
    keys = np.zeros(len(starts), np.uint64)
    for place in range(_PREFIX):
        byte = np.where(place < sizes, padded[starts + place], 0).astype(np.uint64)
        keys = keys << np.uint64(8) | byte
    return keys


def ranges(starts: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return `starts[0]`, `starts[0] + 1`, … for `sizes[0]` numbers, then the next, int64."""
    before = np.cumsum(sizes) - sizes
    return np.repeat(starts - before, sizes) + np.arange(int(sizes.sum()))


def _key(term: bytes) -> int:
    return int.from_bytes(term[:_PREFIX].ljust(_PREFIX, b"\0"), "big")
