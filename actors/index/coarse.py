"""4-bit codes that find a segment's nearest rows, computed once and kept beside the segment."""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

_log = logging.getLogger("shoal.index")

_MOST_CODES = 96
"""Of 4 bits, for one vector. Recall@10 among 200,000 vectors of 384 dimensions (sums of vectors of
words), with 500 candidates, and milliseconds to find 300: in 64 codes .977 (0.33), in 96 .989
(0.43), in 128 .993 (0.52); not turned first, in 128 .990, in 96 .973. MiniLM's vectors of sentences
are easier: among 39,500, with 400 candidates, in 64 codes .997."""
_DIMENSIONS_PER_CODE = (1, 2, 3, 4)
_TRAINING_ROWS = 16_384
"""A thousand for each of 16 centroids; with 4,096 recall@10 was .985 in place of .990."""
_POINTS_PER_CENTROID = 1024
_ROWS_AT_ONCE = 16_384
_SEED = 7
_DIGEST = 32


def faiss() -> Any:  # noqa: ANN401 - an untyped module
    """Return FAISS, imported on first use, computing in the calling thread alone.

    Its threads would contend with those of the host, and each costs 8 MB of a capped address
    space.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # read once, when the library is loaded
    import faiss as library  # noqa: PLC0415 - 0.2 s and 40 MB: only who searches large segments

    library.omp_set_num_threads(1)  # OpenMP keeps it for each thread apart
    return library


def codes_of(dimension: int) -> int:
    """Return how many codes of 4 bits stand for a vector of `dimension`."""
    even = [dimension // size for size in _DIMENSIONS_PER_CODE if dimension % size == 0]
    return next((number for number in even if number <= _MOST_CODES), even[-1])


def bytes_to_build(rows: int, dimension: int) -> int:
    """Return what building takes at most: the codes as they grow, and what they are trained on."""
    codes = rows * codes_of(dimension) // 2
    return 3 * codes + 3 * 4 * dimension * min(rows, _TRAINING_ROWS)


def load(path: Path, name: str, rows: int, dimension: int) -> Any | None:  # noqa: ANN401
    """Return the codes kept in `path`, or None where there are none or not those of `name`.

    A file that is damaged, or another segment's, or of another version of FAISS, is as good as
    none: its digest is over what it should be, together with what it says.
    """
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, payload = content[:_DIGEST], content[_DIGEST:]
    if digest != _digest(payload, name, rows, dimension):
        _log.warning("%s is damaged or of another segment, and is made again", path)
        return None
    return faiss().deserialize_index(np.frombuffer(payload, np.uint8))


def load_or_build(path: Path, name: str, flat: Any) -> Any:  # noqa: ANN401
    """Return the codes of all vectors in `flat`, kept in `path` from then on.

    Of several processes on a machine one builds, and the others wait for it.
    """
    rows, dimension = flat.ntotal, flat.d
    with _only_one(path):
        codes = load(path, name, rows, dimension)
        if codes is None:
            codes = _built(flat)
            _keep(path, name, codes)
    return codes


def _built(flat: Any) -> Any:  # noqa: ANN401
    library = faiss()
    size = min(flat.ntotal, _TRAINING_ROWS)
    some = np.random.default_rng(_SEED).choice(flat.ntotal, size, replace=False)
    sample = flat.reconstruct_batch(np.sort(some))
    number = codes_of(flat.d)
    packed = library.index_factory(flat.d, f"PQ{number}x4fs", library.METRIC_INNER_PRODUCT)
    packed.pq.cp.max_points_per_centroid = _POINTS_PER_CENTROID
    codes = library.IndexPreTransform(_balanced(sample, number), packed)
    codes.train(sample)
    for first in range(0, flat.ntotal, _ROWS_AT_ONCE):
        codes.add(flat.reconstruct_n(first, min(_ROWS_AT_ONCE, flat.ntotal - first)))
    return codes


def _balanced(sample: NDArray[np.float32], number: int) -> Any:  # noqa: ANN401
    """Return a rotation, which keeps products as they are, that gives each code as much to tell.

    In most models' vectors a tenth of the directions holds half of the variance.
    """
    turned = faiss().PCAMatrix(sample.shape[1], sample.shape[1])
    turned.balanced_bins = number
    turned.train(sample)
    turned.have_bias = False  # products of what is moved to the mean would be others
    return turned


def _keep(path: Path, name: str, codes: Any) -> None:  # noqa: ANN401
    """Write the codes whole or not at all; where the folder is not writable they are not kept."""
    payload = faiss().serialize_index(codes).tobytes()
    partial = path.with_suffix(f".{os.getpid()}.partial")
    try:
        partial.write_bytes(_digest(payload, name, codes.ntotal, codes.d) + payload)
        partial.replace(path)
    except OSError as error:
        _log.warning("%s cannot be kept, and is made again at the next start: %s", path, error)
        partial.unlink(missing_ok=True)


def _only_one(path: Path) -> FileLock:
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path.with_suffix(".lock"))


def _digest(payload: bytes, name: str, rows: int, dimension: int) -> bytes:
    what = f"{name} {rows}x{dimension} PCA,PQ{codes_of(dimension)} {faiss().__version__}"
    key = hashlib.blake2b(what.encode()).digest()
    return hashlib.blake2b(payload, digest_size=_DIGEST, key=key).digest()
