"""What a gateway does when it is asked: the Shoal protocol on top of the actors."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import logging
import os
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import asdict, replace
from typing import Any

import psutil
import ray

from actors.catalog import Catalog, Manifest
from actors.engines.registry import fingerprint
from actors.errors import GatewayUnavailable, ModelMismatch, ShoalError
from actors.index.fusion import Mode
from actors.messages import Filter, JobState, JobStatus, SearchAnswer, SearchRequest
from actors.process import first_answer
from actors.storage import Storage
from cluster import report
from cluster.jobs import IndexJob
from cluster.naming import Target, choose_target
from cluster.protocol import (
    Collection,
    CollectionCoverage,
    IndexBody,
    IngestReply,
    Job,
    SearchBody,
    SearchHit,
    SearchReply,
    Status,
)
from cluster.session import EMBEDDER, ROUTER, STEWARD, attach, detach
from cluster.settings import Settings
from cluster.upload import Upload, unpacked

_log = logging.getLogger("shoal.service")

_STOP_S = 3.0
_STATUS_S = 2.0
_PATIENCE_S = 30.0
"""For calls without a deadline of their own: an actor that died is back in a few seconds."""
_GRACE_S = 2.0
"""What a search may take over its deadline before the gateway stops waiting for the router."""


class Service:
    """The one driver of the cluster; every door speaks to it.

    Args:
        settings: The gateway's settings.

    Attributes:
        phase: What it is doing while it starts; "ready" once it serves, "failed" if it cannot.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.phase = "starting"
        self._attached: dict[str, Any] = {}
        self._jobs: dict[str, IndexJob] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._requests = 0
        self._started = time.monotonic()
        self._used = time.monotonic()

    async def start(self) -> None:
        """Connect to Ray and have the actors made."""

        def set_phase(phase: str) -> None:
            self.phase = phase

        self._storage = await asyncio.to_thread(Storage, self.settings.root_uri)
        self._catalog = Catalog(self._storage)
        await asyncio.to_thread(self._catalog.keep_out)
        self._model = await asyncio.to_thread(fingerprint, self.settings.model)
        self._attached = await asyncio.to_thread(attach, self.settings, set_phase)
        self.touch()
        self.phase = "ready"

    async def stop(self) -> None:
        """End running jobs, which leaves their collections as they were, and leave the cluster."""
        self.phase = "stopping"
        running = list(self._running.values())
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running, timeout=_STOP_S)
        await asyncio.to_thread(detach)

    @property
    def idle_s(self) -> float:
        """Seconds since somebody last asked for something; 0 while a job runs, or it starts."""
        busy = self._jobs or self._requests or self.phase != "ready"
        return 0.0 if busy else time.monotonic() - self._used

    def touch(self) -> None:
        """Note that the gateway is in use."""
        self._used = time.monotonic()

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Note that a request is under way while the block lasts."""
        self._requests += 1
        try:
            yield
        finally:
            self._requests -= 1
            self.touch()

    async def search(self, body: SearchBody) -> SearchReply:
        """Search; see `ShoalClient.search`."""
        started = time.perf_counter()
        request = SearchRequest(
            query=body.query,
            mode=Mode(body.mode),
            limit=body.limit,
            collections=body.collections,
            filter=Filter(body.paths, body.languages),
            vector=None if body.vector is None else unpacked(body.vector),
            deadline_s=body.deadline_s or self.settings.deadline_s,
            context=body.context,
        )
        answer: SearchAnswer = await self._ask(
            ROUTER, lambda router: router.search.remote(request), request.deadline_s
        )
        return _reply(answer, (time.perf_counter() - started) * 1e3)

    async def index(self, body: IndexBody) -> Job:
        """Start an indexing job; see `ShoalClient.index`."""
        target = await asyncio.to_thread(choose_target, self._catalog, body.paths, body.collection)
        base = await asyncio.to_thread(self._base, target)
        job = IndexJob(
            secrets.token_hex(6),
            target,
            base,
            self._storage,
            self._actors[EMBEDDER].embed_block.remote,
            self.settings.max_file_bytes,
            self._published,
            self._report,
        )
        self._jobs[job.status.id] = job
        self._running[job.status.id] = asyncio.create_task(self._run(job))
        return _job(job.status)

    async def ingest(self, collection: str, lines: AsyncIterator[str]) -> IngestReply:
        """Store chunks that the caller made; see `ShoalClient.ingest`."""
        upload = await asyncio.to_thread(
            Upload,
            collection,
            self._storage,
            self._model,
            self.settings.shards,
            self._actors[EMBEDDER].embed_block.remote,
        )
        await upload.take(lines)
        manifest = await upload.publish(writer=secrets.token_hex(6))
        await self._published()
        return IngestReply(
            collection=collection, generation=manifest.generation, chunks=upload.chunks
        )

    async def job(self, job_id: str) -> Job:
        """Return how far a job is."""
        if job_id in self._jobs:
            return _job(self._jobs[job_id].status)
        return _job(await self._ask(STEWARD, lambda steward: steward.job.remote(job_id)))

    async def jobs(self) -> tuple[Job, ...]:
        """Return all jobs that are remembered."""
        return tuple(map(_job, await self._ask(STEWARD, lambda steward: steward.jobs.remote())))

    async def collections(self) -> tuple[Collection, ...]:
        """Return all collections; one that cannot be read says why."""
        return await asyncio.to_thread(report.collections, self._catalog)

    async def delete(self, collection: str) -> None:
        """Delete a collection."""
        await asyncio.to_thread(self._catalog.delete, collection)
        await self._published()

    async def status(self) -> Status:
        """Return how the cluster is; an actor that does not answer is named, not waited for."""
        replicas, collections, jobs, memory = await asyncio.gather(
            report.replicas(self._actors),
            self.collections(),
            self._known_jobs(),
            asyncio.to_thread(report.process_sizes),
        )
        return Status(
            version=importlib.metadata.version("shoal"),
            root=self.settings.root_uri,
            model=f"{self.settings.model} ({self._model})",
            gateway_pid=os.getpid(),
            gateway_rss_bytes=psutil.Process().memory_info().rss,
            memory_bytes=sum(memory),
            processes=len(memory),
            uptime_s=time.monotonic() - self._started,
            idle_s=self.idle_s,
            nodes=sum(node["Alive"] for node in ray.nodes()),
            replicas=replicas,
            collections=collections,
            jobs=jobs,
        )

    @property
    def _actors(self) -> dict[str, Any]:
        if self.phase != "ready":
            message = f"the gateway is not ready yet ({self.phase}); try again in a few seconds"
            raise GatewayUnavailable(message, retry_after_s=2.0)
        return self._attached

    def _base(self, target: Target) -> Manifest:
        """Return the generation to build on; ModelMismatch where another model made it."""
        found = self._catalog.find(target.collection)
        if found is None:
            shards = self.settings.shards
            return self._catalog.new(target.collection, self._model, shards, target.root)
        if found.model != self._model:
            message = (
                f"collection {target.collection!r} was made by model {found.model}, this gateway "
                f"embeds with {self._model}; delete it first, or take another --collection"
            )
            raise ModelMismatch(message)
        return found

    async def _run(self, job: IndexJob) -> None:
        try:
            await job.run()
        except Exception as error:  # noqa: BLE001 - the job's status is where its errors go
            known = error if isinstance(error, ShoalError) else None
            if known is None:
                _log.exception("job %s failed", job.status.id)
            kind = type(known).__name__ if known else ShoalError.__name__
            job.status = replace(
                job.status, state=JobState.FAILED, error=str(error), error_kind=kind
            )
        except asyncio.CancelledError:
            job.status = replace(
                job.status,
                state=JobState.FAILED,
                error="the gateway ended; the collection is as it was, run this again",
            )
        finally:
            with contextlib.suppress(GatewayUnavailable):
                await self._ask(STEWARD, lambda steward: steward.report.remote(job.status))
            del self._jobs[job.status.id], self._running[job.status.id]
            self.touch()

    async def _published(self) -> None:
        """Let searches see at once what is there now; they would find out within a second."""
        try:
            await self._ask(STEWARD, lambda steward: steward.published.remote())
        except GatewayUnavailable as error:
            _log.warning("a publication was not announced: %s", error)

    async def _known_jobs(self) -> tuple[Job, ...]:
        """Return all jobs, or those under way where the steward is away."""
        try:
            return await asyncio.wait_for(self.jobs(), _STATUS_S)
        except (TimeoutError, GatewayUnavailable):
            return tuple(_job(job.status) for job in self._jobs.values())

    def _report(self, status: JobStatus) -> None:
        """Let the steward know; the next report comes soon, so none is waited for."""
        self._actors[STEWARD].report.remote(status)

    async def _ask(
        self,
        name: str,
        call: Callable[[Any], Awaitable[Any]],
        within_s: float = _PATIENCE_S,
    ) -> Any:  # noqa: ANN401 - whatever the remote method returns
        """Call an actor, again where it is being restarted.

        Raises:
            GatewayUnavailable: It did not answer in time.
        """
        give_up = time.monotonic() + within_s + _GRACE_S
        try:
            return await first_answer([name], call, lambda: give_up - time.monotonic())
        except TimeoutError as error:
            message = f"{name} did not answer within {within_s:g} s; `shoal status` shows how it is"
            raise GatewayUnavailable(message, retry_after_s=_GRACE_S) from error


def _reply(answer: SearchAnswer, gateway_ms: float) -> SearchReply:
    parts = answer.collections
    return SearchReply(
        hits=tuple(
            SearchHit(
                collection=hit.collection,
                score=hit.score,
                id=f"{hit.chunk_id:016x}",
                **asdict(hit.chunk),
            )
            for hit in answer.hits
        ),
        coverage=sum(c.coverage * c.shards for c in parts) / sum(c.shards for c in parts),
        collections=tuple(
            CollectionCoverage(
                name=c.name, generation=c.generation, coverage=c.coverage, problem=c.problem
            )
            for c in parts
        ),
        timings_ms={**answer.timings_ms, "gateway": round(gateway_ms, 3)},
    )


def _job(status: JobStatus) -> Job:
    return Job(**asdict(status))
