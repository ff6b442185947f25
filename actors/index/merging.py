"""Merging segments: which ones, how their rows become one segment, how that takes their place.

A publish adds a small segment to each shard that it touches, and every search looks into each. So
segments of like size are merged, like piles of cards: each row is written again once for each tier
that it climbs, and a shard keeps a few segments of each tier (O'Neil et al. 1996, "The
log-structured merge-tree"; tiered, as Lucene does it). Smaller ones come along, for little more.
Where many rows are dead, a segment is written again without them.

A merge adds one generation on top of whatever is the newest then. It takes no lock, and nothing
waits for it: a search keeps the segments of its generation, and a merge that is killed leaves files
that no manifest names.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from actors.catalog import Catalog, Manifest
from actors.errors import Conflict, CorruptData
from actors.index.checksums import FolderWriter
from actors.index.lexical import read_postings
from actors.index.postings import join
from actors.index.rows import row_batches
from actors.index.stored import living_rows, segment_folder
from actors.index.texts import write_texts
from actors.index.writing import bury, finish_segment
from actors.messages import CHUNK_COLUMNS, SegmentRef
from actors.storage import Storage, storage_error

WRITER = "merge"
"""Writer of the generations that merges publish: they hold what the ones before them held."""
SMALLEST_TIER = 1000
"""Living rows up to which a segment counts as small: opening it costs more than searching it."""
FACTOR = 3
"""Segments of a tier that are merged, and how many times larger the next tier is: the fewer, the
more often a row is written, and the fewer segments a search looks into."""
MOST_AT_ONCE = 32
"""Segments in one merge; further ones wait for the next."""
LARGEST_ROWS = 1 << 18
"""Of a merged segment: its postings are put together in memory, some 60 pairs of 6 bytes a row."""
DEAD_SHARE = 1 / 3
"""Dead rows of a segment over all of its rows, from which it is written again without them."""
FEWEST_DEAD = 256
"""Dead rows that are worth it."""
_TRIES = 5
"""To publish, against others who publish meanwhile; then the next merge tries again."""


def due(segments: Sequence[SegmentRef]) -> tuple[SegmentRef, ...]:
    """Return which segments of a shard are to become one now, in their order; mostly none."""
    tiers: defaultdict[int, list[SegmentRef]] = defaultdict(list)
    for segment in sorted(segments, key=lambda s: (s.rows - s.removed_rows, s.id)):
        tiers[_tier(segment)].append(segment)
    smaller: list[SegmentRef] = []
    for _, alike in sorted(tiers.items()):
        if len(alike) >= FACTOR and len(_within_bounds(alike)) > 1:
            taken = _within_bounds([*alike, *smaller])
            return tuple(segment for segment in segments if segment in taken)
        smaller += alike
    dying = [s for s in segments if s.removed_rows >= max(FEWEST_DEAD, DEAD_SHARE * s.rows)]
    return tuple(dying[:1])


def merge_segments(
    storage: Storage, collection: str, sources: Sequence[SegmentRef]
) -> tuple[SegmentRef, list[NDArray[np.bool_]]]:
    """Write the living rows of some segments as a new one, bit for bit and in their order.

    Returns:
        The new segment, and which rows of each source it holds, bool [rows] each.

    Raises:
        CorruptData: A source is not what was written.
        StorageError: The root refused the write; what was written is gone again.
    """
    segment = secrets.token_hex(8)
    with storage.whole(segment_folder(collection, segment)):
        return _merged(storage, collection, sources, segment)


def put_in_place(
    storage: Storage,
    base: Manifest,
    shard: int,
    sources: Sequence[SegmentRef],
    merged: SegmentRef,
    living: Sequence[NDArray[np.bool_]],
) -> Manifest | None:
    """Publish a generation in which `merged` stands for its sources.

    Rows that others buried meanwhile are buried in the merged segment too.

    Returns:
        What was published; None where a source is gone, or others kept publishing.
    """
    catalog = Catalog(storage)
    for _ in range(_TRIES):
        newest = catalog.find(base.collection)
        found = _found(newest, shard, sources)
        if newest is None or found is None:
            return None
        dead = _buried_meanwhile(storage, base.collection, found, living)
        placed = bury(storage, base.collection, merged, dead) if len(dead) else merged
        gone = placed.removed_rows == placed.rows
        segments: list[SegmentRef] = []
        for ref in newest.shards[shard]:
            if ref not in found:
                segments.append(ref)
            elif ref == found[0] and not gone:
                segments.append(placed)
        shards = list(newest.shards)
        shards[shard] = tuple(segments)
        try:
            return catalog.publish(replace(newest, shards=tuple(shards), writer=WRITER))
        except Conflict:
            continue
    return None


def merged_since(catalog: Catalog, base: Manifest) -> Manifest | None:
    """Return the newest generation where all that came after `base` are merges, else None.

    It holds the same chunks as `base`, in other segments: a writer that built on `base` can build
    on it.
    """
    later = catalog.since(base)
    if not later or len(later) < later[-1].generation - base.generation:
        return None  # nothing came, or what came is gone again
    return later[-1] if all(m.writer == WRITER for m in later) else None


@dataclass(frozen=True, slots=True)
class Merge:
    """Segments of a shard that are to become one."""

    collection: str
    shard: int
    segments: tuple[SegmentRef, ...]


def all_due(manifest: Manifest) -> Iterator[Merge]:
    """Return the merges that a generation's shards are due."""
    for number, segments in enumerate(manifest.shards):
        chosen = due(segments)
        if chosen:
            yield Merge(manifest.collection, number, chosen)


def merge(root: str, wanted: Merge) -> Manifest | None:
    """Do a merge; return what was published, or None where the collection went another way."""
    storage = Storage(root)
    base = Catalog(storage).find(wanted.collection)
    sources = _found(base, wanted.shard, wanted.segments)
    if base is None or sources is None:
        return None
    merged, living = merge_segments(storage, wanted.collection, sources)
    return put_in_place(storage, base, wanted.shard, sources, merged, living)


def _merged(
    storage: Storage, collection: str, sources: Sequence[SegmentRef], segment: str
) -> tuple[SegmentRef, list[NDArray[np.bool_]]]:
    living = [living_rows(storage, collection, ref) for ref in sources]
    folder = segment_folder(collection, segment)
    files = _copy_rows(storage, collection, sources, living, f"{folder}/rows.lance")
    writer = FolderWriter(storage, folder)
    write_texts(writer, _batches(storage, collection, segment, CHUNK_COLUMNS))
    parts = [
        read_postings(storage.folder(f"{segment_folder(collection, ref.id)}/lexical"))
        for ref in sources
    ]
    postings = join(parts, living)
    rows = sum(int(alive.sum()) for alive in living)
    if not rows == len(postings.lengths) == files.num_rows:
        names = ", ".join(ref.id for ref in sources)
        message = f"segments {names} of {collection} hold other rows than their manifest says"
        raise CorruptData(message)
    return finish_segment(writer, segment, postings, files), living


def _tier(segment: SegmentRef) -> int:
    rows, tier = segment.rows - segment.removed_rows, 0
    while rows > SMALLEST_TIER * FACTOR**tier:
        tier += 1
    return tier


def _within_bounds(wanted: Sequence[SegmentRef]) -> list[SegmentRef]:
    """Return the first of some segments, as many as may be merged at once."""
    taken: list[SegmentRef] = []
    rows = 0
    for segment in wanted[:MOST_AT_ONCE]:
        rows += segment.rows - segment.removed_rows
        if rows > LARGEST_ROWS:
            break
        taken.append(segment)
    return taken


def _found(
    manifest: Manifest | None, shard: int, sources: Sequence[SegmentRef]
) -> list[SegmentRef] | None:
    """Return the segments as a generation has them now, or None where one is not there."""
    if manifest is None or shard >= len(manifest.shards):
        return None
    there = {ref.id: ref for ref in manifest.shards[shard]}
    found = [there[ref.id] for ref in sources if ref.id in there]
    return found if len(found) == len(sources) else None


def _buried_meanwhile(
    storage: Storage,
    collection: str,
    found: Sequence[SegmentRef],
    living: Sequence[NDArray[np.bool_]],
) -> NDArray[np.uint32]:
    """Return the rows of the merged segment that live no more, uint32."""
    now = [living_rows(storage, collection, ref) for ref in found]
    kept = np.concatenate([after[before] for after, before in zip(now, living, strict=True)])
    return np.flatnonzero(~kept).astype(np.uint32)


def _copy_rows(
    storage: Storage,
    collection: str,
    sources: Sequence[SegmentRef],
    living: Sequence[NDArray[np.bool_]],
    name: str,
) -> pa.Table:
    """Write the living rows to a new dataset, a few at a time; return their paths and hashes."""
    import lance  # noqa: PLC0415 - see segment.py

    files: list[pa.RecordBatch] = []

    def kept_rows() -> Iterator[pa.RecordBatch]:
        for ref, alive in zip(sources, living, strict=True):
            first = 0
            for batch in _batches(storage, collection, ref.id):
                kept = batch.filter(pa.array(alive[first : first + batch.num_rows]))
                first += batch.num_rows
                files.append(kept.select(["path", "content_hash"]))
                yield kept

    batches = kept_rows()
    first = next(batches)
    try:
        reader = pa.RecordBatchReader.from_batches(first.schema, chain((first,), batches))
        lance.write_dataset(reader, storage.uri(name), mode="create")
    except (OSError, ValueError) as error:
        raise storage_error(storage.root, f"merge into {name}", error) from error
    return pa.Table.from_batches(files)


def _batches(
    storage: Storage, collection: str, segment: str, columns: Sequence[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """Return a segment's rows a few at a time, in order.

    Raises:
        CorruptData: They cannot be read.
    """
    import lance  # noqa: PLC0415 - see segment.py

    name = f"{segment_folder(collection, segment)}/rows.lance"
    try:
        rows = lance.dataset(storage.uri(name))
        yield from row_batches(rows, columns)
    except (OSError, ValueError) as error:
        raise CorruptData(str(storage_error(storage.root, f"read {name}", error))) from error
