"""What is known of the best candidates of either side, beside their scores."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actors.message import Message

SHARES = ("file_name", "folder", "definition", "phrase", "neighbours", "aside")
"""What is known of a chunk, each from 0 to 1."""
FEATURED = 20
"""Of each side, the best: with 30 or 100, mean nDCG@10 is the same, and each is read from disk."""


@dataclass(frozen=True, slots=True)
class Signals(Message):
    """What is known of some chunks.

    Attributes:
        ids: uint64 [n], ascending.
        shares: float64 [n, SHARES]: of the file's name that the query has; of the query that are
            folders; whether it defines what the query names; whether it has what it quotes; of the
            query's neighbouring words, those near one another here; whether it stands aside.
        lines: Sketches of their lines.
    """

    ids: NDArray[np.uint64]
    shares: NDArray[np.float64]
    lines: tuple[frozenset[int], ...]

    def among(self, ids: Iterable[NDArray[np.uint64]]) -> Signals:
        """Return those of chunks that are in one of some arrays."""
        arrays = list(ids)
        wanted = np.concatenate(arrays) if arrays else self.ids[:0]
        rows = np.flatnonzero(np.isin(self.ids, wanted))
        lines = tuple(self.lines[row] for row in rows)
        return Signals(self.ids[rows], self.shares[rows], lines)


NO_SIGNALS = Signals(np.empty(0, np.uint64), np.empty((0, len(SHARES))), ())


def merged(parts: Iterable[Signals]) -> Signals:
    """Put together what is known of chunks in several places."""
    some = [part for part in parts if len(part.ids)]
    if not some:
        return NO_SIGNALS
    ids = np.concatenate([part.ids for part in some])
    order = np.argsort(ids)
    lines = [sketch for part in some for sketch in part.lines]
    return Signals(
        ids[order],
        np.concatenate([part.shares for part in some])[order],
        tuple(lines[row] for row in order),
    )
