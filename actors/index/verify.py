"""Whether a segment is what was written, and what was written is a segment.

First every file is compared with the checksums that the manifest pins. Then what the files say is
compared with each other and with the manifest; a part whose bytes are damaged is not looked into.
Segments that were written before there were checksums have to pass the second step alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actors.errors import CorruptData, StorageError
from actors.index.checksums import damage
from actors.index.mapped import load_array
from actors.index.rows import row_batches
from actors.index.stored import read_files, read_tombstones, segment_folder, tombstone_folder
from actors.index.texts import Texts
from actors.memory import ran_out
from actors.message import Message
from actors.messages import CHUNK_COLUMNS, SegmentRef
from actors.storage import Storage

_TEXTS_AT_ONCE = 128
"""Few enough that the longest chunks stay within what is read at once."""
_NEARLY = 1e-4
"""Of unit length: what rounding to float32 leaves is a hundredth of it."""


@dataclass(frozen=True, slots=True)
class Damage(Message):
    """Something that is wrong with a segment.

    Attributes:
        segment: Its id.
        what: Which file or part of it, and what about it.
        tombstones: Id of the dead rows where it is these, or "" where it is the segment itself.
    """

    segment: str
    what: str
    tombstones: str = ""


def verify_segment(
    storage: Storage, collection: str, ref: SegmentRef, dimension: int
) -> Iterator[Damage]:
    """Look for damage in a segment and its tombstones, a few rows at a time.

    Args:
        storage: The root.
        collection: The collection it belongs to.
        ref: What the manifest says of it.
        dimension: That of the model's vectors.

    Raises:
        StorageError: The root cannot be read.
        MemoryError: There is not enough memory for this.
    """
    parts = _Parts(storage, collection, ref, dimension)
    hurt: list[str] = []
    for what in _examined(storage, parts.folder, ref.digest, parts.all()):
        hurt.append(what)
        yield Damage(ref.id, what)
    if ref.tombstones:
        folder = tombstone_folder(collection, ref.tombstones)
        checks = {} if any(what.startswith(_LEXICAL) for what in hurt) else {"": parts.dead_rows}
        for what in _examined(storage, folder, ref.tombstones_digest, checks):
            yield Damage(ref.id, f"tombstones {ref.tombstones}: {what}", ref.tombstones)


_Check = Callable[[], Iterator[str]]
_LEXICAL = "lexical"


def _examined(
    storage: Storage, folder: str, digest: str, checks: dict[str, _Check]
) -> Iterator[str]:
    """Compare a folder's files with their checksums, then look into the parts that are sound."""
    if not storage.names(folder):
        yield f"{folder} is missing"
        return
    damaged = dict(damage(storage, folder, digest)) if digest else {}
    yield from (f"{file} {what}" for file, what in damaged.items())
    for part, check in checks.items():
        if not any(file.startswith(part) for file in damaged):
            yield from (f"{part} {what}".strip() for what in _tried(check))


def _tried(check: _Check) -> Iterator[str]:
    try:
        yield from check()
    except BaseException as error:  # damaged bytes make their readers raise anything
        if not _is_damage(error):
            raise
        yield f"cannot be read: {(str(error).strip() or type(error).__name__).splitlines()[0]}"


def _is_damage(error: BaseException) -> bool:
    if isinstance(error, StorageError):
        return isinstance(error, CorruptData)
    is_panic = type(error).__module__ == "pyo3_runtime"  # of Lance, and no Exception
    return is_panic or (isinstance(error, Exception) and not ran_out(error))


class _Parts:
    """The parts of one segment; each check yields what is wrong.

    Args:
        storage: The root.
        collection: The collection it belongs to.
        ref: What the manifest says of it.
        dimension: That of the model's vectors.
    """

    def __init__(self, storage: Storage, collection: str, ref: SegmentRef, dimension: int) -> None:
        self._storage = storage
        self._collection = collection
        self._ref = ref
        self._dimension = dimension
        self.folder = segment_folder(collection, ref.id)

    def all(self) -> dict[str, _Check]:
        """Return the checks of the segment itself, by the file or folder that they look into."""
        return {
            "rows.lance": self._rows,
            "files.arrow": self._files,
            _LEXICAL: self._postings,
            "texts": self._texts,
        }

    def dead_rows(self) -> Iterator[str]:
        """Check the tombstones against the postings and the manifest."""
        ref, dead = self._ref, read_tombstones(self._storage, self._collection, self._ref)
        rows, terms = dead.rows.astype(np.int64), dead.terms.astype(np.int64)
        offsets = self._array("offsets")
        if not _ascending_within(rows, ref.rows):
            yield f"their rows are not among the segment's {ref.rows}, in order"
        elif len(rows) != ref.removed_rows:
            yield f"they are {len(rows)}, and the manifest says {ref.removed_rows}"
        elif (length := self._length(rows)) != ref.removed_length:
            yield f"they hold {length} terms, and the manifest says {ref.removed_length}"
        if len(terms) != len(dead.lost) or not _ascending_within(terms, len(offsets) - 1):
            yield "their terms are not among the segment's, in order"
        elif ((dead.lost < 1) | (dead.lost > offsets[terms + 1] - offsets[terms])).any():
            yield "a term lost more rows than hold it, or none"

    def _rows(self) -> Iterator[str]:
        import lance  # noqa: PLC0415 - see segment.py

        rows = lance.dataset(self._storage.uri(f"{self.folder}/rows.lance"))
        count, size = rows.count_rows(), rows.schema.field("vector").type.list_size
        if count != self._ref.rows:
            yield f"holds {count} rows, and the manifest says {self._ref.rows}"
        if size != self._dimension:
            yield f"holds vectors of {size} dimensions, and the model makes {self._dimension}"
        wrong = lacking = 0
        columns = ["vector", *CHUNK_COLUMNS]
        for batch in row_batches(rows, columns):
            lacking += sum(column.null_count for column in batch.columns)
            vectors = batch["vector"].flatten().to_numpy().reshape(-1, size)
            lengths = np.linalg.norm(vectors, axis=1)
            # A text without a known word has the vector zero, which is like nothing.
            wrong += int((~((np.abs(lengths - 1) < _NEARLY) | (lengths == 0))).sum())
        if wrong:
            yield f"holds {wrong} vectors that are not finite or not of unit length"
        if lacking:
            yield f"lacks {lacking} fields of its records"

    def _files(self) -> Iterator[str]:
        files = read_files(self._storage, self._collection, self._ref.id)
        sizes = files["rows"].to_numpy()
        ends = np.concatenate(([0], np.cumsum(sizes)))
        exact = np.array_equal(files["first_row"].to_numpy(), ends[:-1]) and (sizes > 0).all()
        if not exact or ends[-1] != self._ref.rows:
            yield f"does not cover the {self._ref.rows} rows exactly"

    def _postings(self) -> Iterator[str]:
        ref = self._ref
        offsets, rows, ends = (self._array(name) for name in ("offsets", "rows", "term_ends"))
        lengths, counts = self._array("lengths"), self._array("counts")
        if len(lengths) != ref.rows:
            yield f"holds {len(lengths)} documents, and the manifest says {ref.rows}"
        if (length := int(lengths.sum(dtype=np.int64))) != ref.length:
            yield f"holds {length} terms, and the manifest says {ref.length}"
        if len(offsets) != len(ends) or not _ascending_from_zero(ends, len(self._array("terms"))):
            yield "has a vocabulary that does not fit its postings"
        if len(counts) != len(rows) or not _ascending_from_zero(offsets, len(rows)):
            yield "has offsets that do not rise from 0 to the number of postings"
        if len(rows) and int(rows.max()) >= ref.rows:
            yield f"names document {int(rows.max())} of {ref.rows}"

    def _texts(self) -> Iterator[str]:
        folder, rows = self._storage.cache(f"{self.folder}/texts"), self._ref.rows
        try:
            texts = Texts(folder)
        except FileNotFoundError:
            return  # then they are read from the rows
        ends = load_array(folder / "ends.npy")
        if len(ends) != rows + 1:
            yield f"hold {len(ends) - 1} records, and the manifest says {rows}"
        elif not _ascending_from_zero(ends, (folder / "rows.bin").stat().st_size):
            yield "have ends that do not rise from 0 to that of the file"
        else:
            for first in range(0, rows, _TEXTS_AT_ONCE):
                texts.read(range(first, min(first + _TEXTS_AT_ONCE, rows)))

    def _array(self, name: str) -> NDArray[np.int64]:
        return load_array(self._storage.folder(f"{self.folder}/{_LEXICAL}") / f"{name}.npy")

    def _length(self, rows: NDArray[np.int64]) -> int:
        return int(self._array("lengths")[rows].sum(dtype=np.int64))


def _ascending_within(numbers: NDArray[np.int64], past: int) -> bool:
    """Tell whether numbers rise, each once, from 0 or more to less than `past`."""
    bounded = not len(numbers) or (numbers[0] >= 0 and numbers[-1] < past)
    return bool(bounded and (np.diff(numbers) > 0).all())


def _ascending_from_zero(ends: NDArray[np.int64], last: int) -> bool:
    """Tell whether ends begin with 0, never fall, and end with `last`."""
    return bool(len(ends) and ends[0] == 0 and ends[-1] == last and (np.diff(ends) >= 0).all())
