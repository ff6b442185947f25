"""What a gateway does when it is asked: the Shoal protocol on top of the actors."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import logging
import os
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict
from functools import partial

import psutil

from actors import messages
from actors.catalog import Catalog, Manifest
from actors.engines.base import OnProgress, silent
from actors.engines.registry import describe
from actors.engines.spec import parse
from actors.errors import GatewayUnavailable
from actors.index.fusion import Mode
from actors.messages import Chunk, Filter, Histogram, Hit, JobStatus, SearchAnswer, SearchRequest
from actors.origin import current
from actors.routing.admission import Admission
from actors.scaling import host_names, router_names
from actors.storage import Storage
from cluster import reindex, report
from cluster.addresses import is_git
from cluster.calls import STATUS_S, Calls
from cluster.checkout import checked_out
from cluster.daemon import Rooms
from cluster.embedding import OpenedModel
from cluster.freshness import Freshness
from cluster.generations import Generations
from cluster.jobs import IndexJob, Opened
from cluster.models import models, open_model
from cluster.naming import Target, choose_target
from cluster.protocol import (
    ClientFolder,
    Collection,
    CollectionCoverage,
    EmbedBody,
    EmbedReply,
    Generation,
    IndexBody,
    IngestReply,
    Job,
    Lacking,
    Model,
    ReindexBody,
    RollbackBody,
    Scale,
    ScaleBody,
    SearchBody,
    SearchHit,
    SearchReply,
    Status,
    Verification,
    VerifyBody,
    WatchBody,
)
from cluster.reaching import Reach, in_place, temporary_folder
from cluster.received import Received, lacking, target_and_prefix
from cluster.repository import repository
from cluster.running import RunningJobs
from cluster.searches import Searches
from cluster.session import STEWARD, attach, detach, plan_memory
from cluster.settings import Settings
from cluster.slow import noted
from cluster.upload import Upload, packed, unpacked

_log = logging.getLogger("shoal.service")

_JOBS_SHOWN = 20
"""In the status of the cluster; `jobs` returns all."""


class Service:
    """The one driver of the cluster; every door speaks to it.

    Args:
        settings: The gateway's settings.

    Attributes:
        phase: What it is doing while it starts; "ready" once it serves, "failed" if it cannot.
        admission: Lets in as many searches as the routers take, before they are read.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.phase = "starting"
        self._calls = Calls()
        self._searches = Searches(self._calls)
        self.admission = Admission(shares=lambda: self._calls.routers)
        self._jobs = RunningJobs(self._calls, self.touch)
        self._freshness = Freshness()
        self._memory_plan = ""
        self._requests = 0
        self._temporary = Rooms(settings).temporary
        self._started = time.monotonic()
        self._used = time.monotonic()

    async def start(self) -> None:
        """Connect to Ray and have the actors made."""

        def set_phase(phase: str) -> None:
            self.phase = phase

        self._storage = await asyncio.to_thread(Storage, self.settings.root_uri)
        self._catalog = Catalog(self._storage)
        self._generations = Generations(self._storage)
        await asyncio.to_thread(self._catalog.keep_out)
        await asyncio.to_thread(shutil.rmtree, self._temporary, ignore_errors=True)
        await asyncio.to_thread(_check_model, self.settings.model)
        budgets = await asyncio.to_thread(plan_memory, self.settings)
        self._memory_plan = budgets.explanation
        _log.info("%s", self._memory_plan)
        steward = await asyncio.to_thread(attach, self.settings, budgets, set_phase)
        await self._calls.attached(steward)
        self.touch()
        self.phase = "ready"

    async def stop(self) -> None:
        """End running jobs, which leaves their collections as they were, and leave the cluster."""
        self.phase = "stopping"
        await self._jobs.stop()
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

    def check_ready(self) -> None:
        """Raise GatewayUnavailable while it starts or ends; everything below needs it ready."""
        if self.phase != "ready":
            message = f"the gateway is not ready yet ({self.phase}); try again in a few seconds"
            raise GatewayUnavailable(message, retry_after_s=2.0)

    async def search(
        self, body: SearchBody, caller: str = "", waited_s: float = 0.0
    ) -> SearchReply:
        """Search; see `ShoalClient.search`. Of those that wait, callers take turns.

        Args:
            body: What is asked.
            caller: Who asks.
            waited_s: Seconds of its deadline that are over.
        """
        started = time.perf_counter()
        request = SearchRequest(
            query=body.query,
            mode=Mode(body.mode),
            limit=body.limit,
            collections=body.collections,
            filter=Filter(body.paths, body.languages),
            vector=None if body.vector is None else unpacked(body.vector),
            deadline_s=(body.deadline_s or self.settings.deadline_s) - waited_s,
            context=body.context,
            typos=body.typos,
            require_full_coverage=body.require_full_coverage,
            caller=caller,
            origin=current(),
        )
        with noted(request) as timings_ms:
            answer = await self._searches.answer(request)
            timings_ms.update(answer.timings_ms)
        return _reply(answer, (time.perf_counter() - started) * 1e3, self._freshness)

    async def index(self, body: IndexBody) -> Job:
        """Start an indexing job; see `ShoalClient.index`."""
        target = await asyncio.to_thread(choose_target, self._catalog, body.paths, body.collection)
        if is_git(body.paths[0]):
            git, limit = repository(body.paths[0]), self.settings.max_file_bytes
            reach: Reach = partial(checked_out, git, self._temporary, limit)
        else:
            reach = partial(in_place, target, self.settings.max_file_bytes)
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
            received = Received(spool, target, prefix, self.settings.max_file_bytes)
            await received.take(pieces)
            return await self._start_job(target, folder.model, partial(received.reached, holding))
        except BaseException:  # else the job holds it
            await holding.aclose()
            raise

    async def _start_job(self, target: Target, model: str | None, reach: Reach) -> Job:
        job = IndexJob(
            secrets.token_hex(6),
            target,
            partial(self._open, target, model),
            reach,
            self._storage,
            self.settings,
            self._calls.may_publish,
            self._calls.published,
            self._calls.report,
        )
        return _job(await self._jobs.start(job))

    async def reindex(self, body: ReindexBody) -> Job:
        """Start a batch job; see `ShoalClient.reindex`."""
        return _job(await asyncio.to_thread(reindex.start, self.settings, body))

    async def embed(self, body: EmbedBody, caller: str = "", waited_s: float = 0.0) -> EmbedReply:
        """Embed texts; see `ShoalClient.embed`, and `search` for the rest."""
        within_s = (body.deadline_s or self.settings.deadline_s) - waited_s
        origin = current()
        vectors = await self._calls.ask_router(
            lambda router: router.embed.remote(
                body.model, body.texts, body.kind, within_s, caller, origin
            ),
            within_s,
        )
        return EmbedReply(dimension=vectors.shape[1], data=packed(vectors))

    async def ingest(self, collection: str, lines: AsyncIterator[str]) -> IngestReply:
        """Store chunks that the caller made; see `ShoalClient.ingest`."""
        upload = await asyncio.to_thread(
            Upload, collection, self._storage, self.settings.shards, self._open_model
        )
        await upload.take(lines)
        manifest = await upload.publish(writer=secrets.token_hex(6))
        await self._calls.published()
        return IngestReply(
            collection=collection, generation=manifest.generation, chunks=upload.chunks
        )

    async def job(self, job_id: str) -> Job:
        """Return how far a job is."""
        if job_id in self._jobs:
            return _job(await self._jobs.status(job_id))
        return _job(await self._calls.ask(STEWARD, lambda steward: steward.job.remote(job_id)))

    async def cancel(self, job_id: str) -> Job:
        """Cancel a job; see `ShoalClient.cancel`."""
        running = job_id in self._jobs
        return _job(await (self._jobs if running else self._calls).cancel(job_id))

    async def jobs(self) -> tuple[Job, ...]:
        """Return all jobs that are remembered: running ones first, newest first."""
        known = await self._calls.ask(STEWARD, lambda steward: steward.jobs.remote())
        return tuple(map(_job, known))

    async def collections(self) -> tuple[Collection, ...]:
        """Return all collections; one that cannot be read says why."""
        found = await asyncio.to_thread(report.collections, self._catalog)
        return tuple(
            c.model_copy(update={"behind_s": self._freshness.behind_s(c.name)}) for c in found
        )

    async def watching(self, collection: str, body: WatchBody) -> None:
        """Take a watcher's word for a collection; see `ShoalClient.watching`.

        Who watches a part of the source alone cannot tell whether the collection is up to date.
        """
        manifest = await asyncio.to_thread(self._catalog.get, collection)
        if body.source == manifest.source:
            self._freshness.note(collection, body.watcher, body.behind_s)

    def unwatch(self, collection: str, watcher: str) -> None:
        """Forget a watcher; see `ShoalClient.unwatch`."""
        self._freshness.forget(collection, watcher)

    async def models(self) -> tuple[Model, ...]:
        """Return the models that are there, and where each is loaded."""
        pools = await self._calls.pools()
        names = [name for pool in pools for name in pool.embedders]
        replicas = await self._calls.replicas(names)
        return await asyncio.to_thread(models, self._catalog, self.settings.model, pools, replicas)

    async def scale(self, body: ScaleBody) -> Scale:
        """Change how many actors of each kind there are; see `ShoalClient.scale`."""
        wanted = body.model_dump(exclude_none=True)
        return _scale(await (self._calls.scale(wanted) if wanted else self._calls.scaled()))

    async def delete(self, collection: str) -> None:
        """Delete a collection."""
        await asyncio.to_thread(self._catalog.delete, collection)
        await self._calls.published()

    async def history(self, collection: str) -> tuple[Generation, ...]:
        """Return the generations of a collection; see `ShoalClient.history`."""
        return await asyncio.to_thread(self._generations.history, collection)

    async def verify(self, collection: str, body: VerifyBody) -> Verification:
        """Look for damage in a generation; see `ShoalClient.verify`."""
        return await self._generations.verify(collection, body.generation)

    async def rollback(self, collection: str, body: RollbackBody) -> Generation:
        """Go back to a generation; see `ShoalClient.rollback`."""
        published = await self._generations.rollback(collection, body.generation)
        await self._calls.published()
        return published

    async def histograms(self) -> dict[str, tuple[Histogram, ...]]:
        """Return what each router that answers has measured, by its name."""
        return await report.histograms(router_names(await self._calls.scaled()))

    async def status(self) -> Status:
        """Return how the cluster is; an actor that does not answer is named, not waited for."""
        scale, pools = await asyncio.gather(self._calls.scaled(), self._calls.pools())
        embedders = [name for pool in pools for name in pool.embedders]
        named = (STEWARD, *router_names(scale), *host_names(scale), *embedders)
        replicas, nodes, collections, jobs, memory = await asyncio.gather(
            self._calls.replicas(named),
            report.nodes(),
            self.collections(),
            self._known_jobs(),
            asyncio.to_thread(report.process_sizes),
        )
        return Status(
            version=importlib.metadata.version("shoal"),
            root=self.settings.root_uri,
            model=self.settings.model,
            gateway_pid=os.getpid(),
            gateway_rss_bytes=psutil.Process().memory_info().rss,
            memory_bytes=sum(memory),
            processes=len(memory),
            uptime_s=time.monotonic() - self._started,
            idle_s=self.idle_s,
            nodes=nodes,
            memory_plan=self._memory_plan,
            logs=str(Rooms(self.settings).folder),
            scale=_scale(scale),
            replicas=replicas,
            collections=collections,
            jobs=jobs,
        )

    async def _open(self, target: Target, wanted: str | None, on_progress: OnProgress) -> Opened:
        """Return the generation to build on and its model; ModelMismatch where it wants another."""
        found = await asyncio.to_thread(self._catalog.find, target.collection)
        model = await self._open_model(found, wanted, on_progress)
        if found is not None:
            return Opened(found, model)
        new = self._catalog.new(
            target.collection, model.fingerprint, self.settings.shards, target.root, model.name
        )
        return Opened(new, model)

    async def _open_model(
        self, found: Manifest | None, wanted: str | None = None, on_progress: OnProgress = silent
    ) -> OpenedModel:
        name = wanted or (found and found.model_name) or self.settings.model
        return await open_model(self._calls.pool, name, found, on_progress)

    async def _known_jobs(self) -> tuple[Job, ...]:
        """Return the first jobs, or those under way where the steward is away."""
        try:
            return (await asyncio.wait_for(self.jobs(), STATUS_S))[:_JOBS_SHOWN]
        except (TimeoutError, GatewayUnavailable):
            return tuple(map(_job, self._jobs.all()))


def _check_model(model: str) -> None:
    """Raise where the default model cannot be read; one to be downloaded is not asked for."""
    spec = parse(model)
    if spec.is_local or spec.engine == "static":
        describe(model)


def _reply(answer: SearchAnswer, gateway_ms: float, freshness: Freshness) -> SearchReply:
    parts = answer.collections
    return SearchReply(
        hits=tuple(map(_hit, answer.hits)),
        coverage=sum(c.coverage * c.shards for c in parts) / sum(c.shards for c in parts),
        collections=tuple(
            CollectionCoverage(
                name=c.name,
                generation=c.generation,
                coverage=c.coverage,
                problem=c.problem,
                behind_s=freshness.behind_s(c.name),
            )
            for c in parts
        ),
        timings_ms={**answer.timings_ms, "gateway": round(gateway_ms, 3)},
    )


def _hit(hit: Hit) -> SearchHit:
    chunk = Chunk.of(hit.record)
    return SearchHit(
        collection=hit.collection,
        path=chunk.path,
        start_line=chunk.start_line,
        end_line=chunk.end_line,
        language=chunk.language,
        symbol=chunk.symbol,
        score=hit.score,
        text=chunk.text,
        id=f"{hit.chunk_id:016x}",
    )


def _scale(scale: messages.Scale) -> Scale:
    return Scale(**asdict(scale))


def _job(status: JobStatus) -> Job:
    return Job(**asdict(status))
