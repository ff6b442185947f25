"""Vectors on disk, found through Lance's IVF_RQ and compared one by one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from actors.index.dense import Tier, exact_best, nothing
from actors.index.ranking import EMPTY, Ranking, merge
from actors.index.rows import row_batches
from actors.index.selection import Selection

_INDEX = "vector_idx"
_CANDIDATES_PER_ANSWER = 15
"""Rows that the index proposes for each one wanted. At 500,000 x 384, with vectors that form no
clusters at all, recall@10 was .94 with three, .96 with ten; reading them is most of a query."""
_LEAST_CANDIDATES = 300
_PROBED_SHARE = 0.9
"""Of partitions: on the same vectors recall@10 was .94 with half (7 ms), .97 with all (11 ms)."""
_FILTER_MARGIN = 1.5
"""Of the proposals of a filtered search: what is admitted may lie apart from what is near."""
_NARROW_ROWS = 8_192
"""Up to so many rows are read and compared, at 15 µs each, rather than asked of the index."""
_ROWS_AT_ONCE = 2_048
"""Of 384 dimensions 50 MB are held while they are read; 80 with twice as many."""

_ROWS_PER_PARTITION = 1_000
_SAMPLES_PER_PARTITION = 40
"""FAISS warns below 39; Lance's own 256 hold 200 MB for 500 partitions of 384 dimensions."""
_ROUNDS = 8
_BITS = 1
"""Per dimension. Three bits find .02 more and take 60 to 130 ms a query in place of 8."""
_FRUGAL = {
    "LANCE_CPU_THREADS": "1",
    "LANCE_IO_THREADS": "2",
    "LANCE_DEFAULT_IO_BUFFER_SIZE": str(32 << 20),
    "LANCE_DEFAULT_BATCH_SIZE": "2048",
    "LANCE_SHUFFLE_BATCH_BYTES": str(32 << 20),
}
"""Building over 500,000 x 384 so takes 430 MB and 14 s; as Lance comes 870 MB and 57 s."""
BUILD_BYTES = 512 << 20
"""What `build_index` may hold: its process with the libraries, samples and what is shuffled."""
CACHE_BYTES = 48 << 20
"""Of index pages that a host keeps, over all its paged segments; 500,000 x 384 have 31 MB."""


class PagedDense:
    """A segment's vectors, left in its Lance dataset.

    Scores are cosines with the float32 vectors that were stored. Without an index every row is
    read and compared, which takes about a second for 500,000 rows; `refresh` finds one that
    was built meanwhile.

    Args:
        dataset: The segment's Lance dataset, with a column `vector` of unit length.
        ids: uint64 [rows], chunk ids.
    """

    tier = Tier.PAGED

    def __init__(self, dataset: Any, ids: NDArray[np.uint64]) -> None:  # noqa: ANN401
        self._dataset = dataset
        self._ids = ids
        fragments = dataset.get_fragments()
        sizes = [fragment.count_rows() for fragment in fragments]
        self._starts = np.zeros(1 + max(f.fragment_id for f in fragments), np.int64)
        numbers = [fragment.fragment_id for fragment in fragments]
        self._starts[numbers] = np.concatenate(([0], np.cumsum(sizes)))[:-1]
        self._probes = _probes(dataset)

    @property
    def is_indexed(self) -> bool:
        """Whether there is an index to ask."""
        return self._probes > 0

    def refresh(self) -> None:
        """See an index that was built since."""
        dataset = self._dataset  # others read from this very object, so it stays as it is
        self._dataset = dataset.checkout_version(dataset.latest_version)
        self._probes = _probes(self._dataset)

    def search(
        self, queries: NDArray[np.float32], k: int, among: Selection | None
    ) -> list[Ranking]:
        """See `Dense`."""
        if among is not None and among.count == 0:
            return nothing(len(queries))
        if among is not None and among.count <= max(_NARROW_ROWS, _candidates(k)):
            rows = among.rows()
            return exact_best(self._vectors(rows), self._ids[rows], queries, k)
        if not self.is_indexed:
            return self._scan(queries, k, among)
        return [self._near(query, k, among) for query in queries]

    def _near(self, query: NDArray[np.float32], k: int, among: Selection | None) -> Ranking:
        wanted = _candidates(k)
        share = 1.0 if among is None else among.share
        proposals = wanted if among is None else _FILTER_MARGIN * wanted / share
        rows = self._proposed(query, int(proposals) + 1)
        if among is not None:
            rows = rows[among.mask[rows]]
        if 2 * len(rows) < min(wanted, share * len(self._ids)):  # they lie elsewhere
            return self._scan(query[None], k, among)[0]
        rows = np.sort(rows[:wanted])
        return exact_best(self._vectors(rows), self._ids[rows], query[None], k)[0]

    def _proposed(self, query: NDArray[np.float32], number: int) -> NDArray[np.int64]:
        """Return the rows that the index takes for the nearest, best first."""
        table = self._dataset.scanner(
            columns=["_rowid", "_distance"],
            nearest={
                "column": "vector",
                "q": query,
                "k": min(number, len(self._ids)),
                "nprobes": self._probes,
            },
        ).to_table()
        address = table["_rowid"].to_numpy().astype(np.int64)
        rows: NDArray[np.int64] = self._starts[address >> 32] + (address & 0xFFFFFFFF)
        return rows

    def _vectors(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        return matrix(self._dataset.take(pa.array(rows), columns=["vector"])["vector"])

    def _scan(self, queries: NDArray[np.float32], k: int, among: Selection | None) -> list[Ranking]:
        best = [EMPTY] * len(queries)
        first = 0
        for vectors in vector_batches(self._dataset):
            ids = self._ids[first : first + len(vectors)]
            rows = None
            if among is not None:
                rows = np.flatnonzero(among.mask[first : first + len(vectors)])
            first += len(vectors)
            if rows is None or len(rows):
                found = exact_best(vectors, ids, queries, k, rows)
                best = [merge(pair, k) for pair in zip(best, found, strict=True)]
        return best


def build_index(uri: str) -> None:
    """Build the index of a segment's vectors, unless it has one; for a process of its own.

    It adds a version to the dataset, which readers see when they look again; rows stay as they are.
    A process that is killed meanwhile leaves files that nothing names. Of two that build at once
    one commits, and its index serves both.

    Raises:
        OSError: It cannot be built, and nobody else has built it.
    """
    os.environ.update(_FRUGAL)  # before Lance is imported: it starts its threads then
    import lance  # noqa: PLC0415

    dataset = lance.dataset(uri)
    if dataset.has_index:
        return
    try:
        _create_index(dataset)
    except OSError:  # Lance's commit conflict is one too
        if not lance.dataset(uri).has_index:
            raise


def vector_batches(dataset: Any) -> Iterator[NDArray[np.float32]]:  # noqa: ANN401
    """Return all vectors of a dataset in order, float32 [n, d] each, holding few at a time."""
    for batch in row_batches(dataset, ["vector"], _ROWS_AT_ONCE):
        yield matrix(batch["vector"])


def matrix(column: pa.ChunkedArray | pa.FixedSizeListArray) -> NDArray[np.float32]:
    """Return a column of vectors as float32 [n, d]."""
    vectors = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    flat: NDArray[np.float32] = vectors.flatten().to_numpy()
    return flat.reshape(len(vectors), -1)


def _create_index(dataset: Any) -> None:  # noqa: ANN401
    partitions = _partitions(dataset)
    dataset.create_index(
        "vector",
        "IVF_RQ",
        name=_INDEX,
        metric="dot",
        num_partitions=partitions,
        num_bits=_BITS,
        ivf_centroids=_centroids(dataset, partitions),
    )


def _centroids(dataset: Any, partitions: int) -> NDArray[np.float32]:  # noqa: ANN401
    from actors.index.coarse import faiss  # noqa: PLC0415 - only who builds needs it

    size = min(partitions * _SAMPLES_PER_PARTITION, dataset.count_rows())
    sample = matrix(dataset.sample(size, columns=["vector"])["vector"])
    means = faiss().Kmeans(sample.shape[1], partitions, niter=_ROUNDS, spherical=True)
    means.train(sample)
    centroids: NDArray[np.float32] = means.centroids
    return centroids


def _probes(dataset: Any) -> int:  # noqa: ANN401
    """Return how many partitions of the dataset's index are searched, or 0 where it has none."""
    if not dataset.has_index:
        return 0
    return max(1, int(_PROBED_SHARE * _partitions(dataset)))


def _partitions(dataset: Any) -> int:  # noqa: ANN401
    rows: int = dataset.count_rows()
    return max(rows // _ROWS_PER_PARTITION, 1)


def _candidates(k: int) -> int:
    return max(_CANDIDATES_PER_ANSWER * k, _LEAST_CANDIDATES)
