"""What a gateway does when it is asked: the Shoal protocol on top of the actors."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import asdict

import psutil

from actors import messages
from actors.catalog import Catalog
from actors.engines.base import Task
from actors.engines.registry import describe
from actors.engines.spec import parse
from actors.errors import GatewayUnavailable, InvalidRequest
from actors.index.fusion import Mode
from actors.messages import AUTO, Embeddings, Filter, Histogram, SearchRequest
from actors.origin import current
from actors.routing.admission import Admission
from actors.scaling import router_names
from actors.storage import Storage
from cluster import report
from cluster.calls import Calls
from cluster.copies import Copies
from cluster.daemon import Rooms
from cluster.examination import diagnosis
from cluster.generations import Generations
from cluster.indexing import Indexing
from cluster.lookups import Lookups
from cluster.models import KnownModels, models
from cluster.protocol import (
    Chosen,
    Collection,
    EmbedBody,
    EmbedReply,
    Generation,
    Model,
    RollbackBody,
    Scale,
    ScaleBody,
    SearchBody,
    SearchReply,
    Status,
    Verification,
    VerifyBody,
    WatchBody,
)
from cluster.reaching import remove_left_over
from cluster.replies import plan_of, search_reply
from cluster.roots import Roots
from cluster.searches import Searches
from cluster.session import STEWARD, attach, detach, plan_memory
from cluster.settings import Settings
from cluster.slow import noted
from cluster.topology import Plan
from cluster.upkeep_protocol import Diagnosis
from cluster.upload import packed, unpacked

_log = logging.getLogger("shoal.service")

_LOOK_EVERY_S = 10.0
_JOBS_SHOWN = 20
"""In the status of the cluster; `jobs` returns all."""
_BY_NODE = "What actors may hold follows from the node that each runs on: `shoal plan` shows it."


class Service:
    """The one driver of the cluster; every door speaks to it.

    Args:
        settings: The gateway's settings.
        roots: What callers may have indexed.

    Attributes:
        phase: What it is doing while it starts; "ready" once it serves, "failed" if it cannot.
        problem: Why it cannot, or "".
        admission: Lets in as many searches as the routers take, before they are read.
        indexing: What changes collections, once it has started.
        lookups: What looks up stored text.
        copies: What makes and restores backups, likewise.
        known_models: The models that are there, likewise.
    """

    indexing: Indexing
    copies: Copies
    known_models: KnownModels

    def __init__(self, settings: Settings, roots: Roots) -> None:
        self.settings = settings
        self._roots = roots
        self.phase = "starting"
        self.problem = ""
        self._calls = Calls()
        self._searches = Searches(self._calls)
        self.admission = Admission(shares=lambda: self._calls.routers)
        self._behind = self._calls.behind
        self.lookups = Lookups(self._calls, self._searches, self._behind, settings.deadline_s)
        self._memory_plan = ""
        self._requests = 0
        self._started = time.monotonic()
        self._used = time.monotonic()

    async def start(self) -> None:
        """Connect to Ray and have the actors made."""

        def set_phase(phase: str) -> None:
            self.phase = phase

        storage = await asyncio.to_thread(Storage, self.settings.root_uri)
        self._catalog = Catalog(storage)
        self._generations = Generations(storage)
        self.indexing = Indexing(self._calls, self.settings, storage, self.touch, self._roots)
        self.copies = Copies(self._calls, self.settings, storage, self.indexing.start)
        self.known_models = KnownModels(self._catalog, self.settings.model, self._calls.pools)
        await asyncio.to_thread(self._catalog.keep_out)
        await asyncio.to_thread(remove_left_over, Rooms(self.settings).temporary)
        await asyncio.to_thread(_check_model, self.settings.model, "embed")
        if self.settings.reranker:
            await asyncio.to_thread(_check_model, self.settings.reranker, "score")
        budgets = await asyncio.to_thread(plan_memory, self.settings)
        self._memory_plan = budgets.explanation
        _log.info("%s", self._memory_plan)
        steward = await asyncio.to_thread(attach, self.settings, budgets, set_phase)
        await self._calls.attached(steward)
        self.touch()
        self.phase = "ready"

    async def open_newest(self, within_s: float) -> bool:
        """Have every host open what it is to serve; tell whether all did within so many seconds."""
        opened: bool = await self._calls.ask(
            STEWARD, lambda steward: steward.open_newest.remote(within_s), within_s
        )
        return opened

    async def stop(self) -> None:
        """End running jobs, which leaves their collections as they were, and leave the cluster."""
        was_ready, self.phase = self.phase == "ready", "stopping"
        if was_ready:
            await self.indexing.stop()
        await asyncio.to_thread(detach)

    @property
    def idle_s(self) -> float:
        """Seconds since somebody last asked for something; 0 while a job runs, or it starts."""
        busy = self._requests or self.phase != "ready" or self.indexing.is_busy
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
        if body.rerank and not self.settings.reranker:
            message = (
                "this gateway has no reranker: set SHOAL_RERANKER to a cross-encoder, as in "
                "onnx:/models/ms-marco-MiniLM-L6-v2, and start it anew; or search without rerank"
            )
            raise InvalidRequest(message)
        started = time.perf_counter()
        request = SearchRequest(
            query=body.query,
            mode=Mode(body.mode),
            limit=body.limit,
            collections=body.collections,
            filter=Filter(body.paths, body.languages, body.exclude_paths),
            vector=None if body.vector is None else unpacked(body.vector),
            deadline_s=(body.deadline_s or self.settings.deadline_s) - waited_s,
            context=body.context,
            typos=body.typos,
            offset=body.offset,
            require_full_coverage=body.require_full_coverage,
            explain=body.explain,
            caller=caller,
            origin=current(),
            reranker=self.settings.reranker if body.rerank else "",
        )
        with noted(request) as timings_ms:
            answer = await self._searches.answer(request)
            timings_ms.update(answer.timings_ms)
        return search_reply(answer, (time.perf_counter() - started) * 1e3, self._behind)

    async def embed(self, body: EmbedBody, caller: str = "", waited_s: float = 0.0) -> EmbedReply:
        """Embed texts; see `ShoalClient.embed`, and `search` for the rest."""
        found = await self.embeddings(body, caller, waited_s)
        return EmbedReply(
            dimension=found.vectors.shape[1], data=packed(found.vectors), tokens=sum(found.tokens)
        )

    async def embeddings(
        self, body: EmbedBody, caller: str = "", waited_s: float = 0.0
    ) -> Embeddings:
        """Embed texts, as `embed` does."""
        within_s = (body.deadline_s or self.settings.deadline_s) - waited_s
        origin = current()
        found: Embeddings = await self._calls.ask_router(
            lambda router: router.embed.remote(
                body.model, body.texts, body.kind, within_s, caller, origin
            ),
            within_s,
        )
        return found

    async def collections(self) -> tuple[Collection, ...]:
        """Return all collections; one that cannot be read says why."""
        found, _ = await asyncio.gather(
            asyncio.to_thread(report.collections, self._catalog), self._calls.look_behind()
        )
        return tuple(
            c.model_copy(update={"behind_s": self._behind.behind_s(c.name)}) for c in found
        )

    async def watching(self, collection: str, body: WatchBody) -> Chosen:
        """Take a watcher's word for a collection; see `ShoalClient.watching`.

        Who watches a part of the source alone cannot tell whether the collection is up to date.
        """
        manifest = await asyncio.to_thread(self._catalog.get, collection)
        if body.source == manifest.source:
            await self._calls.watching(collection, body.watcher, body.behind_s)
        return Chosen(include=manifest.choice.include, exclude=manifest.choice.exclude)

    async def unwatch(self, collection: str, watcher: str) -> None:
        """Forget a watcher; see `ShoalClient.unwatch`."""
        await self._calls.watching(collection, watcher, None)

    async def models(self) -> tuple[Model, ...]:
        """Return the models that are there, and where each is loaded."""
        pools = await self._calls.pools()
        names = [name for pool in pools for name in pool.embedders]
        replicas = await self._calls.replicas(names)
        return await asyncio.to_thread(models, self._catalog, self.settings.model, pools, replicas)

    async def scale(self, body: ScaleBody) -> Scale:
        """Change how many actors of each kind there are; see `ShoalClient.scale`."""
        wanted = body.model_dump(exclude_none=True, exclude={"auto"})
        if body.auto:
            wanted = {"embedders": AUTO, "hosts": AUTO, "routers": AUTO, **wanted}
        return _scale(await (self._calls.scale(wanted) if wanted else self._calls.scaled()))

    async def plan(self) -> Plan:
        """Return who is to run where, and why; see `ShoalClient.plan`."""
        return plan_of(await self._calls.layout())

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

    async def doctor(self) -> Diagnosis:
        """Examine the cluster; see `ShoalClient.doctor`."""
        return await diagnosis(self.settings, await self.status())

    async def histograms(self) -> dict[str, tuple[Histogram, ...]]:
        """Return what each router that answers has measured, by its name."""
        return await report.histograms(router_names(await self._calls.scaled()))

    async def status(self) -> Status:
        """Return how the cluster is; an actor that does not answer is named, not waited for."""
        scale, hosts, pools = await asyncio.gather(
            self._calls.scaled(), self._calls.hosts(), self._calls.pools()
        )
        embedders = [name for pool in pools for name in pool.embedders]
        named = (STEWARD, *router_names(scale), *hosts, *embedders)
        replicas, nodes, collections, jobs, memory = await asyncio.gather(
            self._calls.replicas(named),
            report.nodes(),
            self.collections(),
            self.indexing.shown(),
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
            memory_plan=self._memory_plan if nodes <= 1 else _BY_NODE,
            logs=str(Rooms(self.settings).folder),
            scale=_scale(scale),
            replicas=replicas,
            collections=collections,
            jobs=jobs,
        )


def _check_model(model: str, task: Task) -> None:
    """Raise where a model that is set cannot be read; one to be downloaded is not asked for."""
    spec = parse(model)
    if spec.is_local or spec.engine == "static":
        describe(model, task=task)


def _scale(scale: messages.Scale) -> Scale:
    return Scale(**asdict(scale))
