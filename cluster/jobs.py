"""Indexing jobs: files become segments in Ray tasks, and one manifest makes them visible."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import WorkerCrashedError

from actors.asking import unwrapped
from actors.catalog import Manifest
from actors.engines.base import OnProgress
from actors.messages import FileError, JobState, JobStatus, SegmentRef
from actors.pace import Pace
from actors.storage import Storage
from cluster.comparison import Comparison
from cluster.embedding import OpenedModel
from cluster.ingest.pipeline import (
    CANNOT_BE_PARSED,
    READ_TRIES,
    SEGMENT_ROWS,
    BlockOfFiles,
    BlockSummary,
    halves,
    read_block,
    write_blocks,
)
from cluster.ingest.walk import UNREADABLE
from cluster.mounts import reading_options
from cluster.naming import Target
from cluster.reaching import Reach, Reached
from cluster.settings import Settings

_log = logging.getLogger("shoal.jobs")

_WINDOW = 6
"""Blocks on their way at once: two being read, two waiting for the model, two in between."""

ERRORS_TOLD = 100
"""Files in error that a job names: it is reported several times a second, and stays small."""

_read_block = ray.remote(num_returns=2, max_retries=0)(read_block)
_write_blocks = ray.remote(write_blocks)


@dataclass(frozen=True, slots=True)
class Opened:
    """What a job builds on: a generation, and that generation's model."""

    base: Manifest
    model: OpenedModel


class Withdrawn(Exception):
    """The job was cancelled before it published."""


Open = Callable[[OnProgress], Awaitable[Opened]]
"""Finds the model, downloads it where it must, and has its pool made."""


class SegmentWriter:
    """Collects blocks by shard and writes a segment whenever a shard has enough of them.

    Args:
        storage: The root.
        collection: Where the segments go.

    Attributes:
        drafts: The folder that names full segments until they are published; "" for none. What is
            left over at the end is written when all but the publication is done, and is not named.
    """

    def __init__(self, storage: Storage, collection: str) -> None:
        self._storage = storage
        self._collection = collection
        self.drafts = ""
        self._waiting: defaultdict[int, list[tuple[Any, Any]]] = defaultdict(list)
        self._rows: Counter[int] = Counter()
        self._writes: list[tuple[int, asyncio.Future[SegmentRef]]] = []

    def add(self, shard: int, block: Any, vectors: Any, rows: int) -> None:  # noqa: ANN401 - Ray references
        """Take a block and its vectors, as Ray references; raise what an earlier write raised."""
        for _, write in self._writes:
            if write.done():
                write.result()
        self._waiting[shard].append((block, vectors))
        self._rows[shard] += rows
        if self._rows[shard] >= SEGMENT_ROWS:
            self._write(shard, self.drafts)

    async def finish(self) -> dict[int, list[SegmentRef]]:
        """Write what waits and return the new segments of each shard, in order."""
        for shard in list(self._waiting):
            self._write(shard)
        written: defaultdict[int, list[SegmentRef]] = defaultdict(list)
        for shard, write in self._writes:
            written[shard].append(await write)
        return written

    async def settle(self) -> None:
        """Wait until nothing is written any more, however that ends."""
        await asyncio.gather(*(write for _, write in self._writes), return_exceptions=True)

    def _write(self, shard: int, drafts: str = "") -> None:
        blocks, vectors = zip(*self._waiting.pop(shard), strict=True)
        self._rows[shard] = 0
        call = _write_blocks.remote(
            self._storage.root, self._collection, shard, drafts, *blocks, *vectors
        )
        write = asyncio.ensure_future(unwrapped(call))
        write.add_done_callback(lambda over: over.cancelled() or over.exception())  # heard of
        self._writes.append((shard, write))


class IndexJob:
    """Brings one collection up to date with its source.

    Args:
        job_id: Names the job.
        target: What is indexed into which collection.
        open_base: Finds the generation to build on, and its model.
        reach: Makes the files readable while the job runs.
        storage: The root.
        settings: Which files are too large, and which folders every node has.
        may_publish: Asked last: whether the job of that id was not cancelled elsewhere.
        announce: Makes the search side see what was published.
        report: Told how far the job is.

    Attributes:
        status: How far it is.
        publishes: It is past the point where it can be cancelled.
        embedders: Actor names of its model's replicas, once they are known.
    """

    def __init__(
        self,
        job_id: str,
        target: Target,
        open_base: Open,
        reach: Reach,
        storage: Storage,
        settings: Settings,
        may_publish: Callable[[str], Awaitable[bool]],
        announce: Callable[[], Awaitable[None]],
        report: Callable[[JobStatus], None],
    ) -> None:
        self._target = target
        self._open_base = open_base
        self._reach = reach
        self._storage = storage
        self._settings = settings
        self._may_publish = may_publish
        self._announce = announce
        self._report = report
        self.embedders: tuple[str, ...] = ()
        self._opening: asyncio.Future[Opened] | None = None
        self._reading: dict[str, Any] = {}
        self._started = time.perf_counter()
        self._pace = Pace()
        self._errors: list[FileError] = []
        self.publishes = False
        self._writer = SegmentWriter(storage, target.collection)
        self._skipped: Counter[str] = Counter()
        self.status = JobStatus(
            job_id, target.collection, source=in_short(target), started_at=time.time()
        )

    async def run(self) -> JobStatus:
        """Do the job and publish; on any error the collection stays as it was."""
        async with self._reach(self._tell_progress) as reached:
            await self.open()
            try:
                return await self._take(reached)
            except Exception:
                await self._writer.settle()
                raise

    async def _take(self, reached: Reached) -> JobStatus:
        self._tell(phase="looking for files")
        choice = self._target.choice or self._base.choice
        found, self._compared = await asyncio.gather(
            asyncio.to_thread(reached.find, choice),
            asyncio.to_thread(
                Comparison, self._storage, self._target, self._base, source=reached.source
            ),
        )
        self._compared.keep(found.unchanged)
        self._writer.drafts = self._compared.drafts.folder
        self._skipped.update(found.skipped)
        self._errors += [FileError(path, UNREADABLE) for path in found.unreadable]
        unchanged = len(found.unchanged)
        self._tell(
            phase="reading and embedding",
            files_total=len(found.files) + unchanged,
            files_done=unchanged,
            files_unchanged=unchanged,
        )
        self._reading = await asyncio.to_thread(
            reading_options, reached.root, self._settings.shared_folders
        )
        limit = self._settings.max_file_bytes
        blocks = await asyncio.to_thread(self._compared.blocks, reached.root, found.files, limit)
        await windowed(self._block(block) for block in blocks)
        manifest = await self._publish()
        return self._tell(
            phase="done",
            state=JobState.DONE,
            generation=manifest.generation,
            files_removed=self._compared.removed,
        )

    async def open(self) -> None:
        """Find the generation to build on and its model; `run` does it where nobody did.

        What fails here is not reported: a job that is refused at once is none.
        """
        if self._opening is None:
            self.status = replace(self.status, phase="finding the model")
            self._opening = asyncio.ensure_future(self._open_base(self._tell_progress))
        opened = await asyncio.shield(self._opening)
        self._base, self._embed = opened.base, opened.model.embed
        self.embedders = opened.model.embedders

    def _tell_progress(self, phase: str, done: int, total: int) -> None:
        self.status = replace(self.status, phase=in_words(phase, done, total))

    async def _block(self, block: BlockOfFiles, tries: int = READ_TRIES) -> None:
        summary_ref, chunks = _read_block.options(**self._reading).remote(block)
        try:
            summary: BlockSummary = await unwrapped(summary_ref)
        except (WorkerCrashedError, MemoryError):
            await self._after_crash(block, tries)
            return
        except asyncio.CancelledError:
            ray.cancel(summary_ref)
            raise
        if summary.chunks:
            vectors = await self._embed(chunks)
            self._writer.add(block.shard, chunks, vectors, summary.chunks)
        self._compared.take(summary)
        self._skipped.update(summary.skipped)
        self._errors += summary.errors
        now = self.status
        self._tell(
            files_done=now.files_done + len(block.files),
            files_changed=now.files_changed + len(summary.changed),
            files_unchanged=now.files_unchanged + len(summary.unchanged),
            chunks=now.chunks + summary.chunks,
        )

    async def _after_crash(self, block: BlockOfFiles, tries: int) -> None:
        """Read both halves of a block that its reader died of; in the end set a file aside."""
        if len(block.files) > 1:
            for half in halves(block):
                await self._block(half)
            return
        if tries > 1:
            await self._block(block, tries - 1)
            return
        path = block.files[0].path
        _log.warning("parsing %s took too much memory; it is skipped", path)
        self._skipped[CANNOT_BE_PARSED] += 1
        self._errors.append(FileError(path, CANNOT_BE_PARSED))
        self._tell(files_done=self.status.files_done + 1)

    async def _publish(self) -> Manifest:
        self._tell(phase="writing")
        written = await self._writer.finish()
        self.publishes = True  # a thread cannot be ended: nobody is to give it up halfway
        self._tell(phase="publishing")
        if not await self._may_publish(self.status.id):
            raise Withdrawn
        published = await asyncio.to_thread(self._publish_all, written)
        if published != self._base:
            await self._announce()
        return published

    def _publish_all(self, written: Mapping[int, Sequence[SegmentRef]]) -> Manifest:
        """Publish what was written, and what earlier tries had written of the same."""
        shards: defaultdict[int, list[SegmentRef]] = defaultdict(list)
        for number, refs in (*self._compared.usable().items(), *written.items()):
            shards[number] += refs
        return self._compared.publish(shards, self.status.id, self._skipped)

    def now(self) -> JobStatus:
        """Return how far the job is at this moment: time passes while nothing else does."""
        if self.status.state is JobState.RUNNING:
            seconds = time.perf_counter() - self._started
            told = self.status
            rate, eta_s = self._pace.at(seconds, told.files_done, told.files_total)
            self.status = replace(told, seconds=seconds, rate=rate, eta_s=eta_s)
        return self.status

    def _tell(self, state: JobState = JobState.RUNNING, **changes: Any) -> JobStatus:  # noqa: ANN401 - fields of JobStatus
        self.status = replace(
            self.status,
            skipped=dict(self._skipped),
            errors=tuple(self._errors[:ERRORS_TOLD]),
            errors_omitted=max(0, len(self._errors) - ERRORS_TOLD),
            **changes,
        )
        now = self.now()
        self.status = now if state is JobState.RUNNING else now.ended(state)
        self._report(self.status)
        return self.status


def in_short(target: Target) -> str:
    """Return what is indexed; places below the root are counted where there are several."""
    if len(target.scopes) > 1:
        return f"{len(target.scopes)} places in {target.root}"
    return str(Path(target.root, target.scopes[0]))


def in_words(phase: str, done: int, total: int) -> str:
    """Return a phase with how far it is, in bytes, where somebody knows."""
    return f"{phase} ({done / 1e6:.0f} of {total / 1e6:.0f} MB)" if total else phase


async def windowed(work: Iterable[Awaitable[None]]) -> None:
    """Await everything, a few at a time; at the first error, begin nothing more and raise it."""
    pending: set[asyncio.Future[None]] = set()
    remaining = iter(work)
    while True:
        pending |= {asyncio.ensure_future(w) for w in islice(remaining, _WINDOW - len(pending))}
        if not pending:
            return
        try:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            for unfinished in pending:
                unfinished.cancel()
            await asyncio.gather(*pending, return_exceptions=True)
            raise
        failed = next((f.exception() for f in done if f.exception()), None)
        if failed:
            await asyncio.gather(*pending, return_exceptions=True)
            raise failed
