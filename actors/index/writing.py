"""Writing segments and tombstones; nothing is visible until a manifest names it."""

from __future__ import annotations

import hashlib
import io
import secrets
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from actors.index.checksums import FolderWriter
from actors.index.dense import normalised
from actors.index.lexical import LexicalIndex, files_of
from actors.index.postings import Postings, TermBlock, count_terms, merge
from actors.index.stored import segment_folder, tombstone_folder
from actors.index.texts import write_texts
from actors.messages import Chunk, SegmentRef
from actors.storage import Storage, storage_error

_ROWS_AT_ONCE = 1024
"""Chunks that are turned into plain text files together."""

_SCHEMA = pa.schema(
    [
        ("id", pa.uint64()),
        ("path", pa.string()),
        ("start_line", pa.int32()),
        ("end_line", pa.int32()),
        ("language", pa.string()),
        ("symbol", pa.string()),
        ("content_hash", pa.string()),
        ("text", pa.string()),
    ]
)
_SIGNATURE = pa.field("signature", pa.string())
"""Part of the vectors and terms, which are never made again from rows; so it is not written."""


@dataclass(frozen=True, slots=True)
class ChunkBlock:
    """The chunks of some whole files, ready to be embedded and written.

    Attributes:
        table: One row per chunk (`_SCHEMA` and `_SIGNATURE`), a file's chunks next to each other.
        terms: Their terms, in the same order.
    """

    table: pa.Table
    terms: TermBlock

    @classmethod
    def of(cls, table: pa.Table) -> ChunkBlock:
        """Count the terms of a table's chunks."""
        return cls(table, count_terms(texts_of(table)))

    @property
    def texts(self) -> list[str]:
        """What is embedded, one text per chunk."""
        return texts_of(self.table)


def texts_of(table: pa.Table) -> list[str]:
    """Return what both sides index of a table of chunks, one text each."""
    columns = (table[name].to_pylist() for name in ("path", "symbol", "text", "signature"))
    return [searchable_text(*row) for row in zip(*columns, strict=True)]


def searchable_text(path: str, symbol: str, text: str, signature: str = "") -> str:
    """Return what both sides index of a chunk: where it stands, then what it says."""
    return "\n".join(filter(None, (f"{path} {symbol}", signature, text)))


def chunk_block(
    collection: str,
    chunks: Sequence[Chunk],
    content_hashes: Sequence[str],
    copies: Sequence[int] | None = None,
) -> ChunkBlock:
    """Number, tokenise and tabulate chunks; for the arguments see `chunk_table`."""
    return ChunkBlock.of(chunk_table(collection, chunks, content_hashes, copies))


def chunk_table(
    collection: str,
    chunks: Sequence[Chunk],
    content_hashes: Sequence[str],
    copies: Sequence[int] | None = None,
) -> pa.Table:
    """Number and tabulate chunks, one row each.

    Args:
        collection: Where they go.
        chunks: The chunks.
        content_hashes: Those of their files.
        copies: Their copy numbers; needed where a file's chunks lie in several blocks.
    """
    columns = {
        "id": chunk_ids(collection, chunks, copies),
        "content_hash": list(content_hashes),
        **{name: [getattr(c, name) for c in chunks] for name in Chunk.__slots__},
    }
    return pa.table(columns, schema=_SCHEMA.append(_SIGNATURE))


def chunk_ids(
    collection: str, chunks: Sequence[Chunk], copies: Sequence[int] | None = None
) -> list[int]:
    """Return an id for each chunk that moves with its text, unique over collections.

    It is the hash of collection, path, text, and which copy of that text in the file it is.
    """
    if copies is None:
        copies = copy_numbers(chunks, Counter())
    numbered = zip(chunks, copies, strict=True)
    digests = (_digest(collection, c.path, c.text, str(copy)) for c, copy in numbered)
    return [int.from_bytes(digest, "big") for digest in digests]


def copy_numbers(chunks: Sequence[Chunk], seen: Counter[bytes]) -> list[int]:
    """Return how many of the same path and text came before each chunk, and count it in `seen`."""
    copies = []
    for chunk in chunks:
        key = _digest(chunk.path, chunk.text)
        copies.append(seen[key])
        seen[key] += 1
    return copies


def write_segment(
    storage: Storage,
    collection: str,
    blocks: Sequence[ChunkBlock],
    vectors: Sequence[NDArray[np.float32]],
) -> SegmentRef:
    """Write blocks and their vectors, float32 [rows, d] each, as a new segment.

    Raises:
        StorageError: The root refused the write; what was written is gone again.
    """
    segment = secrets.token_hex(8)
    folder = segment_folder(collection, segment)
    table = pa.concat_tables([block.table for block in blocks]).select(_SCHEMA.names)
    with storage.whole(folder):
        _write_rows(storage, f"{folder}/rows.lance", table, normalised(np.concatenate(vectors)))
        writer = FolderWriter(storage, folder)
        write_texts(writer, table.to_batches(max_chunksize=_ROWS_AT_ONCE))
        return finish_segment(writer, segment, merge([block.terms for block in blocks]), table)


def finish_segment(
    writer: FolderWriter, segment: str, postings: Postings, files: pa.Table
) -> SegmentRef:
    """Write what a segment has beside its rows and texts; return what a manifest says of it.

    Args:
        writer: Writes the segment's folder.
        segment: Its id.
        postings: Those of all its rows.
        files: The columns path and content_hash of all its rows.
    """
    writer.put_arrays(files_of(postings), "lexical/")
    writer.put("files.arrow", files_table(files))
    length = int(postings.lengths.sum(dtype=np.int64))
    return SegmentRef(segment, len(postings.lengths), length, digest=writer.seal())


def bury(
    storage: Storage, collection: str, ref: SegmentRef, dead: NDArray[np.uint32]
) -> SegmentRef:
    """Write tombstones for `dead`, all dead rows of the segment, and return the new reference."""
    lexical = LexicalIndex(
        storage.folder(f"{segment_folder(collection, ref.id)}/lexical"), np.empty(0, np.uint64)
    )
    mask = np.zeros(ref.rows, np.bool_)
    mask[dead] = True
    terms, lost = lexical.live_frequencies_lost(mask)
    name = secrets.token_hex(8)
    arrays: dict[str, NDArray[Any]] = {
        "rows.npy": np.flatnonzero(mask),
        "terms.npy": terms,
        "lost.npy": lost,
    }
    writer = FolderWriter(storage, tombstone_folder(collection, name))
    writer.put_arrays(arrays)
    return replace(
        ref,
        tombstones=name,
        tombstones_digest=writer.seal(),
        removed_rows=int(mask.sum()),
        removed_length=int(lexical.lengths[mask].sum(dtype=np.int64)),
    )


def _digest(*parts: str) -> bytes:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=8).digest()


def _write_rows(storage: Storage, name: str, table: pa.Table, vectors: NDArray[np.float32]) -> None:
    import lance  # noqa: PLC0415 - see segment.py

    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
    try:
        lance.write_dataset(table.append_column("vector", column), storage.uri(name), mode="create")
    except (OSError, ValueError) as error:
        raise storage_error(storage.root, f"write {name}", error) from error


def files_table(table: pa.Table) -> bytes:
    """Return `files.arrow` for rows with columns path and content_hash, file after file."""
    paths = table["path"].to_pylist()
    first = [row for row, path in enumerate(paths) if row == 0 or path != paths[row - 1]]
    files = pa.table(
        {
            "path": [paths[row] for row in first],
            "content_hash": table["content_hash"].take(first),
            "first_row": pa.array(first, pa.int64()),
            "rows": pa.array(np.diff([*first, len(paths)]), pa.int64()),
        }
    )
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, files.schema) as writer:
        writer.write_table(files)
    return sink.getvalue()
