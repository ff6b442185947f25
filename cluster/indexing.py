"""What a gateway does to change collections: jobs of its own, batch jobs, and chunks handed in."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict
from functools import partial

from actors.catalog import Catalog, Manifest
from actors.engines.base import OnProgress, silent
from actors.errors import GatewayUnavailable, ReplicaLost
from actors.messages import JobState, JobStatus
from actors.process import find_actor
from actors.storage import Storage
from cluster import reindex
from cluster.addresses import CLIENT, is_git
from cluster.calls import STATUS_S, Calls
from cluster.checkout import checked_out
from cluster.daemon import Rooms
from cluster.embedding import OpenedModel
from cluster.jobs import IndexJob, Opened
from cluster.models import open_model
from cluster.naming import Target, choose_target
from cluster.protocol import (
    ClientFolder,
    IndexBody,
    IngestReply,
    Job,
    Lacking,
    ReindexBody,
)
from cluster.reaching import Reach, in_place, temporary_folder
from cluster.received import Received, lacking, target_and_prefix
from cluster.repository import repository
from cluster.roots import Roots
from cluster.running import GatewayJob, RunningJobs
from cluster.session import STEWARD
from cluster.settings import Settings
from cluster.upload import Upload

_LOOK_EVERY_S = 10.0
_JOBS_SHOWN = 20
"""In the status of the cluster; `jobs` returns all."""


class Indexing:
    """Starts jobs, and knows of all.

    Args:
        calls: Asks the actors.
        settings: The gateway's settings.
        storage: The root.
        touch: Notes that the gateway is in use.
        roots: What callers may have indexed.
    """

    def __init__(
        self,
        calls: Calls,
        settings: Settings,
        storage: Storage,
        touch: Callable[[], None],
        roots: Roots,
    ) -> None:
        self._calls = calls
        self._settings = settings
        self._storage = storage
        self._touch = touch
        self._roots = roots
        self._catalog = Catalog(storage)
        self._temporary = Rooms(settings).temporary
        self._jobs = RunningJobs(calls, touch)
        self._batch: dict[str, asyncio.Task[None]] = {}

    @property
    def is_busy(self) -> bool:
        """Whether a job runs that would end with this gateway."""
        return bool(self._jobs or self._batch)

    async def stop(self) -> None:
        """End the jobs of this gateway, which leaves their collections as they were."""
        for task in self._batch.values():
            task.cancel()
        await self._jobs.stop()

    async def index(self, body: IndexBody) -> Job:
        """Start an indexing job; see `ShoalClient.index`."""
        target = await asyncio.to_thread(self._target, body)
        if is_git(body.paths[0]):
            git, limit = repository(body.paths[0]), self._settings.max_file_bytes
            reach: Reach = partial(checked_out, git, self._temporary, limit)
        else:
            reach = partial(in_place, target, self._settings.max_file_bytes)
        return await self._start_job(target, body.model, reach)

    async def missing(self, folder: ClientFolder, lines: AsyncIterator[str]) -> Lacking:
        """Return which files of a client's folder its collection lacks."""
        return await lacking(self._catalog, self._storage, folder, lines)

    async def receive(self, folder: ClientFolder, pieces: AsyncIterator[bytes]) -> Job:
        """Take a client's folder and start a job for it; see `ShoalClient.upload`."""
        target, prefix = await asyncio.to_thread(target_and_prefix, self._catalog, folder)
        holding = contextlib.AsyncExitStack()
        try:
            spool = await holding.enter_async_context(temporary_folder(self._temporary))
            received = Received(spool, target, prefix, self._settings.max_file_bytes)
            await received.take(pieces)
            return await self._start_job(target, folder.model, partial(received.reached, holding))
        except BaseException:  # else the job holds it
            await holding.aclose()
            raise

    async def reindex(self, body: ReindexBody) -> Job:
        """Start a batch job; see `ShoalClient.reindex`."""
        await asyncio.to_thread(self._check_source, body)
        status = await asyncio.to_thread(reindex.start, self._settings, body)
        self._batch[status.id] = asyncio.create_task(self._keep_up(status.id))
        return _job(status)

    async def ingest(
        self, collection: str, model: str | None, lines: AsyncIterator[str]
    ) -> IngestReply:
        """Store chunks that the caller made; see `ShoalClient.ingest`."""
        upload = await asyncio.to_thread(
            Upload, collection, self._storage, self._settings.shards, self._open_model, model
        )
        await upload.take(lines)
        manifest = await upload.publish(writer=secrets.token_hex(6))
        await self._calls.published()
        return IngestReply(
            collection=collection, generation=manifest.generation, chunks=upload.chunks
        )

    async def start(self, job: GatewayJob) -> Job:
        """Start a job of another kind, which is followed and cancelled as all are."""
        return _job(await self._jobs.start(job))

    async def job(self, job_id: str) -> Job:
        """Return how far a job is."""
        if job_id in self._jobs:
            return _job(await self._jobs.status(job_id))
        return _job(await self._calls.job(job_id))

    async def cancel(self, job_id: str) -> Job:
        """Cancel a job; see `ShoalClient.cancel`."""
        running = job_id in self._jobs
        return _job(await (self._jobs if running else self._calls).cancel(job_id))

    async def jobs(self) -> tuple[Job, ...]:
        """Return all jobs that are remembered: running ones first, newest first."""
        known = await self._calls.ask(STEWARD, lambda steward: steward.jobs.remote())
        return tuple(map(_job, known))

    async def shown(self) -> tuple[Job, ...]:
        """Return the first jobs, or those of this gateway where the steward is away."""
        known = await self._calls.told(lambda steward: steward.jobs.remote(), STATUS_S, None)
        return tuple(map(_job, self._jobs.all() if known is None else known[:_JOBS_SHOWN]))

    def _target(self, body: IndexBody | ReindexBody) -> Target:
        """Return what is to be indexed, checked before and after it is looked for.

        A collection whose source reaches further than the roots would lead links there.
        """
        self._roots.check(*body.paths)
        target = choose_target(self._catalog, body.paths, body.collection, body.choice)
        if not is_git(body.paths[0]):
            self._roots.check(target.root)
        return target

    def _check_source(self, body: ReindexBody) -> None:
        """Refuse a batch job over what callers may not have indexed, named or stored."""
        if body.paths:
            self._target(body)
        else:
            source = self._catalog.get(body.collection or "").source
            if source and not source.startswith(f"{CLIENT}://"):
                self._roots.check(source)

    async def _start_job(self, target: Target, model: str | None, reach: Reach) -> Job:
        job = IndexJob(
            secrets.token_hex(6),
            target,
            partial(self._open, target, model),
            reach,
            self._storage,
            self._settings,
            self._calls.may_publish,
            self._calls.published,
            self._calls.report,
        )
        return _job(await self._jobs.start(job))

    async def _keep_up(self, job_id: str) -> None:
        """Count as in use while a batch job runs: a Ray that was started here ends with this.

        Its actor may wait for a machine that is still to be added, and cannot report it then.
        """
        state = JobState.RUNNING
        while state is JobState.RUNNING:
            await asyncio.sleep(_LOOK_EVERY_S)
            with contextlib.suppress(GatewayUnavailable, ReplicaLost):
                job = await self._calls.job(job_id)
                waits = job.state is state and job.phase == reindex.STARTING
                if waits and await asyncio.to_thread(find_actor, f"job-{job_id}") is not None:
                    self._calls.report(job)
                state = job.state
        del self._batch[job_id]
        self._touch()

    async def _open(self, target: Target, wanted: str | None, on_progress: OnProgress) -> Opened:
        """Return the generation to build on and its model; ModelMismatch where it wants another."""
        found = await asyncio.to_thread(self._catalog.find, target.collection)
        model = await self._open_model(found, wanted, on_progress)
        if found is not None:
            return Opened(found, model)
        new = self._catalog.new(
            target.collection, model.fingerprint, self._settings.shards, target.root, model.name
        )
        return Opened(new, model)

    async def _open_model(
        self, found: Manifest | None, wanted: str | None = None, on_progress: OnProgress = silent
    ) -> OpenedModel:
        name = wanted or (found and found.model_name) or self._settings.model
        return await open_model(self._calls.pool, name, found, on_progress)


def _job(status: JobStatus) -> Job:
    return Job(**asdict(status))
