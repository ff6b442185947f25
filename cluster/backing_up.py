"""Backing up a collection: one generation of it, held by a lease, copied to another place."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from actors.backups import Backups, Copied, Folder, copy_folder, folders_of, pinned
from actors.catalog import Catalog
from actors.examining.storing import QUICKLY
from actors.index.checksums import read_sums
from actors.messages import JobStatus
from actors.storage import Storage
from cluster.copying import CopyJob, as_task, check_elsewhere, in_a_task, side_by_side
from cluster.holding import Holding
from cluster.mounts import reading_options
from cluster.settings import Settings


class BackupJob(CopyJob):
    """Copies the newest generation of a collection to a place for backups.

    What is there already is not copied again. The record that makes it a backup is written last:
    until then there is none, whatever was copied.

    Args:
        job_id: Names the job.
        collection: What is backed up.
        place: A folder or object-store URI.
        storage: The root.
        settings: Which folders every node has.
        report: Told how far the job is.
    """

    def __init__(
        self,
        job_id: str,
        collection: str,
        place: str,
        storage: Storage,
        settings: Settings,
        report: Callable[[JobStatus], None],
    ) -> None:
        status = JobStatus(job_id, collection, kind="backup", source=place, started_at=time.time())
        super().__init__(status, report)
        self._collection = collection
        self._place = place
        self._storage = storage
        self._settings = settings

    async def open(self) -> None:
        """Find the generation, and the place.

        Raises:
            NotFound: There is no such collection.
            InvalidRequest: The place is the root itself, or of no store that is known.
            StorageError: The place cannot be reached.
        """
        self._newest = await asyncio.to_thread(Catalog(self._storage).get, self._collection)
        check_elsewhere(self._place, self._storage.root)
        place = await asyncio.to_thread(Storage, self._place, QUICKLY)
        await asyncio.to_thread(Backups(place).all, self._collection)

    async def run(self) -> JobStatus:
        """Copy, then write the record.

        Raises:
            CorruptData: The collection is damaged; there is no backup of it then.
        """
        number = self._newest.generation
        async with Holding(self._storage).leased(self._collection, number, "backup") as manifest:
            folders = list(folders_of(manifest))
            self._progress.tell(phase="looking", chunks=manifest.chunks)
            sizes = await asyncio.to_thread(lambda: sum(map(self._files_in, folders)))
            self._progress.tell(phase="copying", files_total=sizes)
            options = await asyncio.to_thread(
                reading_options, self._place, self._settings.shared_folders
            )
            copied = await side_by_side(self._copy(folder, options) for folder in folders)
            digests = {f.kept: done.digest for f, done in zip(folders, copied, strict=True)}
            self.publishes = True
            backups = Backups(await asyncio.to_thread(Storage, self._place))
            await asyncio.to_thread(backups.keep, pinned(manifest, digests))
        self.status = self._progress.done(number)
        return self.status

    async def _copy(self, folder: Folder, options: dict[str, object]) -> Copied:
        asked = (self._storage.root, folder, self._place)
        copied: Copied = await in_a_task(_copy_folder, options, *asked)
        self._progress.took(copied.files, copied.new)
        return copied

    def _files_in(self, folder: Folder) -> int:
        if folder.digest:
            return len(read_sums(self._storage, folder.source, folder.digest)[0])
        return len(self._storage.files(folder.source))


def _copied(root: str, folder: Folder, place: str) -> Copied:
    return copy_folder(Storage(root), folder.source, Storage(place), folder.kept, folder.digest)


_copy_folder = as_task(_copied)
