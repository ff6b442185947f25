"""Folders of a backup brought back under a root, under names of their own."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace

from actors.backups import copy_folder
from actors.drafts import Drafted, record_draft
from actors.index.renaming import rename_segment
from actors.index.stored import segment_folder, tombstone_folder
from actors.message import Message
from actors.messages import SegmentRef
from actors.storage import Storage


@dataclass(frozen=True, slots=True)
class Source(Message):
    """Where a collection is restored from, and as what.

    Attributes:
        place: The place of its backup, a folder or an object-store URI.
        collection: Its name there.
        name: Its name from now on.
    """

    place: str
    collection: str
    name: str


@dataclass(frozen=True, slots=True)
class Restored(Message):
    """A segment as it is under the root now, how many files that took, and how many were new."""

    ref: SegmentRef
    files: int
    new: int


def restore_segment(
    root: str, source: Source, old: SegmentRef, shard: int, drafts: str
) -> Restored:
    """Bring a segment back, without its dead rows, and record it for the next try.

    Args:
        root: Where it goes.
        source: Where it comes from.
        old: It, as the backup's manifest has it.
        shard: Whose it is.
        drafts: The folder that names it until it is published.

    Raises:
        CorruptData: A file is not what was written.
        StorageError: Root or place refused; what was written is gone again.
    """
    storage = Storage(root)
    ref = replace(old, id=secrets.token_hex(8), tombstones="", tombstones_digest="")
    ref = replace(ref, removed_rows=0, removed_length=0)
    folder = segment_folder(source.name, ref.id)
    with storage.whole(folder):
        copied = copy_folder(
            Storage(source.place), f"segments/{old.id}", storage, folder, old.digest
        )
    if source.name != source.collection:
        ref = _renamed(storage, source, ref)
    record_draft(storage, drafts, Drafted(shard, ref))
    return Restored(ref, copied.files, copied.new)


def restore_dead_rows(root: str, source: Source, old: SegmentRef, new: SegmentRef) -> Restored:
    """Bring the dead rows of a segment back; return the segment with them.

    Raises:
        CorruptData: A file is not what was written.
        StorageError: Root or place refused; what was written is gone again.
    """
    storage, name = Storage(root), secrets.token_hex(8)
    folder = tombstone_folder(source.name, name)
    with storage.whole(folder):
        copied = copy_folder(
            Storage(source.place),
            f"tombstones/{old.tombstones}",
            storage,
            folder,
            old.tombstones_digest,
        )
    ref = replace(
        new,
        tombstones=name,
        tombstones_digest=old.tombstones_digest,
        removed_rows=old.removed_rows,
        removed_length=old.removed_length,
    )
    return Restored(ref, copied.files, copied.new)


def _renamed(storage: Storage, source: Source, ref: SegmentRef) -> SegmentRef:
    """Write a segment again with ids of the collection's new name; the first copy goes."""
    renamed = secrets.token_hex(8)
    digest = rename_segment(storage, source.name, ref.id, source.collection, renamed)
    storage.delete(segment_folder(source.name, ref.id))
    return replace(ref, id=renamed, digest=digest)
