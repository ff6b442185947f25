"""What a term can add to a score at most, block by block of a segment's rows.

Computed from the postings when a term is first asked for, and kept while there is room: a query
mostly meets terms that others had, and the first one pays what a scan of the term's postings costs.
Nothing of it is stored, so that segments of any age have it.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock

import numpy as np
from numpy.typing import NDArray

K1 = 1.2
"""Term saturation; Robertson and Zaragoza 2009, "The Probabilistic Relevance Framework"."""
B = 0.75
"""Length normalisation; same source."""
BLOCK = 32
"""Rows in a block."""
_KEPT_BYTES_OF_ROW = 96
"""Of bounds, in one segment: room for the terms of some hundred different queries."""
_DENSE = 2
"""A term that occurs in more than one of so many blocks has a place for each of them."""


@dataclass(frozen=True, slots=True)
class TermBounds:
    """A term's postings by block.

    Attributes:
        blocks: int32 [n], the blocks that hold the term, ascending; None for all of them.
        starts: int32 [n + 1], where their postings begin, after `first`.
        most: float32 [n], the highest share of the term's weight that a row of the block gets.
        first: Where the term's postings begin.
    """

    blocks: NDArray[np.int32] | None
    starts: NDArray[np.int32]
    most: NDArray[np.float32]
    first: int

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        own = self.starts.nbytes + self.most.nbytes
        return own + (0 if self.blocks is None else self.blocks.nbytes)

    def within(
        self, wanted: NDArray[np.intp], place: NDArray[np.int32]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]:
        """Return where the postings of the `wanted` blocks that hold the term begin, and how many.

        Args:
            wanted: Block numbers, ascending.
            place: int32 [blocks], where a block stands in `wanted`, -1 where it does not.

        Returns:
            Begins and sizes, int64, and the block's place in `wanted`.
        """
        if self.blocks is None:
            here, places = wanted, place[wanted]
        else:
            places = place[self.blocks]
            here = np.flatnonzero(places >= 0)
            places = places[here]
        begins = self.starts[here].astype(np.int64)
        return self.first + begins, self.starts[here + 1] - begins, places


class Bounds:
    """The bounds of a segment's terms; safe to use from several threads.

    Args:
        rows: uint32 [postings].
        counts: uint16 [postings].
        lengths: uint32 [rows].
    """

    def __init__(
        self,
        rows: NDArray[np.uint32],
        counts: NDArray[np.uint16],
        lengths: NDArray[np.uint32],
    ) -> None:
        self._rows, self._counts, self._lengths = rows, counts, lengths
        self._mean = float(lengths.mean()) if len(lengths) else 1.0
        self._kept: OrderedDict[int, TermBounds] = OrderedDict()
        self._bytes = 0
        self._keeping = Lock()
        self.blocks = -(-len(lengths) // BLOCK)

    def stretch(self, mean_length: float) -> float:
        """Return by what bounds grow where the mean length is not this segment's own.

        A score's share is c / (c + n), and n is at least n' times old mean over new one.
        """
        return max(1.0, mean_length / self._mean)

    def get(self, number: int, first: int, past: int) -> TermBounds:
        """Return the bounds of term `number`, whose postings are those from `first` to `past`."""
        with self._keeping:
            known = self._kept.get(number)
            if known is not None:
                self._kept.move_to_end(number)
                return known
        found = self._computed(first, past)
        with self._keeping:
            if number not in self._kept:
                self._kept[number] = found
                self._bytes += found.nbytes
            while self._bytes > _KEPT_BYTES_OF_ROW * len(self._lengths):
                self._bytes -= self._kept.popitem(last=False)[1].nbytes
        return found

    def clear(self) -> None:
        """Forget all that was computed."""
        with self._keeping:
            self._kept.clear()
            self._bytes = 0

    def _computed(self, first: int, past: int) -> TermBounds:
        rows = self._rows[first:past]
        counts = self._counts[first:past].astype(np.float32)
        norm = (K1 * (1 - B + B / self._mean * self._lengths[rows])).astype(np.float32)
        share = counts * np.float32(K1 + 1) / (counts + norm)
        blocks = rows // BLOCK
        begins = np.concatenate(([0], np.flatnonzero(blocks[1:] != blocks[:-1]) + 1))
        starts = np.append(begins, len(rows)).astype(np.int32)
        most = np.maximum.reduceat(share, begins)
        held = blocks[begins].astype(np.int32)
        if len(held) * _DENSE <= self.blocks:
            return TermBounds(held, starts, most, first)
        everywhere = np.zeros(self.blocks, np.float32)
        everywhere[held] = most
        sizes = np.zeros(self.blocks + 1, np.int32)
        sizes[held + 1] = np.diff(starts)
        return TermBounds(None, np.cumsum(sizes, dtype=np.int32), everywhere, first)
