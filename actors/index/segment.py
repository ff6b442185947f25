"""A segment, opened for search: an immutable piece of a shard.

segments/<id>/rows.lance/      one row per chunk, a file's chunks next to each other
segments/<id>/lexical/*.npy    BM25 postings (see lexical.py)
segments/<id>/files.arrow      one row per file: path, content hash, first row, rows
tombstones/<id>/*.npy          dead rows, and what they take from the term statistics
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pathspec
import pyarrow as pa
from numpy.typing import NDArray

from actors.errors import CorruptData, InvalidRequest
from actors.index.dense import ExactDense
from actors.index.lexical import LexicalIndex
from actors.index.ranking import Ranking
from actors.messages import Chunk, Filter, SegmentRef, ShardQuery
from actors.storage import Storage, storage_error

_CHUNK_COLUMNS = ["path", "start_line", "end_line", "language", "symbol", "text"]
_CACHED_FILTERS = 32


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


def check_globs(globs: tuple[str, ...]) -> None:
    """Raise InvalidRequest where a path glob is none, or excludes: a path passes if any fits."""
    for glob in globs:
        try:
            sign = pathspec.PathSpec.from_lines("gitignore", [glob]).patterns[0].include
        except (ValueError, IndexError):
            sign = None
        if not sign:
            message = f"the path filter {glob!r} is no glob that admits paths; take one as 'src/'"
            raise InvalidRequest(message)


def read_tombstones(storage: Storage, collection: str, ref: SegmentRef) -> Tombstones:
    """Read the dead rows that `ref` names."""
    if not ref.tombstones:
        return NO_TOMBSTONES
    name = tombstone_folder(collection, ref.tombstones)
    try:
        folder = storage.folder(name)
        rows, terms, lost = (np.load(folder / f"{part}.npy") for part in ("rows", "terms", "lost"))
    except (OSError, ValueError) as error:
        raise _damaged(name, storage, error) from error
    return Tombstones(rows, terms, lost)


def read_files(storage: Storage, collection: str, segment: str) -> pa.Table:
    """Return the segment's files: path, content_hash, first_row, rows."""
    name = f"{segment_folder(collection, segment)}/files.arrow"
    try:
        return pa.ipc.open_file(io.BytesIO(storage.read(name))).read_all()
    except (OSError, pa.ArrowInvalid) as error:
        raise _damaged(name, storage, error) from error


class Segment:
    """One segment's rows, vectors and postings; safe to search from several threads.

    Args:
        storage: The root.
        collection: The collection it belongs to.
        segment: Its id.

    Raises:
        CorruptData: A part is missing or not what was written.
    """

    def __init__(self, storage: Storage, collection: str, segment: str) -> None:
        self._storage = storage
        self._collection = collection
        self.id = segment
        folder = segment_folder(collection, segment)
        import lance  # noqa: PLC0415 - 60 MB, and not fork-safe: only who searches or writes pays

        try:
            self._rows = lance.dataset(storage.uri(f"{folder}/rows.lance"))
            columns = self._rows.to_table(columns=["id", "language", "vector"]).combine_chunks()
            self.ids = columns["id"].to_numpy()
            self._languages = columns["language"].combine_chunks().dictionary_encode()
            self.dense = ExactDense(_matrix(columns["vector"]), self.ids)
            self.lexical = LexicalIndex(storage.folder(f"{folder}/lexical"), self.ids)
        except (OSError, ValueError) as error:
            raise _damaged(folder, storage, error) from error
        self._filtered: dict[Filter, NDArray[np.bool_]] = {}

    def search(
        self, query: ShardQuery, live: NDArray[np.bool_] | None
    ) -> tuple[Ranking | None, Ranking | None]:
        """Return the best by cosine and the best by BM25 among the `live` rows (None: all)."""
        allowed = self._allowed(query.filter, live)
        rows = None if allowed is None else np.flatnonzero(allowed)
        dense = lexical = None
        if query.vector is not None:
            dense = self.dense.search(query.vector, query.depth, rows)
        if query.terms is not None:
            lexical = self.lexical.search(query.terms, query.depth, allowed)
        return dense, lexical

    def chunks(self, ids: NDArray[np.uint64], context: int = 0) -> dict[int, Chunk]:
        """Return those of `ids` that this segment holds, each with `context` lines around it.

        The lines come from the file's other chunks, so they are those that were indexed.
        """
        rows = self._rows_of(ids)
        wanted = {int(row): self._around(int(row), context) for row in rows}
        taken = self._take(sorted({row for rows in wanted.values() for row in rows}))
        return {
            int(self.ids[row]): _widened(taken[row], [taken[r] for r in rows], context)
            for row, rows in wanted.items()
        }

    def _take(self, rows: list[int]) -> dict[int, Chunk]:
        if not rows:
            return {}
        try:
            table = self._rows.take(rows, columns=_CHUNK_COLUMNS)
        except (OSError, ValueError) as error:
            raise _damaged(self.id, self._storage, error) from error
        return {row: Chunk(**c) for row, c in zip(rows, table.to_pylist(), strict=True)}

    def _around(self, row: int, context: int) -> range:
        """Return the rows of the same file with lines within `context` of this row's."""
        if not context:
            return range(row, row + 1)
        first_rows = self._files["first_row"].to_numpy()
        file = int(np.searchsorted(first_rows, row, "right")) - 1
        begin, size = int(first_rows[file]), int(self._files["rows"][file].as_py())
        starts, ends = (column[begin : begin + size] for column in self._lines)
        here = row - begin
        near = (ends >= starts[here] - context) & (starts <= ends[here] + context)
        rows = np.flatnonzero(near) + begin
        return range(int(rows[0]), int(rows[-1]) + 1)

    def _allowed(self, wanted: Filter, live: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
        if wanted == Filter():
            return live
        matching = self._filtered.get(wanted)
        if matching is None:
            if len(self._filtered) >= _CACHED_FILTERS:
                self._filtered.clear()
            matching = self._filtered[wanted] = self._matching(wanted)
        return matching if live is None else matching & live

    def _matching(self, wanted: Filter) -> NDArray[np.bool_]:
        mask = np.ones(len(self.ids), np.bool_)
        if wanted.languages:
            names = np.isin(self._languages.dictionary.to_pylist(), wanted.languages)
            mask &= names[self._languages.indices.to_numpy()]
        if wanted.paths:
            mask &= np.repeat(self._files_matching(wanted.paths), self._files["rows"].to_numpy())
        return mask

    def _files_matching(self, globs: tuple[str, ...]) -> NDArray[np.bool_]:
        spec = pathspec.PathSpec.from_lines("gitignore", globs)
        paths = self._files["path"].to_pylist()
        return np.fromiter((spec.match_file(path) for path in paths), np.bool_, len(paths))

    @cached_property
    def _files(self) -> pa.Table:
        return read_files(self._storage, self._collection, self.id)

    @cached_property
    def _lines(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        table = self._rows.to_table(columns=["start_line", "end_line"])
        return table["start_line"].to_numpy(), table["end_line"].to_numpy()

    @cached_property
    def _by_id(self) -> NDArray[np.intp]:
        return np.argsort(self.ids)

    def _rows_of(self, ids: NDArray[np.uint64]) -> NDArray[np.intp]:
        order = self._by_id
        at = np.searchsorted(self.ids, ids, sorter=order)
        rows = order[np.minimum(at, len(order) - 1)]
        return np.sort(rows[self.ids[rows] == ids])


def _widened(chunk: Chunk, around: list[Chunk], context: int) -> Chunk:
    """Return the chunk with up to `context` lines of its neighbours on either side."""
    if not context or not _has_own_lines(chunk):
        return chunk
    lines: dict[int, str] = {}
    for part in (*filter(_has_own_lines, around), chunk):
        numbers = range(part.start_line, part.end_line + 1)
        lines.update(zip(numbers, part.text.split("\n"), strict=True))
    start = max(min(lines), chunk.start_line - context)
    end = min(max(lines), chunk.end_line + context)
    # Between chunks there are only blank lines.
    text = "\n".join(lines.get(number, "") for number in range(start, end + 1))
    return replace(chunk, start_line=start, end_line=end, text=text)


def _has_own_lines(chunk: Chunk) -> bool:
    """Tell whether the text is that of its lines; a chunk that was handed in may say otherwise."""
    return chunk.text.count("\n") == chunk.end_line - chunk.start_line


def _matrix(column: pa.ChunkedArray) -> NDArray[np.float32]:
    vectors = column.combine_chunks()
    matrix: NDArray[np.float32] = vectors.flatten().to_numpy()
    return matrix.reshape(len(vectors), -1)


def _damaged(name: str, storage: Storage, error: Exception) -> Exception:
    described = storage_error(storage.root, f"read {name}", error)
    return CorruptData(f"{described}; index the collection again to replace it")
