"""Restoring a collection from a backup: its files copied and compared, then published at once."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import replace

from actors.backups import Backups
from actors.catalog import Catalog
from actors.drafts import Drafts
from actors.errors import Conflict, CorruptData
from actors.index.checksums import read_sums
from actors.index.stored import segment_folder
from actors.messages import JobStatus, SegmentRef
from actors.restoring import Restored, Source, restore_dead_rows, restore_segment
from actors.storage import Storage
from cluster.copying import CopyJob, as_task, in_a_task, opened, side_by_side
from cluster.jobs import Withdrawn
from cluster.mounts import reading_options
from cluster.settings import Settings


class RestoreJob(CopyJob):
    """Brings a collection back from a backup.

    Its segments get names of their own, are compared file by file with the hashes that the backup
    pins, and are published by one manifest, as everything is. A try that was killed leaves nothing
    that is searched, and the next one takes up the segments that were whole.

    Args:
        job_id: Names the job.
        source: What is restored, from where.
        generation: That of the backup, or None for the newest one.
        replaces: Whether it may stand for a collection of that name.
        storage: The root.
        settings: Which folders every node has.
        may_publish: Asked last: whether the job of that id was not cancelled elsewhere.
        announce: Makes the search side see what was published.
        report: Told how far the job is.
    """

    def __init__(
        self,
        job_id: str,
        source: Source,
        generation: int | None,
        replaces: bool,
        storage: Storage,
        settings: Settings,
        may_publish: Callable[[str], Awaitable[bool]],
        announce: Callable[[], Awaitable[None]],
        report: Callable[[JobStatus], None],
    ) -> None:
        status = JobStatus(
            job_id, source.name, kind="restore", source=source.place, started_at=time.time()
        )
        super().__init__(status, report)
        self._source = source
        self._generation = generation
        self._replaces = replaces
        self._storage = storage
        self._catalog = Catalog(storage)
        self._settings = settings
        self._may_publish = may_publish
        self._announce = announce

    async def open(self) -> None:
        """Find the backup, and what it is published on.

        Raises:
            NotFound: There is no such backup.
            CorruptData: Its record is not what was written.
            Conflict: A collection of that name exists, and is not to be replaced.
            StorageError: The place cannot be reached.
        """
        await asyncio.to_thread(self._open)

    async def run(self) -> JobStatus:
        """Copy, compare, publish.

        Raises:
            CorruptData: A file of the backup is not what was written; nothing was changed.
            Conflict: Another writer was first.
        """
        manifest = self._backup
        self._progress.tell(phase="looking", chunks=manifest.chunks)
        total = await asyncio.to_thread(self._count_files)
        self._progress.tell(phase="copying and comparing", files_total=total)
        self._options = await asyncio.to_thread(
            reading_options, self._source.place, self._settings.shared_folders
        )
        numbered = [(n, ref) for n, shard in enumerate(manifest.shards) for ref in shard]
        kept = await side_by_side(self._segment(*each) for each in numbered)
        whole = await side_by_side(
            self._dead(old, new) for (_, old), new in zip(numbered, kept, strict=True)
        )
        shards: defaultdict[int, list[SegmentRef]] = defaultdict(list)
        for (number, _), ref in zip(numbered, whole, strict=True):
            shards[number].append(ref)
        return await self._publish(tuple(tuple(shards[n]) for n in range(len(manifest.shards))))

    def _open(self) -> None:
        source = self._source
        backups = Backups(opened(source.place, self._storage.root))
        self._record = backups.find(source.collection, self._generation)
        self._backup = backups.manifest(self._record)
        if self._is_there() and not self._replaces:
            message = (
                f"collection {source.name!r} exists; restore under another name with --as, or "
                "have it replaced with --replace"
            )
            raise Conflict(message)
        numbers = self._catalog.numbers(source.name)  # of a damaged manifest, too
        self._base = replace(
            self._backup,
            collection=source.name,
            generation=numbers[-1] if numbers else 0,
            writer=self.status.id,
        )

    def _is_there(self) -> bool:
        """Tell whether there is such a collection; one that cannot be read is there."""
        try:
            return self._catalog.find(self._source.name) is not None
        except CorruptData:
            return True

    def _count_files(self) -> int:
        place, backup = Storage(self._source.place), self._backup
        kept = [(f"segments/{ref.id}", ref.digest) for ref in backup.segments]
        dead = [(f"tombstones/{r.tombstones}", r.tombstones_digest) for r in backup.segments]
        folders = (*kept, *(each for each in dead if each[1]))
        return sum(len(read_sums(place, *each)[0]) for each in folders)

    def _drafts(self, ref: SegmentRef) -> Drafts:
        source = self._source
        work = ("restore", source.place, source.collection, self._record.name, ref.id)
        return Drafts(self._storage, source.name, *work)

    async def _segment(self, number: int, old: SegmentRef) -> SegmentRef:
        """Return a segment under the root, without its dead rows: restored, or taken up."""
        drafts = self._drafts(old)
        taken = await asyncio.to_thread(drafts.taken_up)
        if taken:
            ref = taken[-1].segment
            files = await asyncio.to_thread(self._files_of, ref)
            self._progress.took(files, 0)
            return ref
        asked = (self._storage.root, self._source, old, number, drafts.folder)
        restored: Restored = await in_a_task(_restore_segment, self._options, *asked)
        self._progress.took(restored.files, restored.new)
        return restored.ref

    async def _dead(self, old: SegmentRef, new: SegmentRef) -> SegmentRef:
        """Return a segment with the dead rows that it had."""
        if not old.tombstones:
            return new
        asked = (self._storage.root, self._source, old, new)
        restored: Restored = await in_a_task(_restore_dead_rows, self._options, *asked)
        self._progress.took(restored.files, restored.new)
        return restored.ref

    def _files_of(self, ref: SegmentRef) -> int:
        folder = segment_folder(self._source.name, ref.id)
        return len(read_sums(self._storage, folder, ref.digest)[0])

    async def _publish(self, shards: tuple[tuple[SegmentRef, ...], ...]) -> JobStatus:
        self.publishes = True  # a thread cannot be ended: nobody is to give it up halfway
        self._progress.tell(phase="publishing")
        if not await self._may_publish(self.status.id):
            raise Withdrawn
        base = replace(self._base, shards=shards)
        published = await asyncio.to_thread(self._catalog.publish, base)
        await self._announce()
        for ref in self._backup.segments:
            await asyncio.to_thread(self._drafts(ref).clear)
        self.status = self._progress.done(published.generation)
        return self.status


_restore_segment = as_task(restore_segment)
_restore_dead_rows = as_task(restore_dead_rows)
