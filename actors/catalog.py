"""Collections and their generations: numbered manifests, published one after the other.

    collections/<name>/manifests/00000012.json

The highest number is what is served. A manifest is created on base + 1 only where that name is
free, so of two writers on one base exactly one publishes. Deleting a collection publishes a
manifest that says so: a writer that comes late cannot bring it back. Old manifests go, and their
numbers never come again (`retention.py`).
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import takewhile
from pathlib import PurePosixPath

from pydantic import TypeAdapter, ValidationError

from actors.choice import EVERYTHING, Choice
from actors.engines.base import Fingerprint
from actors.errors import Conflict, CorruptData, InvalidRequest, NotFound
from actors.leadership import LEADERS
from actors.leases import Clock, utc_now
from actors.messages import SegmentRef, ShardRef
from actors.scaling import SCALES
from actors.storage import AlreadyThere, Storage

JOBS = "jobs"
"""The folder below the root where `actors/job_book.py` keeps jobs."""
_NUMBERED = re.compile(r"\d+\.json")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_WIDTH = 8
"""Digits of a manifest's number, so that names sort as numbers do."""
_DELETE_TRIES = 5
"""Writers take seconds from one publication to the next: mostly the second try succeeds."""
_SURELY_BEFORE = timedelta(minutes=30)
"""More than the clocks of one storage differ by, and less than manifests stay once superseded."""


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
        choice: Which files of the source it takes.
    """

    collection: str
    generation: int
    model: Fingerprint
    shards: tuple[tuple[SegmentRef, ...], ...]
    source: str = ""
    created_at: datetime = field(default_factory=utc_now)
    writer: str = ""
    deleted: bool = False
    model_name: str = ""
    choice: Choice = EVERYTHING

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
        shards = len(self.shards)
        return ShardRef(self.collection, self.generation, number, self.shards[number], shards)


_MANIFEST = TypeAdapter(Manifest)


class Catalog:
    """Reads and publishes manifests.

    Args:
        storage: The root.
        clock: Tells the time.
    """

    def __init__(self, storage: Storage, clock: Clock = utc_now) -> None:
        self._storage = storage
        self._clock = clock

    def names(self) -> list[str]:
        """Return the names of all collections that are not deleted, sorted."""
        return [name for name in self.folders() if self._is_there(name)]

    def folders(self) -> list[str]:
        """Return the names of all collections, those included that are deleted or unpublished."""
        return [n for n in self._storage.names("collections") if _NAME.fullmatch(n)]

    def keep_out(self) -> None:
        """Keep a local root's own files out of what is indexed, where it lies in such a folder."""
        if self._storage.is_local:
            for folder in ("collections", SCALES, JOBS, LEADERS):
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
        manifest = self._newest(collection)
        return None if manifest is None or manifest.deleted else manifest

    def fingerprints(self) -> set[str]:
        """Return the vector spaces of all collections.

        Raises:
            CorruptData: A manifest is damaged, so that nobody knows which it needs.
        """
        found = map(self.find, self.names())
        return {str(manifest.model) for manifest in found if manifest}

    def since(self, base: Manifest) -> list[Manifest]:
        """Return the generations after `base` that are retained, oldest first."""
        return self._read_all(base.collection, self.numbers(base.collection, base.generation))

    def all(self, collection: str) -> list[Manifest]:
        """Return the generations that are retained, oldest first, deletions included."""
        return self._read_all(collection, self.numbers(collection))

    def numbers(self, collection: str, after: int = 0) -> list[int]:
        """Return the numbers of the retained generations after one, ascending."""
        names = self._storage.names(_manifests(check_name(collection)))
        found = (int(name.removesuffix(".json")) for name in names if _NUMBERED.fullmatch(name))
        return [number for number in found if number > after]

    def read(self, collection: str, number: int) -> Manifest | None:
        """Return a generation, or None where it is not retained.

        Raises:
            CorruptData: Its manifest is damaged.
        """
        name = _manifest_file(collection, number)
        try:
            return _MANIFEST.validate_json(self._storage.read(name))
        except FileNotFoundError:
            return None
        except ValidationError as error:
            message = (
                f"{name} in {self._storage.root} is damaged "
                f"({error.errors()[0]['msg']}); restore the file, or delete it to go back one"
            )
            raise CorruptData(message) from error

    def retained(self, collection: str, generation: int) -> Manifest:
        """Return a generation whose files are all kept.

        Raises:
            NotFound: It is not retained, or the collection was deleted after it.
            CorruptData: Its manifest cannot be read.
        """
        numbers = self.numbers(collection)
        if not numbers:
            raise NotFound(self._missing(collection))
        found = self.read(collection, generation) if generation in numbers else None
        for number in (n for n in numbers if n >= generation):
            if self._ends(collection, number):
                message = (
                    f"collection {collection!r} was deleted with generation {number}, and all that "
                    "it held before; index it again"
                )
                raise NotFound(message)
        if found is None:
            there = ", ".join(map(str, numbers))
            message = f"generation {generation} of {collection!r} is not kept; there are: {there}"
            raise NotFound(message)
        return found

    def generation_of(self, writer: str, collection: str, since: datetime) -> int:
        """Return the generation that a writer published since then, or 0 for none.

        Raises:
            CorruptData: A manifest is damaged, so that nobody knows who wrote it.
        """
        numbers = reversed(self.numbers(collection))
        newest_first = (m for m in (self.read(collection, n) for n in numbers) if m)
        recent = takewhile(lambda manifest: manifest.created_at >= since, newest_first)
        return next((m.generation for m in recent if m.writer == writer), 0)

    def publish(self, manifest: Manifest) -> Manifest:
        """Publish `manifest` as the generation after the one it names as its own.

        Raises:
            Conflict: Another writer published that generation first; nothing has changed.
        """
        following = replace(manifest, generation=manifest.generation + 1, created_at=self._clock())
        collection, number = following.collection, following.generation
        later = self.numbers(collection, manifest.generation)
        if later:  # the one that took this number may be gone
            raise _overtaken(collection, later[-1])
        name = _manifest_file(collection, number)
        try:
            self._storage.put_new(name, _MANIFEST.dump_json(following, indent=1))
        except AlreadyThere as error:
            raise _overtaken(collection, number) from error
        if self._is_late(following):
            self._storage.remove(name)
            raise _overtaken(collection, self.numbers(collection)[-1])
        return following

    def new(
        self, collection: str, model: Fingerprint, shards: int, source: str, model_name: str = ""
    ) -> Manifest:
        """Return an empty base to publish the first generation on, or the next after a deletion."""
        newest = self._newest(collection)
        generation = newest.generation if newest else 0
        empty = ((),) * shards
        return Manifest(collection, generation, model, empty, source, model_name=model_name)

    def delete(self, collection: str, writer: str = "") -> None:
        """Publish the end of a collection, then remove its files.

        What is left where this dies halfway, the clean-up takes.

        Raises:
            NotFound: There is no such collection.
            Conflict: Others published, time and again, just before this could.
        """
        self._publish_end(collection, writer, _DELETE_TRIES)
        for part in ("drafts", "segments", "tombstones"):
            self._storage.delete(f"collections/{collection}/{part}")

    def remove(self, manifest: Manifest) -> None:
        """Remove a generation's manifest; files that no other names are orphans from then on."""
        self._storage.remove(_manifest_file(manifest.collection, manifest.generation))

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

    def _is_late(self, published: Manifest) -> bool:
        """Tell whether a manifest took a number that was given, and removed, long before.

        It was free because its generation was superseded long ago, so that a later one is older.
        """
        files = self._storage.files(_manifests(published.collection))
        mine = PurePosixPath(_manifest_file(published.collection, published.generation)).name
        later = [file.changed for name, file in files.items() if name > mine]
        return mine not in files or any(
            files[mine].changed - changed > _SURELY_BEFORE for changed in later
        )

    def _ends(self, collection: str, number: int) -> bool:
        """Tell whether a generation says that the collection is deleted."""
        with contextlib.suppress(CorruptData):
            manifest = self.read(collection, number)
            return manifest is not None and manifest.deleted
        return False

    def _newest(self, collection: str) -> Manifest | None:
        while numbers := self.numbers(collection):
            manifest = self.read(collection, numbers[-1])
            if manifest:
                return manifest
        return None

    def _read_all(self, collection: str, numbers: Iterable[int]) -> list[Manifest]:
        found = (self.read(collection, number) for number in numbers)
        return [manifest for manifest in found if manifest]

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


def _overtaken(collection: str, generation: int) -> Conflict:
    message = (
        f"another writer changed collection {collection!r} meanwhile "
        f"(generation {generation} exists); run this again to build on it"
    )
    return Conflict(message)


def _manifests(collection: str) -> str:
    return f"collections/{collection}/manifests"


def _manifest_file(collection: str, generation: int) -> str:
    return f"{_manifests(collection)}/{generation:0{_WIDTH}}.json"
