"""Indexing jobs: files become segments in Ray tasks, and one manifest makes them visible."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import WorkerCrashedError

from actors.asking import unwrapped
from actors.catalog import Manifest
from actors.engines.base import OnProgress
from actors.errors import NothingToIndex
from actors.messages import JobState, JobStatus, SegmentRef
from actors.storage import Storage
from cluster.embedding import OpenedModel
from cluster.ingest.pipeline import (
    SEGMENT_ROWS,
    BlockOfFiles,
    BlockSummary,
    StoredFile,
    blocks_of_files,
    halves,
    in_scope,
    publish_change,
    read_block,
    stored_files,
    write_blocks,
)
from cluster.ingest.walk import FoundFile, WalkLimits, walk
from cluster.naming import Target

_log = logging.getLogger("shoal.jobs")

_WINDOW = 6
"""Blocks on their way at once: two being read, two waiting for the model, two in between."""

_read_block = ray.remote(num_returns=2, max_retries=0)(read_block)
_write_blocks = ray.remote(write_blocks)


@dataclass(frozen=True, slots=True)
class Opened:
    """What a job builds on: a generation, and that generation's model."""

    base: Manifest
    model: OpenedModel


Open = Callable[[OnProgress], Awaitable[Opened]]
"""Finds the model, downloads it where it must, and has its pool made."""


class SegmentWriter:
    """Collects blocks by shard and writes a segment whenever a shard has enough of them.

    Args:
        storage: The root.
        collection: Where the segments go.
    """

    def __init__(self, storage: Storage, collection: str) -> None:
        self._storage = storage
        self._collection = collection
        self._waiting: defaultdict[int, list[tuple[Any, Any]]] = defaultdict(list)
        self._rows: Counter[int] = Counter()
        self._writes: list[tuple[int, Any]] = []

    def add(self, shard: int, block: Any, vectors: Any, rows: int) -> None:  # noqa: ANN401 - Ray references
        """Take a block and its vectors, as Ray references."""
        self._waiting[shard].append((block, vectors))
        self._rows[shard] += rows
        if self._rows[shard] >= SEGMENT_ROWS:
            self._write(shard)

    async def finish(self) -> dict[int, list[SegmentRef]]:
        """Write what waits and return the new segments of each shard, in order."""
        for shard in list(self._waiting):
            self._write(shard)
        written: defaultdict[int, list[SegmentRef]] = defaultdict(list)
        for shard, reference in self._writes:
            written[shard].append(await unwrapped(reference))
        return written

    def _write(self, shard: int) -> None:
        blocks, vectors = zip(*self._waiting.pop(shard), strict=True)
        self._rows[shard] = 0
        call = _write_blocks.remote(self._storage.root, self._collection, *blocks, *vectors)
        self._writes.append((shard, call))


class IndexJob:
    """Brings one collection up to date with its folder.

    Args:
        job_id: Names the job.
        target: What is indexed into which collection.
        open_base: Finds the generation to build on, and its model.
        storage: The root.
        max_file_bytes: Larger files are skipped.
        announce: Makes the search side see what was published.
        report: Told how far the job is.

    Attributes:
        status: How far it is.
        embedders: Actor names of its model's replicas, once they are known.
    """

    def __init__(
        self,
        job_id: str,
        target: Target,
        open_base: Open,
        storage: Storage,
        max_file_bytes: int,
        announce: Callable[[], Awaitable[None]],
        report: Callable[[JobStatus], None],
    ) -> None:
        self._target = target
        self._open_base = open_base
        self._storage = storage
        self._max_file_bytes = max_file_bytes
        self._announce = announce
        self._report = report
        self.embedders: tuple[str, ...] = ()
        self._opening: asyncio.Future[Opened] | None = None
        self._started = time.perf_counter()
        self._writer = SegmentWriter(storage, target.collection)
        self._skipped: Counter[str] = Counter()
        self._alive: set[str] = set()
        self._changed: set[str] = set()
        self.status = JobStatus(job_id, target.collection)

    async def run(self) -> JobStatus:
        """Do the job and publish; on any error the collection stays as it was."""
        await self.open()
        self._tell(phase="looking for files")
        files, stored = await asyncio.gather(
            asyncio.to_thread(self._walk),
            asyncio.to_thread(stored_files, self._storage, self._base),
        )
        self._tell(phase="reading and embedding", files_total=len(files))
        blocks = blocks_of_files(self._base, self._target.root, files, stored, self._max_file_bytes)
        await _windowed(self._block(block) for block in blocks)
        gone = self._gone(stored)
        self._refuse_to_empty(stored, gone)
        manifest = await self._publish(gone)
        return self._tell(
            phase="done",
            state=JobState.DONE,
            generation=manifest.generation,
            files_removed=sum(path not in self._changed for path in gone),
        )

    async def open(self) -> None:
        """Find the generation to build on and its model; `run` does it where nobody did."""
        if self._opening is None:
            self._tell(phase="finding the model")
            self._opening = asyncio.ensure_future(self._open_base(self._tell_progress))
        opened = await asyncio.shield(self._opening)
        self._base, self._embed = opened.base, opened.model.embed
        self.embedders = opened.model.embedders

    def _tell_progress(self, phase: str, done: int, total: int) -> None:
        self.status = replace(self.status, phase=_in_words(phase, done, total))

    def _walk(self) -> list[FoundFile]:
        limits = WalkLimits(self._max_file_bytes)
        found: dict[str, FoundFile] = {}
        for scope in self._target.scopes:
            if scope and not os.path.exists(os.path.join(self._target.root, scope)):
                continue  # what is stored below it is gone
            walked = walk(Path(self._target.root), Path(scope) if scope else None, limits)
            found.update((file.path, file) for file in walked.files)
            self._skipped.update(walked.skipped)
        return list(found.values())

    async def _block(self, block: BlockOfFiles) -> None:
        summary_ref, chunks = _read_block.remote(block)
        try:
            summary: BlockSummary = await unwrapped(summary_ref)
        except (WorkerCrashedError, MemoryError):
            await self._after_crash(block)
            return
        if summary.chunks:
            vectors = await self._embed(chunks)
            self._writer.add(block.shard, chunks, vectors, summary.chunks)
        self._skipped.update(summary.skipped)
        self._alive.update(summary.unchanged, summary.changed)
        self._changed.update(summary.changed)
        now = self.status
        self._tell(
            files_done=now.files_done + len(block.files),
            files_changed=now.files_changed + len(summary.changed),
            files_unchanged=now.files_unchanged + len(summary.unchanged),
            chunks=now.chunks + summary.chunks,
        )

    async def _after_crash(self, block: BlockOfFiles) -> None:
        """Read both halves of a block that its reader died of; set a single file aside."""
        if len(block.files) > 1:
            for half in halves(block):
                await self._block(half)
            return
        _log.warning("parsing %s took too much memory; it is skipped", block.files[0].path)
        self._skipped["cannot be parsed"] += 1
        self._tell(files_done=self.status.files_done + 1)

    def _gone(self, stored: dict[str, StoredFile]) -> dict[str, StoredFile]:
        """Return the stored files whose chunks no longer hold."""
        scopes = frozenset(self._target.scopes)
        return {
            path: file
            for path, file in stored.items()
            if path in self._changed or (path not in self._alive and in_scope(path, scopes))
        }

    def _refuse_to_empty(self, stored: dict[str, StoredFile], gone: dict[str, StoredFile]) -> None:
        if self._changed or len(gone) < len(stored):
            return
        reasons = ", ".join(f"{count} {reason}" for reason, count in self._skipped.items())
        way_out = (
            f"`shoal delete {self._target.collection}` empties the collection"
            if stored
            else "check the path and its ignore rules"
        )
        message = (
            f"nothing to index in {self._target.root} (skipped: {reasons or 'nothing'}); {way_out}"
        )
        raise NothingToIndex(message)

    async def _publish(self, gone: dict[str, StoredFile]) -> Manifest:
        if not gone and not self._changed:
            return self._base
        self._tell(phase="writing")
        written = await self._writer.finish()
        self._tell(phase="publishing")
        published = await asyncio.to_thread(
            publish_change, self._storage, self._base, gone, written, self.status.id
        )
        await self._announce()
        return published

    def _tell(self, **changes: Any) -> JobStatus:  # noqa: ANN401 - fields of JobStatus
        seconds = time.perf_counter() - self._started
        skipped = dict(self._skipped)
        self.status = replace(self.status, seconds=seconds, skipped=skipped, **changes)
        self._report(self.status)
        return self.status


def _in_words(phase: str, done: int, total: int) -> str:
    return f"{phase} ({done / 1e6:.0f} of {total / 1e6:.0f} MB)" if total else phase


async def _windowed(work: Iterable[Awaitable[None]]) -> None:
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
            raise
        failed = next((f.exception() for f in done if f.exception()), None)
        if failed:
            await asyncio.gather(*pending, return_exceptions=True)
            raise failed
