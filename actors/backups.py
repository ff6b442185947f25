"""Backups of collections: the files of one generation in another place, and a record of them.

    segments/<id>/…  tombstones/<id>/…                     as they lie under the root
    backups/<collection>/00000012-20261126T182200Z-<hash>.json

A record is the generation's manifest, written once all that it names is there, and its name holds
the hash of its content. It pins each folder by the hash of that folder's `checksums.json`, and so
every byte. Folders have names that are given once, so that a second backup to the same place copies
what is new alone; a folder is whole once its `checksums.json`, which comes last, is there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pydantic import TypeAdapter, ValidationError

from actors.catalog import Manifest, check_name
from actors.errors import CorruptData, NotFound
from actors.index.checksums import CHECKSUMS, FolderWriter, Sums, read_sums
from actors.index.stored import segment_folder, tombstone_folder
from actors.leases import utc_now
from actors.message import Message
from actors.messages import SegmentRef
from actors.storage import PARTIAL, FileInfo, Storage, new_hash

_RECORDS = "backups"
_NAME = re.compile(r"(\d{8,})-(\d{8}T\d{6}Z)-([0-9a-f]{32})\.json")
_TIME = "%Y%m%dT%H%M%SZ"
_ABANDONED = timedelta(hours=1)
_MANIFEST = TypeAdapter(Manifest)


@dataclass(frozen=True, slots=True)
class Folder(Message):
    """A folder of a root that a backup holds.

    Attributes:
        source: Its name below the root.
        kept: Its name in the backup.
        digest: Hash of its checksums, or "" where it has none.
    """

    source: str
    kept: str
    digest: str


@dataclass(frozen=True, slots=True)
class Copied(Message):
    """What became of the files of a folder.

    Attributes:
        files: How many there are.
        size: Their bytes.
        new: How many of them were copied; the others were there.
        digest: Hash of its checksums.
    """

    files: int
    size: int
    new: int
    digest: str


@dataclass(frozen=True, slots=True)
class Record:
    """One backup of a collection.

    Attributes:
        name: Of its file.
        collection: What was backed up.
        generation: Its generation.
        made_at: When.
    """

    name: str
    collection: str
    generation: int
    made_at: datetime


class Backups:
    """The backups in one place.

    Args:
        storage: The place.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def collections(self) -> list[str]:
        """Return the names of the collections that have been backed up, sorted."""
        return self._storage.names(_RECORDS)

    def all(self, collection: str) -> list[Record]:
        """Return a collection's backups, oldest first."""
        names = self._storage.names(f"{_RECORDS}/{check_name(collection)}")
        found = [record for name in names if (record := _record(collection, name))]
        return sorted(found, key=lambda record: (record.made_at, record.generation))

    def find(self, collection: str, generation: int | None = None) -> Record:
        """Return a collection's newest backup, or its newest of one generation.

        Raises:
            NotFound: There is none.
        """
        records = self.all(collection)
        fitting = [r for r in records if generation in (None, r.generation)]
        if fitting:
            return fitting[-1]
        if records:
            there = ", ".join(str(record.generation) for record in records)
            message = (
                f"{self._storage.root} holds no backup of generation {generation} of "
                f"{collection!r}; it holds: {there}"
            )
        else:
            there = ", ".join(self.collections()) or "nothing"
            message = f"{self._storage.root} holds no backup of {collection!r}; it holds: {there}"
        raise NotFound(message)

    def manifest(self, record: Record) -> Manifest:
        """Return the generation that a backup holds.

        Raises:
            CorruptData: Its record is not what was written.
        """
        name = f"{_RECORDS}/{record.collection}/{record.name}"
        try:
            content = self._storage.read(name)
            manifest = _MANIFEST.validate_json(content)
        except (FileNotFoundError, ValidationError) as error:
            raise CorruptData(_not_as_written(self._storage, name)) from error
        if new_hash(content).hexdigest() not in record.name:
            raise CorruptData(_not_as_written(self._storage, name))
        return manifest

    def keep(self, manifest: Manifest) -> None:
        """Write the record of a generation whose folders are all here, unless the newest is it."""
        content = _MANIFEST.dump_json(manifest, indent=1)
        digest = new_hash(content).hexdigest()
        records = self.all(manifest.collection)
        if records and digest in records[-1].name:
            return
        name = f"{manifest.generation:08}-{utc_now().strftime(_TIME)}-{digest}.json"
        self._storage.put(f"{_RECORDS}/{manifest.collection}/{name}", content)


def folders_of(manifest: Manifest) -> Iterator[Folder]:
    """Return the folders that a generation needs, segments before tombstones."""
    name = manifest.collection
    for ref in manifest.segments:
        yield Folder(segment_folder(name, ref.id), f"segments/{ref.id}", ref.digest)
    for ref in manifest.segments:
        if ref.tombstones:
            source, kept = tombstone_folder(name, ref.tombstones), f"tombstones/{ref.tombstones}"
            yield Folder(source, kept, ref.tombstones_digest)


def pinned(manifest: Manifest, digests: Mapping[str, str]) -> Manifest:
    """Return a manifest that pins every folder.

    Args:
        manifest: The generation's own; what was written without checksums is not pinned by it.
        digests: Name of a folder in the backup → hash of its checksums there.
    """

    def one(ref: SegmentRef) -> SegmentRef:
        dead = digests[f"tombstones/{ref.tombstones}"] if ref.tombstones else ""
        return replace(ref, digest=digests[f"segments/{ref.id}"], tombstones_digest=dead)

    return replace(manifest, shards=tuple(tuple(map(one, shard)) for shard in manifest.shards))


def copy_folder(source: Storage, folder: str, target: Storage, to: str, digest: str) -> Copied:
    """Copy a folder, its checksums last, and compare each file with what these say.

    What is there already, whole, is not copied again.

    Args:
        source: Where it lies.
        folder: Its name there.
        target: Where it goes.
        to: Its name there.
        digest: Hash of its checksums; "" for one that has none, which is sealed in the copy.

    Raises:
        CorruptData: A file is missing or not what was written; its copy is gone again.
        StorageError: Either place refused.
    """
    there = target.files(to)
    _remove_leavings(target, to, there)
    if digest or CHECKSUMS in there:
        sums, content = read_sums(*((source, folder, digest) if digest else (target, to)))
        whole = _holds(there, sums) and target.read(f"{to}/{CHECKSUMS}") == content
        copied = Copied(
            len(sums), sum(size for size, _ in sums.values()), 0, new_hash(content).hexdigest()
        )
        if whole or not digest:
            return copied
        for name, (size, wanted) in sums.items():
            if _copy(source, f"{folder}/{name}", target, f"{to}/{name}", size) != wanted:
                target.remove(f"{to}/{name}")
                raise CorruptData(_not_as_written(source, f"{folder}/{name}"))
        target.put(f"{to}/{CHECKSUMS}", content)
        return replace(copied, new=copied.files)
    return _copied_and_sealed(source, folder, target, to)


def _holds(there: Mapping[str, FileInfo], sums: Sums) -> bool:
    """Tell whether a folder has all files, of the sizes that they are to have, and is sealed."""
    sizes = {name: file.size for name, file in there.items()}
    return CHECKSUMS in sizes and all(sizes.get(name) == size for name, (size, _) in sums.items())


def _remove_leavings(target: Storage, to: str, there: Mapping[str, FileInfo]) -> None:
    """Remove what writers left that were killed; a young one may be at work."""
    for name, file in there.items():
        if name.endswith(PARTIAL) and utc_now() - file.changed > _ABANDONED:
            target.remove(f"{to}/{name}")


def _copy(source: Storage, name: str, target: Storage, to: str, size: int) -> str:
    """Copy a file piece by piece, and return the hash of what was read."""
    digest = new_hash()

    def pieces() -> Iterator[bytes]:
        for piece in source.pieces(name):
            digest.update(piece)
            yield piece

    try:
        target.put_pieces(to, pieces(), size)
    except FileNotFoundError as error:
        raise CorruptData(_not_as_written(source, name)) from error
    return digest.hexdigest()


def _copied_and_sealed(source: Storage, folder: str, target: Storage, to: str) -> Copied:
    """Copy a folder of the days before checksums; the copy has them."""
    writer, files = FolderWriter(target, to), source.files(folder)
    files.pop(CHECKSUMS, None)  # nothing pins it
    for name, file in files.items():
        digest = _copy(source, f"{folder}/{name}", target, f"{to}/{name}", file.size)
        writer.note(name, file.size, digest)
    size = sum(file.size for file in files.values())
    return Copied(len(files), size, len(files), writer.seal())


def _record(collection: str, name: str) -> Record | None:
    parts = _NAME.fullmatch(name)
    if parts is None:
        return None
    made_at = datetime.strptime(f"{parts[2]}+0000", f"{_TIME}%z")
    return Record(name, collection, int(parts[1]), made_at)


def _not_as_written(storage: Storage, name: str) -> str:
    return f"{name} in {storage.root} is missing or is not what was written"
