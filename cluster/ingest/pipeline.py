"""From files to segments, in plain functions; a job runs them as Ray tasks, block after block."""

from __future__ import annotations

import hashlib
import os
import socket
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from actors.catalog import Manifest
from actors.drafts import Drafted, record_draft
from actors.errors import NotFound
from actors.index.writing import ChunkBlock, chunk_block, chunk_table, write_segment
from actors.memory import data_limit, give_back
from actors.messages import Chunk, FileError, SegmentRef
from actors.priority import step_back
from actors.routing.place import shard_of
from actors.storage import Storage
from cluster.addresses import is_uri
from cluster.ingest.chunk import chunk
from cluster.ingest.read import Skip, SourceFile, read_text
from cluster.ingest.walk import UNREADABLE, FoundFile

BLOCK_BYTES = 1 << 20
"""Source bytes in a block: a second of work for one core, and a few MB on their way."""
BLOCK_FILES = 256
_FETCHES = 16
READ_HEADROOM_BYTES = 1 << 30
"""What reading a block may take: 1 MB of files, and syntax trees of some fifty times that."""
READ_TRIES = 2
"""To read one file: its reader may have died of something else, as of a cancelled job's end."""
CANNOT_BE_PARSED = "cannot be parsed"
"""Reason of a file that was left out because its reader died of it."""
SEGMENT_ROWS = 1 << 15
"""Chunks in a segment: what waits in Ray's shared memory until it is written, about 80 MB."""


@dataclass(frozen=True, slots=True)
class BlockOfFiles:
    """Files of one shard that are read, cut and embedded together.

    Attributes:
        collection: Where they go.
        root: The folder or object-store URI their paths are relative to.
        shard: Their shard.
        files: The files.
        known: Path → content hashes under which its chunks are there already.
        max_file_bytes: Larger files are skipped.
    """

    collection: str
    root: str
    shard: int
    files: tuple[FoundFile, ...]
    known: Mapping[str, frozenset[str]]
    max_file_bytes: int


@dataclass(frozen=True, slots=True)
class BlockSummary:
    """What became of a block's files.

    Attributes:
        chunks: Chunks cut from new and changed files.
        unchanged: Path → content hash of files whose chunks are there already.
        changed: Path → content hash of files whose chunks are new.
        skipped: Reason → files left out.
        errors: Those of them that broke something.
    """

    chunks: int
    unchanged: Mapping[str, str]
    changed: Mapping[str, str]
    skipped: Mapping[str, int]
    errors: tuple[FileError, ...] = ()


def blocks_of_files(
    base: Manifest,
    root: str,
    files: Iterable[FoundFile],
    known: Mapping[str, frozenset[str]],
    max_file_bytes: int,
) -> Iterator[BlockOfFiles]:
    """Group files by shard into blocks of bounded size, in the order they are found.

    Args:
        base: The generation that is built on.
        root: The folder their paths are relative to.
        files: The files.
        known: Path → content hashes under which its chunks are there already.
        max_file_bytes: Larger files are skipped.
    """
    waiting: defaultdict[int, list[FoundFile]] = defaultdict(list)
    sizes: Counter[int] = Counter()

    def block(shard: int) -> BlockOfFiles:
        taken = tuple(waiting.pop(shard))
        sizes[shard] = 0
        theirs = {f.path: known[f.path] for f in taken if f.path in known}
        return BlockOfFiles(base.collection, root, shard, taken, theirs, max_file_bytes)

    for file in files:
        shard = shard_of(file.path, len(base.shards))
        waiting[shard].append(file)
        sizes[shard] += file.size
        if sizes[shard] >= BLOCK_BYTES or len(waiting[shard]) >= BLOCK_FILES:
            yield block(shard)
    yield from map(block, list(waiting))


def read_block(block: BlockOfFiles) -> tuple[BlockSummary, ChunkBlock]:
    """Read a block's files, and cut those that are new or changed into chunks; see `cut_block`."""
    summary, table = cut_block(block)
    return summary, ChunkBlock.of(table)


def cut_block(block: BlockOfFiles) -> tuple[BlockSummary, pa.Table]:
    """Read a block's files, and cut those that are new or changed into rows of a table.

    The parser's memory can explode on crafted text and nothing inside it can be told to stop, so
    the process is capped meanwhile: it dies in place of the machine.

    Raises:
        NotFound: The folder is not there on this node.
        StorageError: The object store does not answer.
    """
    step_back()
    with data_limit(READ_HEADROOM_BYTES):
        return _cut_block(block)


def _cut_block(block: BlockOfFiles) -> tuple[BlockSummary, pa.Table]:
    if block.files and not is_uri(block.root) and not os.path.isdir(block.root):
        message = (
            f"folder {block.root} is not there on node {socket.gethostname()}: mount it on every "
            "node, index an object-store prefix, or send it with `shoal index --url`"
        )
        raise NotFound(message)
    chunks: list[Chunk] = []
    hashes: list[str] = []
    unchanged, changed = {}, {}
    errors: list[FileError] = []
    skipped: Counter[str] = Counter()
    for file in _texts(block):
        if isinstance(file, Skip):
            skipped[file.reason] += 1
            if file.reason == UNREADABLE:
                errors.append(FileError(file.path, file.reason))
        elif file.content_hash in block.known.get(file.path, ()):
            unchanged[file.path] = file.content_hash
        else:
            cut = chunk(file.path, file.text, file.language)
            chunks += cut
            hashes += [file.content_hash] * len(cut)
            changed[file.path] = file.content_hash
    summary = BlockSummary(len(chunks), unchanged, changed, dict(skipped), tuple(errors))
    return summary, chunk_table(block.collection, chunks, hashes)


def _texts(block: BlockOfFiles) -> Iterator[SourceFile | Skip]:
    """Read a block's files in order; from an object store, several at once: each is a wait."""
    read = partial(read_text, block.root, max_bytes=block.max_file_bytes)
    if not is_uri(block.root):
        yield from map(read, block.files)
        return
    with ThreadPoolExecutor(_FETCHES) as readers:
        yield from readers.map(read, block.files)


def halves(block: BlockOfFiles) -> tuple[BlockOfFiles, BlockOfFiles]:
    """Split a block's files, to find the one that its reader died of."""
    middle = len(block.files) // 2
    return replace(block, files=block.files[:middle]), replace(block, files=block.files[middle:])


def hand_made_block(collection: str, chunks: Sequence[Chunk], copies: Sequence[int]) -> ChunkBlock:
    """Tabulate chunks that a caller made; there is no file to hash, so each text is hashed."""
    hashes = [hashlib.blake2b(c.text.encode(), digest_size=16).hexdigest() for c in chunks]
    return chunk_block(collection, chunks, hashes, copies)


def write_blocks(
    root: str,
    collection: str,
    shard: int,
    drafts: str,
    *parts: ChunkBlock | NDArray[np.float32],
) -> SegmentRef:
    """Write a segment from blocks followed by their vectors, as many of these as of those.

    They come as separate arguments because Ray fetches only top-level arguments itself.

    Args:
        root: The storage root.
        collection: Where the segment goes.
        shard: Its shard.
        drafts: The folder that is to name it until it is published; "" for none.
        parts: Blocks, then vectors.
    """
    step_back()
    half = len(parts) // 2
    storage = Storage(root)
    try:
        written = write_segment(storage, collection, parts[:half], parts[half:])  # type: ignore[arg-type]
        if drafts:
            record_draft(storage, drafts, Drafted(shard, written))
        return written
    finally:
        give_back()
