"""The gateway's ASGI application: the Shoal protocol over HTTP."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route

from actors.errors import ShoalError
from cluster.lookup_protocol import Passage, ReadBody, SimilarBody, SymbolsBody, SymbolsReply
from cluster.protocol import (
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
from cluster.service import Service
from mcp_adapter import page, problems
from mcp_adapter.door import Door, Guard, caller_of, waited_s
from mcp_adapter.http import McpEndpoint
from mcp_adapter.leaving import while_connected, while_it_comes
from mcp_adapter.lines import lines
from mcp_adapter.metrics import Gateway, exposition
from mcp_adapter.openai import embeddings, listed
from mcp_adapter.openapi import openapi
from mcp_adapter.parsing import ParsedRoute
from mcp_adapter.requests import Requests, no_times
from mcp_adapter.scopes import Scope, granted

_log = logging.getLogger("shoal.app")


def create_app(service: Service, guard: Guard, end: Callable[[], None]) -> FastAPI:
    """Build the application.

    Args:
        service: What answers.
        guard: What every request but the probes and the page's files is held against.
        end: Ends the gateway.
    """

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        starting = asyncio.create_task(_start(service, end))
        yield
        starting.cancel()
        await mcp.close()
        await service.stop()

    app = FastAPI(title="Shoal", lifespan=lifespan, openapi_url=None)
    mcp = McpEndpoint(app)
    times = no_times()
    app.add_middleware(Door, service=service, guard=guard)
    app.add_middleware(Requests, times=times)  # what is added later comes earlier
    if guard.hosts and guard.hosts.origins:
        app.add_middleware(CORSMiddleware, **_answers_for_pages_of(guard.hosts.origins))
    app.state.service, app.state.end, app.state.times = service, end, times
    app.state.mcp = mcp
    app.add_exception_handler(ShoalError, problems.shoal_error)
    app.add_exception_handler(RequestValidationError, problems.invalid)
    app.add_exception_handler(HTTPException, problems.http_error)
    app.router.routes.append(Route("/v1/search", search, methods=["POST"]))
    app.router.routes.append(Route("/v1/embeddings", embeddings, methods=["POST"]))
    app.router.routes.append(Route("/openapi.json", openapi))
    app.router.routes += mcp.routes
    app.include_router(_probes)
    app.include_router(page.router)
    app.include_router(_operations)
    app.include_router(_watching)
    return app


def _answers_for_pages_of(origins: Iterable[str]) -> dict[str, Any]:
    """Return what browsers are told: pages of these origins may read what they are answered."""
    anything = ("*",)
    return {"allow_origins": tuple(origins), "allow_methods": anything, "allow_headers": anything}


async def _start(service: Service, end: Callable[[], None]) -> None:
    try:
        await service.start()
        gc.freeze()  # what is imported stays: no collection need go through it in mid-request
    except Exception as error:  # noqa: BLE001 - whatever it was, the log says it and the gateway ends
        service.phase, service.problem = "failed", str(error)
        _log.error("the cluster could not be started: %s", error)
        _log.debug("", exc_info=error)
        end()


async def _service(request: Request) -> Service:  # one that is not async costs a thread's turn
    service: Service = request.app.state.service
    service.check_ready()
    return service


async def _caller(request: Request) -> str:
    return caller_of(request.scope)


_Service = Annotated[Service, Depends(_service)]
_Caller = Annotated[str, Depends(_caller)]
_probes = APIRouter()
_operations = APIRouter(prefix="/v1", route_class=ParsedRoute)
_watching = APIRouter()


@_probes.get("/healthz")
async def healthz() -> dict[str, str]:
    """Tell that the gateway's process is alive."""
    return {"status": "ok"}


@_probes.get("/readyz")
async def readyz(request: Request) -> JSONResponse:
    """Tell whether the cluster serves, and what it is doing where it does not yet."""
    phase = request.app.state.service.phase
    return JSONResponse({"phase": phase}, 200 if phase == "ready" else 503)


@_watching.get("/metrics")
async def metrics(service: _Service, request: Request) -> Response:
    """Return the cluster's state for Prometheus."""
    status, routers = await asyncio.gather(service.status(), service.histograms())
    gateway = Gateway(request.app.state.times, service.admission)
    return Response(exposition(status, routers, gateway), media_type=CONTENT_TYPE_LATEST)


async def search(request: Request) -> Response:
    """Search collections; the reply is a `SearchReply`.

    Past FastAPI, whose reading of a request and checking of a reply take longer than the rest.
    """
    service = await _service(request)
    try:
        body = SearchBody.model_validate_json(await request.body())
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from error
    scope = request.scope
    searching = service.search(body, caller_of(scope), waited_s(scope))
    reply = await while_connected(request, searching)
    return Response(reply.model_dump_json(), media_type="application/json")


@_operations.post("/index")
async def index(body: IndexBody, service: _Service) -> Job:
    """Start to bring a collection up to date with folders or files of this machine."""
    async with service.known_models.named_by_a_caller(body.model):
        return await service.indexing.index(body)


@_operations.post("/reindex")
async def reindex(body: ReindexBody, service: _Service) -> Job:
    """Start a batch job that brings a whole collection up to date."""
    async with service.known_models.named_by_a_caller(body.model):
        return await service.indexing.reindex(body)


@_operations.post("/ingest")
async def ingest(
    request: Request, service: _Service, collection: Annotated[CollectionName, Query()]
) -> IngestReply:
    """Store chunks, one JSON document a line."""
    return await service.indexing.ingest(collection, lines(request.stream()))


@_operations.post("/files/missing")
async def missing_files(
    request: Request, service: _Service, folder: Annotated[ClientFolder, Query()]
) -> Lacking:
    """Tell which files of a client's folder are to be sent; each is described by a line."""
    return await service.indexing.missing(folder, lines(while_it_comes(request)))


@_operations.post("/files")
async def files(
    request: Request, service: _Service, folder: Annotated[ClientFolder, Query()]
) -> Job:
    """Start to bring a collection up to date with a client's folder, once all of it is here."""
    async with service.known_models.named_by_a_caller(folder.model):
        return await service.indexing.receive(folder, while_it_comes(request))


@_operations.post("/embed")
async def embed(
    body: EmbedBody, service: _Service, caller: _Caller, request: Request
) -> EmbedReply:
    """Embed texts; with a model that is not here yet where the token may change collections."""
    if body.model and granted(request.scope) < Scope.INDEX:
        await service.known_models.full_name(body.model)
    embedding = service.embed(body, caller, waited_s(request.scope))
    async with service.known_models.named_by_a_caller(body.model):
        return await while_connected(request, embedding)


@_operations.post("/read")
async def read(body: ReadBody, service: _Service, caller: _Caller, request: Request) -> Passage:
    """Return stored lines: those of a chunk, or of a file."""
    reading = service.lookups.read(body, caller, waited_s(request.scope))
    return await while_connected(request, reading)


@_operations.post("/similar")
async def similar(
    body: SimilarBody, service: _Service, caller: _Caller, request: Request
) -> SearchReply:
    """Return the chunks that are nearest in meaning to a stored chunk or to a text."""
    searching = service.lookups.similar(body, caller, waited_s(request.scope))
    return await while_connected(request, searching)


@_operations.post("/symbols")
async def symbols(
    body: SymbolsBody, service: _Service, caller: _Caller, request: Request
) -> SymbolsReply:
    """Return where a name is defined."""
    looking = service.lookups.symbols(body, caller, waited_s(request.scope))
    return await while_connected(request, looking)


@_operations.get("/models")
async def models(service: _Service) -> Models:
    """Return the models that are there, and where each is loaded, listed as OpenAI's API does."""
    return listed(await service.models())


@_operations.get("/jobs")
async def jobs(service: _Service) -> tuple[Job, ...]:
    """Return all jobs that are remembered: running ones first, newest first."""
    return await service.indexing.jobs()


@_operations.get("/jobs/{job_id}")
async def job(job_id: str, service: _Service) -> Job:
    """Return how far a job is."""
    return await service.indexing.job(job_id)


@_operations.delete("/jobs/{job_id}")
async def cancel(job_id: str, service: _Service) -> Job:
    """Cancel a job, and return it as it is then."""
    return await service.indexing.cancel(job_id)


@_operations.get("/collections")
async def collections(service: _Service) -> tuple[Collection, ...]:
    """Return all collections."""
    return await service.collections()


@_operations.delete("/collections/{collection}")
async def delete(collection: CollectionName, service: _Service) -> None:
    """Delete a collection."""
    await service.delete(collection)


@_operations.put("/watches/{collection}")
async def watching(collection: CollectionName, body: WatchBody, service: _Service) -> None:
    """Take note of how far a collection is behind the source that somebody watches."""
    await service.watching(collection, body)


@_operations.delete("/watches/{collection}")
async def unwatch(
    collection: CollectionName, watcher: Annotated[str, Query()], service: _Service
) -> None:
    """Take note that somebody does not watch a collection any more."""
    await service.unwatch(collection, watcher)


@_operations.get("/collections/{collection}/generations")
async def history(collection: CollectionName, service: _Service) -> tuple[Generation, ...]:
    """Return the generations of a collection that can be gone back to, newest first."""
    return await service.history(collection)


@_operations.post("/collections/{collection}/verify")
async def verify(collection: CollectionName, body: VerifyBody, service: _Service) -> Verification:
    """Read a generation from end to end and return what is wrong with it."""
    return await service.verify(collection, body)


@_operations.post("/collections/{collection}/rollback")
async def rollback(collection: CollectionName, body: RollbackBody, service: _Service) -> Generation:
    """Publish what an old generation holds as a new one."""
    return await service.rollback(collection, body)


@_operations.get("/status")
async def status(service: _Service) -> Status:
    """Return how the cluster is."""
    return await service.status()


@_operations.post("/scale")
async def scale(body: ScaleBody, service: _Service) -> Scale:
    """Change how many actors of each kind there are; what is absent stays."""
    return await service.scale(body)


@_operations.post("/shutdown")
async def shutdown(request: Request) -> None:
    """End the gateway once this is answered."""
    request.app.state.end()
