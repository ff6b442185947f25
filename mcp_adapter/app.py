"""The gateway's ASGI application: the Shoal protocol over HTTP."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route

from actors.errors import ShoalError
from cluster.service import Service
from mcp_adapter import page, problems, routes, upkeep
from mcp_adapter.door import Door, Guard
from mcp_adapter.http import McpEndpoint
from mcp_adapter.openai import embeddings
from mcp_adapter.openapi import openapi
from mcp_adapter.requests import Requests, no_times

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

    app = FastAPI(
        title="Shoal",
        lifespan=lifespan,
        openapi_url=None,
        # FastAPI looks for providers at each request; ours are those of `Requests`. Older ones,
        # which vLLM asks for, have no telemetry and leave this unread.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
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
    app.router.routes.append(Route("/v1/search", routes.search, methods=["POST"]))
    app.router.routes.append(Route("/v1/embeddings", embeddings, methods=["POST"]))
    app.router.routes.append(Route("/openapi.json", openapi))
    app.router.routes += mcp.routes
    app.include_router(routes.probes)
    app.include_router(page.router)
    app.include_router(routes.operations)
    app.include_router(upkeep.router)
    app.include_router(routes.observed)
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
