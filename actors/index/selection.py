"""Which rows of a segment a search may find: filters and tombstones, ready for every index."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray


class Selection:
    """Some rows of a segment.

    Args:
        mask: bool [rows], true where a row may be found; not changed any more.
    """

    def __init__(self, mask: NDArray[np.bool_]) -> None:
        self.mask = mask

    @cached_property
    def count(self) -> int:
        """How many rows they are."""
        return int(np.count_nonzero(self.mask))

    @property
    def share(self) -> float:
        """Their part of all rows."""
        return self.count / max(len(self.mask), 1)

    @cached_property
    def bits(self) -> NDArray[np.uint8]:
        """The mask with eight rows in a byte, the first in the lowest bit, as FAISS takes it."""
        return np.packbits(self.mask, bitorder="little")

    def rows(self) -> NDArray[np.intp]:
        """Return the rows, ascending; not kept, as it takes eight times the mask."""
        return np.flatnonzero(self.mask)

    def and_(self, other: Selection) -> Selection:
        """Return the rows that are in both."""
        return Selection(self.mask & other.mask)
