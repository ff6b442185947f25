"""What lies beside a segment's rows, read: its files, its term statistics, its dead rows."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from actors.errors import CorruptData
from actors.index.lexical import TermStatistics
from actors.memory import ran_out
from actors.messages import SegmentRef
from actors.storage import Storage, storage_error

UNREADABLE = (OSError, ValueError, EOFError)
"""Raised over damaged files; EOFError is what NumPy makes of an empty one."""


def segment_folder(collection: str, segment: str) -> str:
    """Return the name of a segment's folder below the root."""
    return f"collections/{collection}/segments/{segment}"


def tombstone_folder(collection: str, tombstones: str) -> str:
    """Return the name of a tombstones' folder below the root."""
    return f"collections/{collection}/tombstones/{tombstones}"


@dataclass(frozen=True, slots=True)
class Tombstones:
    """The dead rows of a segment.

    Attributes:
        rows: uint32 [dead], ascending.
        terms: int32 [n], numbers of the terms that lost rows, ascending.
        lost: int32 [n], how many rows each lost.
    """

    rows: NDArray[np.uint32]
    terms: NDArray[np.int32]
    lost: NDArray[np.int32]

    def lost_by(self, term: int) -> int:
        """Return how many of the rows that held term `term` are dead."""
        at = int(np.searchsorted(self.terms, term))
        return int(self.lost[at]) if at < len(self.terms) and self.terms[at] == term else 0


NO_TOMBSTONES = Tombstones(np.empty(0, np.uint32), np.empty(0, np.int32), np.empty(0, np.int32))


def read_tombstones(storage: Storage, collection: str, ref: SegmentRef) -> Tombstones:
    """Read the dead rows that `ref` names."""
    if not ref.tombstones:
        return NO_TOMBSTONES
    name = tombstone_folder(collection, ref.tombstones)
    try:
        folder = storage.folder(name)
        rows, terms, lost = (np.load(folder / f"{part}.npy") for part in ("rows", "terms", "lost"))
    except UNREADABLE as error:
        raise damaged(name, storage, error) from error
    return Tombstones(rows, terms, lost)


def living_rows(storage: Storage, collection: str, ref: SegmentRef) -> NDArray[np.bool_]:
    """Read which rows of a segment live, bool [rows]."""
    living = np.ones(ref.rows, np.bool_)
    living[read_tombstones(storage, collection, ref).rows] = False
    return living


def read_statistics(storage: Storage, collection: str, segment: str) -> TermStatistics:
    """Map how many rows of a segment hold each term."""
    name = f"{segment_folder(collection, segment)}/lexical"
    try:
        statistics = TermStatistics(storage.folder(name))
        statistics.vocabulary.find(b"")  # else the keys' file is opened by the first search
    except UNREADABLE as error:
        raise damaged(name, storage, error) from error
    return statistics


def read_files(storage: Storage, collection: str, segment: str) -> pa.Table:
    """Return the segment's files: path, content_hash, first_row, rows."""
    name = f"{segment_folder(collection, segment)}/files.arrow"
    try:
        return pa.ipc.open_file(io.BytesIO(storage.read(name))).read_all()
    except (OSError, pa.ArrowInvalid) as error:
        raise damaged(name, storage, error) from error


def missing(name: str, storage: Storage) -> Exception:
    """Return the error of a folder that is not there."""
    message = (
        f"{name} is missing from {storage.root}: put it back, or delete the collection and index "
        "it again"
    )
    return CorruptData(message)


def damaged(name: str, storage: Storage, error: Exception) -> Exception:
    """Return the error of what cannot be read, and is not what was written."""
    if ran_out(error):  # nothing is wrong with the files
        return MemoryError(str(error))
    described = storage_error(storage.root, f"read {name}", error)
    return CorruptData(f"{described}; index the collection again to replace it")
