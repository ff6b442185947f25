"""The chunks of a segment as text, one read of a plain file each.

segments/<id>/texts/rows.bin   a JSON array of a chunk's fields per row, one after the other
segments/<id>/texts/ends.npy   int64 [rows + 1], where each row begins and ends

Lance keeps the same in columns, and takes 1.6 ms to put twenty rows together (measured over
100,000 rows); reading them here takes 0.1 ms. A segment without these files, as on an object store,
is read from Lance.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from actors.errors import LimitExceeded
from actors.index.checksums import FolderWriter
from actors.messages import CHUNK_COLUMNS, Chunk, fields_of
from actors.storage import new_hash, storage_error

MAX_READ_BYTES = 64 << 20
"""Of chunks for one query: some 90,000 ordinary ones; no answer shows a hundredth of it."""
_MOST_LINES = 1_000_000
_ROWS, _ENDS = "rows.bin", "ends.npy"


def write_texts(writer: FolderWriter, batches: Iterable[pa.RecordBatch]) -> None:
    """Write the chunks of a segment's rows beside it; on local roots only.

    Raises:
        StorageError: The root refused the write.
    """
    storage, name = writer.storage, f"texts/{_ROWS}"
    if not storage.is_local:
        return
    path = storage.cache(f"{writer.folder}/{name}")
    hasher = new_hash()
    sizes = [0]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            for batch in batches:
                columns = batch.select(CHUNK_COLUMNS).columns
                for row in zip(*(column.to_pylist() for column in columns), strict=True):
                    record = Chunk(*row).record
                    hasher.update(record)
                    sizes.append(file.write(record))
    except OSError as error:
        raise storage_error(storage.root, f"write {writer.folder}/{name}", error) from error
    ends = np.cumsum(sizes, dtype=np.int64)
    writer.note(name, int(ends[-1]), hasher.hexdigest())
    writer.put_arrays({f"texts/{_ENDS}": ends})


class Texts:
    """Reads chunks of one segment; what is read is not kept.

    Args:
        folder: Where `write_texts` put them.

    Raises:
        FileNotFoundError: There are none.
    """

    def __init__(self, folder: Path) -> None:
        ends = np.load(folder / _ENDS, mmap_mode="r", allow_pickle=False)
        self._ends: NDArray[np.int64] = np.asarray(ends)
        self._file = os.open(folder / _ROWS, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)  # a segment closes when its last user is done

    def read(self, rows: Sequence[int]) -> list[bytes]:
        """Return the records of the chunks in `rows`.

        Raises:
            LimitExceeded: That is more text than is read at once.
            ValueError: What is there is not what was written.
        """
        places = np.array(rows, np.int64)
        starts = self._ends[places]
        sizes = self._ends[places + 1] - starts
        check_size(int(sizes.sum()), len(places))
        bounds = zip(sizes.tolist(), starts.tolist(), strict=True)
        return [_sound(os.pread(self._file, size, start)) for size, start in bounds]


def check_size(size: int, rows: int) -> None:
    """Raise LimitExceeded where `size` bytes are too much for one query."""
    if size > MAX_READ_BYTES:
        message = (
            f"{rows} chunks are over {MAX_READ_BYTES >> 20} MiB of text; ask for fewer hits, or "
            "for less context"
        )
        raise LimitExceeded(message)


def widened(chunk: Chunk, around: list[Chunk], context: int) -> Chunk:
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


def joined(chunks: Sequence[Chunk], first: int, last: int) -> Chunk:
    """Return lines of a file, put together of its chunks; its symbol is theirs if they share it.

    Args:
        chunks: Those with the lines, one at least, in the order of the file.
        first: First line.
        last: Last line.

    Raises:
        LimitExceeded: They are too many.
    """
    if last - first >= _MOST_LINES:
        message = f"lines {first}-{last} are over {_MOST_LINES} at once; ask for fewer"
        raise LimitExceeded(message)
    lines: dict[int, str] = {}
    for chunk in chunks:
        if not _has_own_lines(chunk):
            lines[max(chunk.start_line, first)] = chunk.text
        elif chunk.start_line == chunk.end_line:  # a long line is spread over several chunks
            lines[chunk.start_line] = lines.get(chunk.start_line, "") + chunk.text
        else:
            numbers = range(chunk.start_line, chunk.end_line + 1)
            lines.update(zip(numbers, chunk.text.split("\n"), strict=True))
    text = "\n".join(lines.get(number, "") for number in range(first, last + 1))
    symbols = {chunk.symbol for chunk in chunks}
    symbol = symbols.pop() if len(symbols) == 1 else ""
    return Chunk(chunks[0].path, first, last, chunks[0].language, symbol, text)


def _has_own_lines(chunk: Chunk) -> bool:
    """Tell whether the text is that of its lines; a chunk that was handed in may say otherwise."""
    return chunk.text.count("\n") == chunk.end_line - chunk.start_line


def _sound(record: bytes) -> bytes:
    fields_of(record)  # else it would fail a whole answer, where here it is one shard's damage
    return record
