"""A segment's vectors in the tier that its host has room for, and their way into a better one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actors.index import coarse, resident
from actors.index.dense import Dense, ExactDense, Tier
from actors.index.paged import PagedDense, matrix, vector_batches
from actors.index.ranking import Ranking
from actors.index.resident import ResidentDense
from actors.index.selection import Selection

EXACT_ROWS = 20_000
"""Up to here comparing all float32 vectors takes 1 ms or so, and codes would gain nothing."""
_OTHER_BYTES_OF_ROW = 64
"""Beside the vector: id 8, language 4 and its string 12, masks and orders made for a search."""


def choose_tier(rows: int, dimension: int, room: int) -> Tier:
    """Return the best tier for a segment in a host that may take `room` more bytes."""
    if rows <= EXACT_ROWS:
        return Tier.EXACT
    fits = bytes_held(Tier.RESIDENT, rows, dimension) <= room
    return Tier.RESIDENT if fits else Tier.PAGED


def bytes_held(tier: Tier, rows: int, dimension: int) -> int:
    """Return what a segment holds in memory, all but its words and texts, which stay on disk."""
    vectors = {
        Tier.EXACT: 4 * rows * dimension,
        Tier.RESIDENT: resident.bytes_held(rows, dimension),
        Tier.PAGED: 0,
    }
    return vectors[tier] + rows * _OTHER_BYTES_OF_ROW


class Vectors:
    """The dense side of one segment; safe to search from several threads while it changes tier.

    Args:
        dataset: The segment's Lance dataset.
        ids: uint64 [rows], chunk ids.
        tier: Where the vectors are to be.
        kept: Names the file in which codes are kept.
        segment: The segment's id.
    """

    def __init__(
        self,
        dataset: Any,  # noqa: ANN401 - untyped
        ids: NDArray[np.uint64],
        tier: Tier,
        kept: Path,
        segment: str,
    ) -> None:
        self._dataset, self._ids, self._kept, self._segment = dataset, ids, kept, segment
        self.dimension = int(dataset.schema.field("vector").type.list_size)
        self._dense: Dense = self._opened(tier)

    @property
    def tier(self) -> Tier:
        """Where the vectors are."""
        return self._dense.tier

    @property
    def unfinished(self) -> bool:
        """Whether `finish` would make searches quicker."""
        dense = self._dense
        if isinstance(dense, ResidentDense):
            return not dense.has_codes
        return isinstance(dense, PagedDense) and not dense.is_indexed

    def search(
        self,
        queries: NDArray[np.float32],
        k: int,
        among: Selection | None,
        share: float = 1.0,
    ) -> list[Ranking]:
        """See `Dense`, and `ResidentDense` for the segment's share of the collection's rows."""
        dense = self._dense
        if isinstance(dense, ResidentDense):
            return dense.search(queries, k, among, share)
        return dense.search(queries, k, among)

    def finish(self, build_index: Callable[[str], None]) -> None:
        """Build, or wait for another process to build, what makes searches quick.

        Takes seconds, during which searches go on.

        Args:
            build_index: Builds the index of the Lance dataset at an address, or finds it built.
        """
        dense = self._dense
        if isinstance(dense, ResidentDense):
            dense.build(self._kept, self._segment)
        elif isinstance(dense, PagedDense):
            build_index(self._dataset.uri)
            dense.refresh()

    def bytes_to_finish(self) -> int:
        """Return what `finish` takes in this process, at most, on top of what is held."""
        if self.tier is Tier.PAGED:
            return 0
        return coarse.bytes_to_build(len(self._ids), self.dimension)

    def promote(self) -> None:
        """Read paged vectors into memory."""
        if self.tier is Tier.PAGED:
            self._dense = self._opened(Tier.RESIDENT)

    def _opened(self, tier: Tier) -> Dense:
        if tier is Tier.PAGED:
            return PagedDense(self._dataset, self._ids)
        if tier is Tier.RESIDENT:
            dense = ResidentDense(vector_batches(self._dataset), self._ids, self.dimension)
            dense.load(self._kept, self._segment)
            return dense
        table = self._dataset.to_table(columns=["vector"])
        return ExactDense(matrix(table["vector"]), self._ids)
