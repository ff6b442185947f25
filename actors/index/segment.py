"""A segment, opened for search: an immutable piece of a shard.

segments/<id>/rows.lance/      one row per chunk, a file's chunks next to each other
segments/<id>/lexical/*.npy    BM25 postings (see lexical.py)
segments/<id>/files.arrow      one row per file: path, content hash, first row, rows
segments/<id>/texts/           the chunks once more, to be read quickly (see texts.py)
segments/<id>/dense.codes      made by hosts where the segment is large (see coarse.py)
tombstones/<id>/*.npy          dead rows, and what they take from the term statistics
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numpy as np
import pathspec
import pyarrow as pa
from numpy.typing import NDArray

from actors.errors import InvalidRequest
from actors.index.dense import Tier
from actors.index.lexical import LexicalIndex
from actors.index.paged import matrix
from actors.index.ranking import Ranking
from actors.index.selection import Selection
from actors.index.stored import UNREADABLE, damaged, missing, read_files, segment_folder
from actors.index.texts import Texts, check_size, widened
from actors.index.tiers import Vectors, bytes_held, choose_tier
from actors.messages import CHUNK_COLUMNS, Chunk, Filter, ShardQuery
from actors.storage import Storage

_CACHED_FILTERS = 32
_ROWS_AT_ONCE = 256
_EVERYTHING = Filter()


def check_globs(globs: tuple[str, ...]) -> None:
    """Raise InvalidRequest where a path glob is none, or is negated: a path fits any or none."""
    for glob in globs:
        try:
            sign = pathspec.PathSpec.from_lines("gitignore", [glob]).patterns[0].include
        except (ValueError, IndexError):
            sign = None
        if not sign:
            message = f"the path filter {glob!r} is no glob that paths match; take one as 'src/'"
            raise InvalidRequest(message)


class Segment:
    """One segment's rows, vectors and postings; safe to search from several threads.

    Args:
        storage: The root.
        collection: The collection it belongs to.
        segment: Its id.
        room: Tells how many bytes the host may still take with ease: decides the tier.
        check_room: Told how many bytes will be held, before they are; raises where they are too
            many, because Lance ends the process where memory does.
        session: Lance's caches, to be shared by several segments.

    Raises:
        CorruptData: A part is missing or not what was written.
    """

    def __init__(
        self,
        storage: Storage,
        collection: str,
        segment: str,
        room: Callable[[], int] = lambda: sys.maxsize,
        check_room: Callable[[int], None] = lambda _size: None,
        session: Any = None,  # noqa: ANN401 - untyped
    ) -> None:
        self._storage = storage
        self._collection = collection
        self.id = segment
        folder = segment_folder(collection, segment)
        import lance  # noqa: PLC0415 - 60 MB, and not fork-safe: only who searches or writes pays

        with self._named(folder):
            self._rows = lance.dataset(storage.uri(f"{folder}/rows.lance"), session=session)
            rows = self._rows.count_rows()
            dimension = int(self._rows.schema.field("vector").type.list_size)
            tier = choose_tier(rows, dimension, room())
            check_room(bytes_held(tier, rows, dimension))
            columns = self._rows.to_table(columns=["id", "language"]).combine_chunks()
            self.ids = columns["id"].to_numpy()
            self._languages = columns["language"].combine_chunks().dictionary_encode()
            self.lexical = LexicalIndex(storage.folder(f"{folder}/lexical"), self.ids)
            kept = storage.cache(folder) / "dense.codes"
            self.dense = Vectors(self._rows, self.ids, tier, kept, segment)
            self._texts = self._opened_texts(folder)
        self._selected: dict[tuple[Filter, Selection | None], Selection] = {}

    @property
    def rows(self) -> int:
        """How many chunks were written, dead ones included."""
        return len(self.ids)

    @property
    def is_at_hand(self) -> bool:
        """Whether a search waits for no storage: vectors are in memory, texts on a local disk."""
        return self.dense.tier is not Tier.PAGED and self._texts is not None

    def search(
        self, queries: Sequence[ShardQuery], live: Selection | None, share: float = 1.0
    ) -> list[tuple[Ranking | None, Ranking | None]]:
        """Return for each query the best by cosine and the best by BM25 among `live` (None: all).

        Queries that share filter and depth cost less together than one by one. `share` is that of
        the collection's rows which are here; see `ResidentDense`.

        Raises:
            CorruptData: What is read on the way is not what was written.
        """
        selected = {q.filter: self._selection(q.filter, live) for q in queries}
        with self._named(self.id):
            dense = self._dense(queries, selected, share)
        lexical = [self._lexical(query, selected[query.filter]) for query in queries]
        return list(zip(dense, lexical, strict=True))

    def records(self, ids: NDArray[np.uint64], context: int = 0) -> dict[int, bytes]:
        """Return chunks of `ids` that are here, as records, with `context` lines around each.

        The lines come from the file's other chunks, so they are those that were indexed.

        Raises:
            LimitExceeded: That is more text than is read at once.
        """
        rows = self._rows_of(ids)
        if not context:
            return dict(zip(self.ids[rows].tolist(), self._take(rows.tolist()), strict=True))
        wanted = {int(row): self._around(int(row), context) for row in rows}
        all_rows = sorted({row for rows in wanted.values() for row in rows})
        with self._named(self.id):
            taken = dict(zip(all_rows, map(Chunk.of, self._take(all_rows)), strict=True))
        return {
            int(self.ids[row]): widened(taken[row], [taken[r] for r in rows], context).record
            for row, rows in wanted.items()
        }

    def rows_with(
        self, terms: Sequence[bytes], languages: tuple[str, ...], live: Selection | None
    ) -> list[int]:
        """Return the `live` rows that hold all of some terms, in one of `languages` if any."""
        rows = self.lexical.rows_with(terms)
        among = self._selection(Filter(languages=languages), live)
        found: list[int] = (rows if among is None else rows[among.mask[rows]]).tolist()
        return found

    def row_of(self, chunk_id: int, live: Selection | None) -> int | None:
        """Return the `live` row of a chunk, or None where it is not here."""
        rows = self._rows_of(np.array([chunk_id], np.uint64)).tolist()
        return next((row for row in rows if live is None or live.mask[row]), None)

    def rows_of_file(self, path: str, live: Selection | None) -> list[int]:
        """Return the `live` rows of a file, in the order of its lines."""
        file = self._files["path"].index(path).as_py()
        if file < 0:
            return []
        first, size = (self._files[name][file].as_py() for name in ("first_row", "rows"))
        rows = range(first, first + size)
        return [row for row in rows if live is None or live.mask[row]]

    def path_of(self, row: int) -> str:
        """Return the file that a row is of."""
        path: str = self._files["path"][self._file_of(row)].as_py()
        return path

    def lines_of(self, row: int) -> tuple[int, int]:
        """Return a row's first and last line."""
        starts, ends = self._lines
        return int(starts[row]), int(ends[row])

    def symbols(self, rows: list[int]) -> list[str]:
        """Return the symbols of some rows."""
        with self._named(self.id):
            symbols: list[str] = self._rows.take(rows, columns=["symbol"])["symbol"].to_pylist()
        return symbols

    def chunks(self, rows: list[int]) -> list[Chunk]:
        """Return the chunks in some rows.

        Raises:
            LimitExceeded: That is more text than is read at once.
        """
        return [Chunk.of(record) for record in self._take(rows)]

    def vector(self, row: int) -> NDArray[np.float32]:
        """Return a row's vector as it was stored, float32 [d], unit length."""
        with self._named(self.id):
            vectors = matrix(self._rows.take([row], columns=["vector"])["vector"])
        vector: NDArray[np.float32] = vectors[0]
        return vector

    def drop_caches(self) -> None:
        """Give up what can be computed again."""
        self._selected.clear()
        self.lexical.drop_caches()
        for name in ("_files", "_lines", "_by_id"):
            self.__dict__.pop(name, None)

    def _dense(
        self,
        queries: Sequence[ShardQuery],
        selected: Mapping[Filter, Selection | None],
        share: float,
    ) -> list[Ranking | None]:
        alike: defaultdict[tuple[Filter, int], list[int]] = defaultdict(list)
        for number, query in enumerate(queries):
            if query.vector is not None:
                self._check_dimension(query.vector)
                alike[query.filter, query.depth].append(number)
        found: list[Ranking | None] = [None] * len(queries)
        for (wanted, depth), numbers in alike.items():
            vectors = np.array([queries[number].vector for number in numbers], np.float32)
            rankings = self.dense.search(vectors, depth, selected[wanted], share)
            for number, ranking in zip(numbers, rankings, strict=True):
                found[number] = ranking
        return found

    def _check_dimension(self, vector: NDArray[np.float32]) -> None:
        if len(vector) != self.dense.dimension:
            message = (
                f"the query's vector has {len(vector)} dimensions, and those of "
                f"{self._collection} have {self.dense.dimension}"
            )
            raise InvalidRequest(message)

    def _lexical(self, query: ShardQuery, among: Selection | None) -> Ranking | None:
        if query.terms is None:
            return None
        return self.lexical.search(query.terms, query.depth, None if among is None else among.mask)

    def _take(self, rows: list[int]) -> list[bytes]:
        with self._named(self.id):
            return self._texts.read(rows) if self._texts else self._take_columns(rows)

    def _take_columns(self, rows: list[int]) -> list[bytes]:
        """Read chunks, a few at a time, so that too much text is noticed before it is held."""
        taken: list[bytes] = []
        size = 0
        for first in range(0, len(rows), _ROWS_AT_ONCE):
            some = rows[first : first + _ROWS_AT_ONCE]
            table = self._rows.take(some, columns=CHUNK_COLUMNS)
            size += table.nbytes
            check_size(size, len(rows))
            taken += [Chunk(**columns).record for columns in table.to_pylist()]
        return taken

    def _opened_texts(self, folder: str) -> Texts | None:
        try:
            return Texts(self._storage.cache(f"{folder}/texts"))
        except FileNotFoundError:
            return None

    def _around(self, row: int, context: int) -> range:
        """Return the rows of the same file with lines within `context` of this row's."""
        file = self._file_of(row)
        begin, size = (self._files[name][file].as_py() for name in ("first_row", "rows"))
        starts, ends = (column[begin : begin + size] for column in self._lines)
        here = row - begin
        near = (ends >= starts[here] - context) & (starts <= ends[here] + context)
        rows = np.flatnonzero(near) + begin
        return range(int(rows[0]), int(rows[-1]) + 1)

    def _file_of(self, row: int) -> int:
        return int(np.searchsorted(self._files["first_row"].to_numpy(), row, "right")) - 1

    def _selection(self, wanted: Filter, live: Selection | None) -> Selection | None:
        """Return the rows that a query may find, or None for all."""
        if wanted == _EVERYTHING:
            return live
        found = self._selected.get((wanted, live))
        if found is None:
            if len(self._selected) >= _CACHED_FILTERS:
                self._selected.clear()
            matching = Selection(self._matching(wanted))
            found = matching if live is None else matching.and_(live)
            self._selected[wanted, live] = found
        return found

    def _matching(self, wanted: Filter) -> NDArray[np.bool_]:
        mask = np.ones(len(self.ids), np.bool_)
        if wanted.languages:
            names = np.isin(self._languages.dictionary.to_pylist(), wanted.languages)
            mask &= names[self._languages.indices.to_numpy()]
        if wanted.paths:
            mask &= np.repeat(self._files_matching(wanted.paths), self._files["rows"].to_numpy())
        if wanted.excluded:
            out = self._files_matching(wanted.excluded)
            mask &= ~np.repeat(out, self._files["rows"].to_numpy())
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

    @contextmanager
    def _named(self, part: str) -> Iterator[None]:
        """Turn what is raised over damaged files into an error that names the segment."""
        try:
            yield
        except UNREADABLE as error:
            folder = segment_folder(self._collection, self.id)
            if not self._storage.names(folder):
                raise missing(folder, self._storage) from error
            raise damaged(part, self._storage, error) from error
