"""Vectors in memory at half precision, found through 4-bit codes and compared one by one."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actors.index import coarse
from actors.index.dense import Tier, nothing
from actors.index.ranking import Ranking, ranked
from actors.index.selection import Selection

_CANDIDATES_PER_ANSWER = 10
"""Rows that the codes propose for each one wanted, to be compared exactly; see `coarse.py`."""
_LEAST_CANDIDATES = 400
"""Of a collection; a segment proposes its share of them, as it has its share of the answers."""
_LEAST_PER_ANSWER = 2
"""Of a segment, however small its share: the best may all be in one file, and so in one segment."""
_ROWS_PER_CANDIDATE = 500
"""The more rows, the more of them come between. Recall@10 among 200,000 (see `coarse.py`) is .989
with a row in 400, and .986 with one in 500, at which two shards answer 4% more often."""
_NARROW_SHARE = 0.02
"""Up to this share of rows, comparing all of them at half precision (2% of 200,000: 4 ms, 1%: 1 ms)
is quicker than asking the codes, which take no filter, for so many more (2%: 50,000, 4 ms)."""


class ResidentDense:
    """A segment's vectors as fp16; half of what float32 takes, and the codes.

    A score is the cosine with the vector as it is kept. Rounding to fp16 moves each component by
    at most 2^-11 of itself, so a score by less than 0.0005; over 200,000 vectors of 384
    dimensions it was 0.00005 at most. A row's score does not depend on its segment.

    Until it has codes, every row is compared: slower (5 ms for 200,000 rows), and as
    good.

    Args:
        batches: float32 [n, d] each, unit length, all rows in order.
        ids: uint64 [rows], chunk ids.
        dimension: d.
    """

    tier = Tier.RESIDENT

    def __init__(
        self, batches: Iterable[NDArray[np.float32]], ids: NDArray[np.uint64], dimension: int
    ) -> None:
        self._ids = ids
        self._flat = _filled(batches, len(ids), dimension)
        self._codes: Any = None
        self._refined: Any = None

    @property
    def has_codes(self) -> bool:
        """Whether there are codes to ask."""
        return self._refined is not None

    def load(self, path: Path, name: str) -> None:
        """Take the codes that are kept in `path` for the segment `name`, if there are any."""
        self._take(coarse.load(path, name, self._flat.ntotal, self._flat.d))

    def build(self, path: Path, name: str) -> None:
        """Have the codes built and kept in `path`, which takes seconds; searches go on."""
        self._take(coarse.load_or_build(path, name, self._flat))

    def search(
        self,
        queries: NDArray[np.float32],
        k: int,
        among: Selection | None,
        share: float = 1.0,
    ) -> list[Ranking]:
        """See `Dense`.

        `share` is that of the collection's rows which are in this segment: as the others bring the
        rest of the best `k`, the codes propose as much less.
        """
        coarse.faiss()  # this thread's OpenMP threads
        if among is not None and among.count == 0:
            return nothing(len(queries))
        if not self.has_codes or (among is not None and among.share <= _NARROW_SHARE):
            return self._compare_all(queries, k, among)
        if among is None:
            return self._refine(queries, k, share)
        return [self._filtered(query, k, among, share) for query in queries]

    def _take(self, codes: Any | None) -> None:  # noqa: ANN401
        if codes is not None:
            self._codes = codes
            self._refined = coarse.faiss().IndexRefine(codes, self._flat)

    def _refine(self, queries: NDArray[np.float32], k: int, share: float) -> list[Ranking]:
        k = min(k, len(self._ids))
        factor = min(self._candidates(k, share), len(self._ids)) / k
        parameters = coarse.faiss().IndexRefineSearchParameters(k_factor=factor)
        return self._rankings(*self._refined.search(queries, k, params=parameters))

    def _compare_all(
        self, queries: NDArray[np.float32], k: int, among: Selection | None
    ) -> list[Ranking]:
        library = coarse.faiss()
        parameters = None
        if among is not None:
            parameters = library.SearchParameters(sel=library.IDSelectorBitmap(among.bits))
        k = min(k, len(self._ids))
        return self._rankings(*self._flat.search(queries, k, params=parameters))

    def _filtered(
        self, query: NDArray[np.float32], k: int, among: Selection, share: float
    ) -> Ranking:
        """Ask the codes for so many that enough pass; where they do not, compare all that may."""
        wanted = min(self._candidates(k, share), among.count)
        asked = min(int(wanted / among.share) + 1, len(self._ids))
        _, (rows,) = self._codes.search(query[None], asked)
        rows = rows[rows >= 0]
        passing = rows[among.mask[rows]][:wanted]
        if 2 * len(passing) < wanted:  # the filter's rows lie elsewhere than the query
            return self._compare_all(query[None], k, among)[0]
        library = coarse.faiss()
        parameters = library.SearchParameters(sel=library.IDSelectorBatch(passing))
        k = min(k, len(passing))
        return self._rankings(*self._flat.search(query[None], k, params=parameters))[0]

    def _candidates(self, k: int, share: float) -> int:
        of_all = max(_CANDIDATES_PER_ANSWER * k, _LEAST_CANDIDATES)
        by_rows = len(self._ids) // _ROWS_PER_CANDIDATE
        return max(int(share * of_all), by_rows, _LEAST_PER_ANSWER * k)

    def _rankings(self, scores: NDArray[np.float32], rows: NDArray[np.int64]) -> list[Ranking]:
        found = []
        for some, there in zip(scores, rows, strict=True):
            present = there >= 0
            exact = some[present].astype(np.float64)
            found.append(ranked(self._ids[there[present]], exact, len(exact)))
        return found


def bytes_held(rows: int, dimension: int) -> int:
    """Return what the vectors hold in memory, codes included."""
    return rows * (2 * dimension + coarse.codes_of(dimension) // 2)


def _filled(batches: Iterable[NDArray[np.float32]], rows: int, dimension: int) -> Any:  # noqa: ANN401
    """Return a flat fp16 index, filled in place: adding would hold it twice while it grows."""
    library = coarse.faiss()
    flat = library.IndexScalarQuantizer(
        dimension, library.ScalarQuantizer.QT_fp16, library.METRIC_INNER_PRODUCT
    )
    flat.codes.resize(rows * flat.code_size)
    codes = library.rev_swig_ptr(flat.codes.data(), rows * flat.code_size)
    at = 0
    for batch in batches:
        some = flat.sa_encode(np.ascontiguousarray(batch)).ravel()
        codes[at : at + len(some)] = some
        at += len(some)
    if at != len(codes):
        message = f"{at // flat.code_size} vectors for {rows} rows"
        raise ValueError(message)
    flat.ntotal = rows
    return flat
