"""The gateway's ASGI application: the Shoal protocol over HTTP."""

from __future__ import annotations

import asyncio
import codecs
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from actors.errors import (
    GatewayUnavailable,
    InvalidRequest,
    LimitExceeded,
    ShoalError,
)
from cluster.protocol import (
    Collection,
    CollectionName,
    IndexBody,
    IngestReply,
    Job,
    SearchBody,
    SearchReply,
    Status,
)
from cluster.service import Service
from mcp_adapter.door import Door, problem_response

_log = logging.getLogger("shoal.app")

_MAX_LINE_CHARS = 1 << 20
"""A chunk of the largest text with a vector of 16,384 dimensions takes about a quarter."""


def create_app(service: Service, token: str, end: Callable[[], None]) -> FastAPI:
    """Build the application.

    Args:
        service: What answers.
        token: What every request but the two probes must bear.
        end: Ends the gateway.
    """

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        starting = asyncio.create_task(_start(service, end))
        yield
        starting.cancel()
        await service.stop()

    app = FastAPI(title="Shoal", lifespan=lifespan, openapi_url=None)
    app.add_middleware(Door, service=service, token=token)
    app.state.service, app.state.end = service, end
    app.add_exception_handler(ShoalError, _shoal_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _unexpected)
    app.include_router(_probes)
    app.include_router(_operations)
    return app


async def _start(service: Service, end: Callable[[], None]) -> None:
    try:
        await service.start()
    except Exception as error:  # noqa: BLE001 - whatever it was, the log says it and the gateway ends
        service.phase = "failed"
        _log.error("the cluster could not be started: %s", error)
        _log.debug("", exc_info=error)
        end()


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


_Service = Annotated[Service, Depends(_service)]
_probes = APIRouter()
_operations = APIRouter(prefix="/v1")


@_probes.get("/healthz")
async def healthz() -> dict[str, str]:
    """Tell that the gateway's process is alive."""
    return {"status": "ok"}


@_probes.get("/readyz")
async def readyz(request: Request) -> JSONResponse:
    """Tell whether the cluster serves, and what it is doing where it does not yet."""
    phase = request.app.state.service.phase
    return JSONResponse({"phase": phase}, 200 if phase == "ready" else 503)


@_operations.post("/search")
async def search(body: SearchBody, service: _Service) -> SearchReply:
    """Search collections."""
    return await service.search(body)


@_operations.post("/index")
async def index(body: IndexBody, service: _Service) -> Job:
    """Start to bring a collection up to date with folders or files of this machine."""
    return await service.index(body)


@_operations.post("/ingest")
async def ingest(
    request: Request, service: _Service, collection: Annotated[CollectionName, Query()]
) -> IngestReply:
    """Store chunks, one JSON document a line."""
    return await service.ingest(collection, _lines(request.stream()))


@_operations.get("/jobs")
async def jobs(service: _Service) -> tuple[Job, ...]:
    """Return all jobs that are remembered."""
    return await service.jobs()


@_operations.get("/jobs/{job_id}")
async def job(job_id: str, service: _Service) -> Job:
    """Return how far a job is."""
    return await service.job(job_id)


@_operations.get("/collections")
async def collections(service: _Service) -> tuple[Collection, ...]:
    """Return all collections."""
    return await service.collections()


@_operations.delete("/collections/{collection}")
async def delete(collection: str, service: _Service) -> None:
    """Delete a collection."""
    await service.delete(collection)


@_operations.get("/status")
async def status(service: _Service) -> Status:
    """Return how the cluster is."""
    return await service.status()


@_operations.post("/shutdown")
async def shutdown(request: Request, _service: _Service) -> None:
    """End the gateway once this is answered."""
    request.app.state.end()


async def _lines(stream: AsyncIterator[bytes]) -> AsyncIterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")()
    rest = ""
    async for piece in stream:
        *whole, rest = (rest + _decoded(decoder, piece)).split("\n")
        for line in whole:
            yield line
        if len(rest) > _MAX_LINE_CHARS:
            message = f"a line is over {_MAX_LINE_CHARS} characters; cut the chunk"
            raise LimitExceeded(message)
    yield rest + _decoded(decoder, b"", final=True)


def _decoded(decoder: codecs.IncrementalDecoder, piece: bytes, final: bool = False) -> str:
    try:
        return decoder.decode(piece, final)
    except UnicodeDecodeError as error:
        message = f"the request is not UTF-8 ({error.reason})"
        raise InvalidRequest(message) from error


async def _shoal_error(_request: Request, error: Exception) -> JSONResponse:
    return problem_response(error if isinstance(error, ShoalError) else ShoalError(str(error)))


async def _invalid(_request: Request, error: Exception) -> JSONResponse:
    first = error.errors()[0] if isinstance(error, RequestValidationError) else {}
    where = ".".join(str(part) for part in first.get("loc", ()) if part != "body")
    reason = str(first.get("msg", error)).removeprefix("Value error, ")
    return problem_response(InvalidRequest(f"{where}: {reason}" if where else reason))


async def _unexpected(_request: Request, error: Exception) -> JSONResponse:
    _log.exception("unexpected error", exc_info=error)
    message = f"the gateway failed unexpectedly ({type(error).__name__}); its log says more"
    return problem_response(GatewayUnavailable(message))
