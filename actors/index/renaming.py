"""A segment for a collection of another name: chunk ids are unique over all collections.

They are hashes that begin with the collection's name (`writing.py`), and lie in the rows alone. So
the rows are written again with other ids, and all else of a segment is as it was, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from actors.index.checksums import CHECKSUMS, FolderWriter, read_sums
from actors.index.rows import row_batches
from actors.index.stored import segment_folder
from actors.storage import Storage, new_hash, storage_error

_ROWS = "rows.lance"


def rename_segment(storage: Storage, collection: str, segment: str, was: str, renamed: str) -> str:
    """Write a segment again with the ids of its present collection; return its new digest.

    Args:
        storage: The root.
        collection: Where it lies now.
        segment: Its id, under which it has a collection's ids that was called otherwise.
        was: How that was called.
        renamed: The id under which it is written again; nobody else uses it.

    Raises:
        CorruptData: It is not what was written.
        StorageError: The root refused the write; what was written is gone again.
    """
    old, new = (segment_folder(collection, each) for each in (segment, renamed))
    sums, _ = read_sums(storage, old)
    with storage.whole(new):
        _write_rows(storage, old, new, _salt(was, collection))
        writer = FolderWriter(storage, new)
        for name, (size, digest) in sums.items():
            if not name.startswith(f"{_ROWS}/") and name != CHECKSUMS:
                storage.put_pieces(f"{new}/{name}", storage.pieces(f"{old}/{name}"), size)
                writer.note(name, size, digest)
        return writer.seal()


def _salt(was: str, collection: str) -> np.uint64:
    """Return what turns ids of one collection into those of another, each into one of its own."""
    return np.uint64(int.from_bytes(new_hash(f"{was}\0{collection}".encode()).digest()[:8], "big"))


def _write_rows(storage: Storage, old: str, new: str, salt: np.uint64) -> None:
    import lance  # noqa: PLC0415 - see segment.py

    try:
        rows = lance.dataset(storage.uri(f"{old}/{_ROWS}"))
        at = rows.schema.get_field_index("id")

        def batches() -> Iterator[pa.RecordBatch]:
            for batch in row_batches(rows):
                ids = batch.column("id").to_numpy() ^ salt
                yield batch.set_column(at, "id", pa.array(ids, pa.uint64()))

        reader = pa.RecordBatchReader.from_batches(rows.schema, batches())
        lance.write_dataset(reader, storage.uri(f"{new}/{_ROWS}"), mode="create")
    except (OSError, ValueError) as error:
        raise storage_error(storage.root, f"write {new}", error) from error
