"""What a collection holds of its files, and the generation that follows where some change."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from actors.catalog import Catalog, Manifest
from actors.errors import Conflict
from actors.index.merging import merged_since
from actors.index.stored import read_files, read_tombstones
from actors.index.writing import bury
from actors.messages import SegmentRef
from actors.storage import Storage


@dataclass(frozen=True, slots=True)
class Extent:
    """Where some of a file's chunks lie in a segment."""

    segment: str
    first_row: int
    rows: int


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file as a collection holds it: the hash of its bytes, and where its chunks lie."""

    content_hash: str
    extents: tuple[Extent, ...]


def stored_files(storage: Storage, manifest: Manifest) -> dict[str, StoredFile]:
    """Return every living file of a generation by its path."""
    hashes: dict[str, str] = {}
    extents: defaultdict[str, list[Extent]] = defaultdict(list)
    for ref in manifest.segments:
        for path, content_hash, extent in living_files(storage, manifest.collection, ref):
            hashes[path] = content_hash
            extents[path].append(extent)
    return {path: StoredFile(hashes[path], tuple(found)) for path, found in extents.items()}


def living_files(
    storage: Storage, collection: str, ref: SegmentRef
) -> Iterator[tuple[str, str, Extent]]:
    """Yield path, content hash and place of every living file of a segment."""
    dead = np.zeros(ref.rows, np.bool_)
    dead[read_tombstones(storage, collection, ref).rows] = True
    files = read_files(storage, collection, ref.id)
    columns = (files[name].to_pylist() for name in ("path", "content_hash", "first_row", "rows"))
    for path, content_hash, first_row, rows in zip(*columns, strict=True):
        if not dead[first_row]:
            yield path, content_hash, Extent(ref.id, first_row, rows)


def bury_files(
    storage: Storage, base: Manifest, gone: Iterable[StoredFile]
) -> dict[str, SegmentRef | None]:
    """Write tombstones for files; return segment id → its new reference, None where all is dead."""
    rows: defaultdict[str, list[NDArray[np.uint32]]] = defaultdict(list)
    for file in gone:
        for extent in file.extents:
            first = extent.first_row
            rows[extent.segment].append(np.arange(first, first + extent.rows, dtype=np.uint32))
    buried: dict[str, SegmentRef | None] = {}
    for ref in base.segments:
        if ref.id in rows:
            before = read_tombstones(storage, base.collection, ref).rows.astype(np.uint32)
            dead = np.concatenate((before, *rows[ref.id]))
            whole = len(dead) == ref.rows
            buried[ref.id] = None if whole else bury(storage, base.collection, ref, dead)
    return buried


def publish_change(
    storage: Storage,
    base: Manifest,
    gone: Mapping[str, StoredFile],
    written: Mapping[int, Sequence[SegmentRef]],
    writer: str,
    rebuilds: bool = False,
) -> Manifest:
    """Publish new segments in place of files that are `gone`, by path.

    Where merges came after `base`, it builds on these: they only moved what `base` holds.

    Args:
        storage: The root.
        base: The generation that is built on.
        gone: The files of it whose chunks no longer hold.
        written: The new segments of each shard.
        writer: Names the job.
        rebuilds: The base is empty and takes the place of the generation of its number: what
            merges did to that one does not matter.

    Raises:
        Conflict: Another writer changed the collection after `base`.
    """
    catalog = Catalog(storage)
    while True:
        buried = bury_files(storage, base, gone.values())
        try:
            return catalog.publish(replace(following(base, buried, written), writer=writer))
        except Conflict:
            merged = merged_since(catalog, base)
            if merged is None:
                raise
            if rebuilds:
                base = replace(base, generation=merged.generation)
                continue
            base = replace(merged, source=base.source, choice=base.choice)
            stored = stored_files(storage, merged)
            gone = {path: stored[path] for path in gone}


def following(
    base: Manifest,
    buried: Mapping[str, SegmentRef | None],
    written: Mapping[int, Sequence[SegmentRef]],
) -> Manifest:
    """Return the base with tombstones applied and new segments added to their shards."""

    def shard(number: int, refs: tuple[SegmentRef, ...]) -> tuple[SegmentRef, ...]:
        kept = (buried.get(ref.id, ref) for ref in refs)
        return (*(ref for ref in kept if ref), *written.get(number, ()))

    return replace(base, shards=tuple(shard(*numbered) for numbered in enumerate(base.shards)))


def in_scope(path: str, scopes: Collection[str]) -> bool:
    """Tell whether a stored path lies in one of the scopes ("" is all of the collection).

    Args:
        path: With forward slashes.
        scopes: Best as a set: a path is looked up, and each folder above it.
    """
    while path not in scopes:
        if not path:
            return False
        path = path.rpartition("/")[0]
    return True
