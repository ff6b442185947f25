"""The operations of the Shoal protocol as routes: each asks the service, and is described by it."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import ValidationError

from cluster.lookup_protocol import Passage, ReadBody, SimilarBody, SymbolsBody, SymbolsReply
from cluster.protocol import (
    Chosen,
    ClientFolder,
    Collection,
    CollectionName,
    EmbedBody,
    EmbedReply,
    Generation,
    IndexBody,
    IngestReply,
    Job,
    Lacking,
    Models,
    ReindexBody,
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
from cluster.topology import Plan
from mcp_adapter.door import caller_of, waited_s
from mcp_adapter.leaving import while_connected, while_it_comes
from mcp_adapter.lines import lines
from mcp_adapter.metrics import Gateway, exposition
from mcp_adapter.openai import listed
from mcp_adapter.parsing import ParsedRoute
from mcp_adapter.ready import ReadyService, ready_service
from mcp_adapter.scopes import Scope, granted


async def _caller(request: Request) -> str:
    return caller_of(request.scope)


_Caller = Annotated[str, Depends(_caller)]
probes = APIRouter()
operations = APIRouter(prefix="/v1", route_class=ParsedRoute)
observed = APIRouter()


@probes.get("/healthz")
async def healthz() -> dict[str, str]:
    """Tell that the gateway's process is alive."""
    return {"status": "ok"}


@probes.get("/readyz")
async def readyz(request: Request) -> JSONResponse:
    """Tell whether the cluster serves, and what it is doing where it does not yet."""
    phase = request.app.state.service.phase
    return JSONResponse({"phase": phase}, 200 if phase == "ready" else 503)


@observed.get("/metrics")
async def metrics(service: ReadyService, request: Request) -> Response:
    """Return the cluster's state for Prometheus."""
    status, routers = await asyncio.gather(service.status(), service.histograms())
    gateway = Gateway(request.app.state.times, service.admission)
    return Response(exposition(status, routers, gateway), media_type=CONTENT_TYPE_LATEST)


async def search(request: Request) -> Response:
    """Search collections; the reply is a `SearchReply`.

    Past FastAPI, whose reading of a request and checking of a reply take longer than the rest.
    """
    service = await ready_service(request)
    try:
        body = SearchBody.model_validate_json(await request.body())
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from error
    scope = request.scope
    searching = service.search(body, caller_of(scope), waited_s(scope))
    reply = await while_connected(request, searching)
    return Response(reply.model_dump_json(), media_type="application/json")


@operations.post("/index")
async def index(body: IndexBody, service: ReadyService) -> Job:
    """Start to bring a collection up to date with folders or files of this machine."""
    async with service.known_models.named_by_a_caller(body.model):
        return await service.indexing.index(body)


@operations.post("/reindex")
async def reindex(body: ReindexBody, service: ReadyService) -> Job:
    """Start a batch job that brings a whole collection up to date."""
    async with service.known_models.named_by_a_caller(body.model):
        return await service.indexing.reindex(body)


@operations.post("/ingest")
async def ingest(
    request: Request,
    service: ReadyService,
    collection: Annotated[CollectionName, Query()],
    model: Annotated[str | None, Query(min_length=1)] = None,
) -> IngestReply:
    """Store chunks, one JSON document a line."""
    async with service.known_models.named_by_a_caller(model):
        return await service.indexing.ingest(collection, model, lines(request.stream()))


@operations.post("/files/missing")
async def missing_files(
    request: Request, service: ReadyService, folder: Annotated[ClientFolder, Query()]
) -> Lacking:
    """Tell which files of a client's folder are to be sent; each is described by a line."""
    return await service.indexing.missing(folder, lines(while_it_comes(request)))


@operations.post("/files")
async def files(
    request: Request, service: ReadyService, folder: Annotated[ClientFolder, Query()]
) -> Job:
    """Start to bring a collection up to date with a client's folder, once all of it is here."""
    async with service.known_models.named_by_a_caller(folder.model):
        return await service.indexing.receive(folder, while_it_comes(request))


@operations.post("/embed")
async def embed(
    body: EmbedBody, service: ReadyService, caller: _Caller, request: Request
) -> EmbedReply:
    """Embed texts; with a model that is not here yet where the token may change collections."""
    if body.model and granted(request.scope) < Scope.INDEX:
        await service.known_models.full_name(body.model)
    embedding = service.embed(body, caller, waited_s(request.scope))
    async with service.known_models.named_by_a_caller(body.model):
        return await while_connected(request, embedding)


@operations.post("/read")
async def read(body: ReadBody, service: ReadyService, caller: _Caller, request: Request) -> Passage:
    """Return stored lines: those of a chunk, or of a file."""
    reading = service.lookups.read(body, caller, waited_s(request.scope))
    return await while_connected(request, reading)


@operations.post("/similar")
async def similar(
    body: SimilarBody, service: ReadyService, caller: _Caller, request: Request
) -> SearchReply:
    """Return the chunks that are nearest in meaning to a stored chunk or to a text."""
    searching = service.lookups.similar(body, caller, waited_s(request.scope))
    return await while_connected(request, searching)


@operations.post("/symbols")
async def symbols(
    body: SymbolsBody, service: ReadyService, caller: _Caller, request: Request
) -> SymbolsReply:
    """Return where a name is defined."""
    looking = service.lookups.symbols(body, caller, waited_s(request.scope))
    return await while_connected(request, looking)


@operations.get("/models")
async def models(service: ReadyService) -> Models:
    """Return the models that are there, and where each is loaded, listed as OpenAI's API does."""
    return listed(await service.models())


@operations.get("/jobs")
async def jobs(service: ReadyService) -> tuple[Job, ...]:
    """Return all jobs that are remembered: running ones first, newest first."""
    return await service.indexing.jobs()


@operations.get("/jobs/{job_id}")
async def job(job_id: str, service: ReadyService) -> Job:
    """Return how far a job is."""
    return await service.indexing.job(job_id)


@operations.delete("/jobs/{job_id}")
async def cancel(job_id: str, service: ReadyService) -> Job:
    """Cancel a job, and return it as it is then."""
    return await service.indexing.cancel(job_id)


@operations.get("/collections")
async def collections(service: ReadyService) -> tuple[Collection, ...]:
    """Return all collections."""
    return await service.collections()


@operations.delete("/collections/{collection}")
async def delete(collection: CollectionName, service: ReadyService) -> None:
    """Delete a collection."""
    await service.delete(collection)


@operations.put("/watches/{collection}")
async def watching(collection: CollectionName, body: WatchBody, service: ReadyService) -> Chosen:
    """Take note of how far a collection is behind the source that somebody watches."""
    return await service.watching(collection, body)


@operations.delete("/watches/{collection}")
async def unwatch(
    collection: CollectionName, watcher: Annotated[str, Query()], service: ReadyService
) -> None:
    """Take note that somebody does not watch a collection any more."""
    await service.unwatch(collection, watcher)


@operations.get("/collections/{collection}/generations")
async def history(collection: CollectionName, service: ReadyService) -> tuple[Generation, ...]:
    """Return the generations of a collection that can be gone back to, newest first."""
    return await service.history(collection)


@operations.post("/collections/{collection}/verify")
async def verify(
    collection: CollectionName, body: VerifyBody, service: ReadyService
) -> Verification:
    """Read a generation from end to end and return what is wrong with it."""
    return await service.verify(collection, body)


@operations.post("/collections/{collection}/rollback")
async def rollback(
    collection: CollectionName, body: RollbackBody, service: ReadyService
) -> Generation:
    """Publish what an old generation holds as a new one."""
    return await service.rollback(collection, body)


@operations.get("/status")
async def status(service: ReadyService) -> Status:
    """Return how the cluster is."""
    return await service.status()


@operations.post("/scale")
async def scale(body: ScaleBody, service: ReadyService) -> Scale:
    """Change how many actors of each kind there are; what is absent stays."""
    return await service.scale(body)


@operations.get("/plan")
async def plan(service: ReadyService) -> Plan:
    """Return which actors are to run on which machine, with what memory, and why."""
    return await service.plan()


@operations.post("/shutdown")
async def shutdown(request: Request) -> None:
    """End the gateway once this is answered."""
    request.app.state.end()
