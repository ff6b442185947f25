"""Collections and their generations: numbered manifests, published one after the other.

    collections/<name>/manifests/00000012.json

The highest number is what is served. A manifest is created on base + 1 only where that name is
free, so of two writers on one base exactly one publishes. Deleting a collection publishes a
manifest that says so: a writer that comes late cannot bring it back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import takewhile

from pydantic import TypeAdapter, ValidationError

from actors.engines.base import Fingerprint
from actors.errors import Conflict, CorruptData, InvalidRequest, NotFound
from actors.messages import SegmentRef, ShardRef
from actors.scaling import SCALES
from actors.storage import AlreadyThere, Storage

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_WIDTH = 8
"""Digits of a manifest's number, so that names sort as numbers do."""
_DELETE_TRIES = 5
"""Writers take seconds from one publication to the next: mostly the second try succeeds."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """One published state of a collection.

    Attributes:
        collection: The collection's name.
        generation: Its number, from 1.
        model: Fingerprint of the model that made the vectors.
        shards: The segments of each shard.
        source: The folder or URI that was indexed, or "" where chunks were handed in.
        created_at: When it was published.
        writer: Names the job that published it.
        deleted: The collection is gone since this generation.
        model_name: The model's name, as `actors/engines/spec.py` reads it; "" stands for the
            cluster's default, and for whatever made vectors that were handed in.
    """

    collection: str
    generation: int
    model: Fingerprint
    shards: tuple[tuple[SegmentRef, ...], ...]
    source: str = ""
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    writer: str = ""
    deleted: bool = False
    model_name: str = ""

    @property
    def segments(self) -> Iterator[SegmentRef]:
        """All segments, shard after shard."""
        return (segment for shard in self.shards for segment in shard)

    @property
    def chunks(self) -> int:
        """Living chunks, the N of BM25."""
        return sum(segment.rows - segment.removed_rows for segment in self.segments)

    @property
    def total_length(self) -> int:
        """Terms in the living chunks."""
        return sum(segment.length - segment.removed_length for segment in self.segments)

    def shard(self, number: int) -> ShardRef:
        """Return what a host needs to know of one shard."""
        return ShardRef(self.collection, self.generation, number, self.shards[number])


_MANIFEST = TypeAdapter(Manifest)


class Catalog:
    """Reads and publishes manifests.

    Args:
        storage: The root.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def names(self) -> list[str]:
        """Return the names of all collections that are not deleted, sorted."""
        return [name for name in self.folders() if self._is_there(name)]

    def folders(self) -> list[str]:
        """Return the names of all collections, those included that are deleted or unpublished."""
        return [n for n in self._storage.names("collections") if _NAME.fullmatch(n)]

    def keep_out(self) -> None:
        """Keep a local root's own files out of what is indexed, where it lies in such a folder."""
        if self._storage.is_local:
            for folder in ("collections", SCALES):
                self._storage.put(f"{folder}/.gitignore", b"*\n")

    def get(self, collection: str) -> Manifest:
        """Return the newest generation.

        Raises:
            NotFound: There is no such collection.
            CorruptData: Its newest manifest cannot be read.
        """
        manifest = self.find(collection)
        if manifest is None:
            raise NotFound(self._missing(collection))
        return manifest

    def find(self, collection: str) -> Manifest | None:
        """Return the newest generation, or None where there is none or it says deleted."""
        manifest = self._newest(check_name(collection))
        return None if manifest is None or manifest.deleted else manifest

    def fingerprints(self) -> set[str]:
        """Return the vector spaces of all collections.

        Raises:
            CorruptData: A manifest is damaged, so that nobody knows which it needs.
        """
        found = map(self.find, self.names())
        return {str(manifest.model) for manifest in found if manifest}

    def since(self, base: Manifest) -> list[Manifest]:
        """Return the generations that were published after `base`, oldest first."""
        last = _manifest_file(base.collection, base.generation)
        return [self._read(name) for name in self._manifests(base.collection) if name > last]

    def publish(self, manifest: Manifest) -> Manifest:
        """Publish `manifest` as the generation after the one it names as its own.

        Raises:
            Conflict: Another writer published that generation first; nothing has changed.
        """
        following = replace(
            manifest, generation=manifest.generation + 1, created_at=datetime.now(UTC)
        )
        name = _manifest_file(following.collection, following.generation)
        try:
            self._storage.put_new(name, _MANIFEST.dump_json(following, indent=1))
        except AlreadyThere as error:
            message = (
                f"another writer changed collection {manifest.collection!r} meanwhile "
                f"(generation {following.generation} exists); run this again to build on it"
            )
            raise Conflict(message) from error
        return following

    def new(
        self, collection: str, model: Fingerprint, shards: int, source: str, model_name: str = ""
    ) -> Manifest:
        """Return an empty base to publish the first generation on, or the next after a deletion."""
        newest = self._newest(check_name(collection))
        generation = newest.generation if newest else 0
        empty = ((),) * shards
        return Manifest(collection, generation, model, empty, source, model_name=model_name)

    def delete(self, collection: str, writer: str = "") -> None:
        """Publish the end of a collection, then remove its files.

        What is left where this dies halfway, `remove_orphans` takes.

        Raises:
            NotFound: There is no such collection.
            Conflict: Others published, time and again, just before this could.
        """
        self._publish_end(collection, writer, _DELETE_TRIES)
        for part in ("segments", "tombstones"):
            self._storage.delete(f"collections/{collection}/{part}")

    def remove_orphans(self, collection: str, grace: timedelta) -> list[str]:
        """Remove segments and tombstones that no manifest since the last deletion names.

        What was touched within `grace` stays: it may be a writer's that has not published yet.
        """
        folder = f"collections/{collection}"
        there = [
            (f"{folder}/{part}/{name}", name)
            for part in ("segments", "tombstones")
            for name in self._storage.names(f"{folder}/{part}")
        ]
        old = [(path, name) for path, name in there if self._untouched(path, grace)]
        named = self._named(collection)  # last: what was published meanwhile is named in it
        orphans = [path for path, name in old if name not in named]
        for orphan in orphans:
            self._storage.delete(orphan)
        return orphans

    def _publish_end(self, collection: str, writer: str, tries: int) -> None:
        manifest = self.get(collection)
        empty = ((),) * len(manifest.shards)
        try:
            self.publish(replace(manifest, shards=empty, deleted=True, writer=writer))
        except Conflict:  # what came in between, as a merge, is to go as well
            if tries == 1:
                raise
            self._publish_end(collection, writer, tries - 1)

    def _is_there(self, collection: str) -> bool:
        """Tell whether a collection is to be listed; a damaged one is, so that it is not hidden."""
        try:
            return self.find(collection) is not None
        except CorruptData:
            return True

    def _named(self, collection: str) -> set[str]:
        """Return what the manifests name since the last deletion: nobody reads what was before."""
        newest_first = map(self._read, reversed(self._manifests(collection)))
        living = takewhile(lambda manifest: not manifest.deleted, newest_first)
        segments = [segment for manifest in living for segment in manifest.segments]
        return {s.id for s in segments} | {s.tombstones for s in segments}

    def _untouched(self, name: str, grace: timedelta) -> bool:
        changed = self._storage.last_change(name)
        return changed is not None and datetime.now(UTC) - changed >= grace

    def _newest(self, collection: str) -> Manifest | None:
        manifests = self._manifests(collection)
        return self._read(manifests[-1]) if manifests else None

    def _manifests(self, collection: str) -> list[str]:
        folder = f"collections/{collection}/manifests"
        return [
            f"{folder}/{name}" for name in self._storage.names(folder) if name.endswith(".json")
        ]

    def _read(self, name: str) -> Manifest:
        try:
            return _MANIFEST.validate_json(self._storage.read(name))
        except ValidationError as error:
            message = (
                f"{name} in {self._storage.root} is damaged "
                f"({error.errors()[0]['msg']}); restore the file, or delete it to go back one"
            )
            raise CorruptData(message) from error

    def _missing(self, collection: str) -> str:
        names = self.names()
        known = (
            f"there are: {', '.join(names)}" if names else "none exists yet; index a folder first"
        )
        return f"no collection {collection!r}; {known}"


def check_name(collection: str) -> str:
    """Return the name if it can name a collection, else raise InvalidRequest."""
    if _NAME.fullmatch(collection):
        return collection
    message = (
        f"{collection[:80]!r} cannot name a collection: take 1 to 63 of a-z, 0-9, '.', '_', '-', "
        "beginning with a letter or digit"
    )
    raise InvalidRequest(message)


def _manifest_file(collection: str, generation: int) -> str:
    return f"collections/{collection}/manifests/{generation:0{_WIDTH}}.json"
