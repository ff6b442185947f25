"""Asking the gateway for a tool: what a call waits for is told, what goes wrong becomes advice."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from mcp.server.mcpserver import Context

from actors.errors import ShoalError
from actors.kinds import Kind
from cluster.lookup_protocol import Passage, SymbolsReply
from cluster.protocol import Collection, Job, Mode, Model, SearchReply, Status
from mcp_adapter.progress import Phases, Progress
from mcp_adapter.refusals import as_tool_errors

_LOOK_S = 1.0
"""After so long a call may be waiting for a model to load, which is worth telling."""


class Shoal(Protocol):
    """What tools, resources and completion need of a client, such as `AsyncShoalClient`."""

    def search(
        self,
        query: str = "",
        *,
        collections: Sequence[str] = (),
        mode: Mode = "hybrid",
        limit: int = 10,
        paths: Sequence[str] = (),
        languages: Sequence[str] = (),
        context: int = 0,
        exclude_paths: Sequence[str] = (),
        offset: int = 0,
    ) -> Awaitable[SearchReply]:
        """Search collections."""

    def similar(
        self,
        chunk_id: str | None = None,
        *,
        path: str | None = None,
        line: int | None = None,
        collection: str | None = None,
        text: str | None = None,
        collections: Sequence[str] = (),
        languages: Sequence[str] = (),
        paths: Sequence[str] = (),
        exclude_paths: Sequence[str] = (),
        limit: int = 10,
        offset: int = 0,
    ) -> Awaitable[SearchReply]:
        """Find chunks that mean about the same as a stored one, or as a text."""

    def read(
        self,
        chunk_id: str | None = None,
        *,
        path: str | None = None,
        collection: str | None = None,
        start_line: int | None = None,
        end_line: int | None = None,
        context: int = 0,
    ) -> Awaitable[Passage]:
        """Return stored lines."""

    def symbols(
        self,
        name: str,
        *,
        kind: Kind | None = None,
        collections: Sequence[str] = (),
        languages: Sequence[str] = (),
        limit: int = 20,
        offset: int = 0,
    ) -> Awaitable[SymbolsReply]:
        """Find where a name is defined."""

    def index(
        self,
        paths: Sequence[str],
        *,
        collection: str | None = None,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
    ) -> Awaitable[Job]:
        """Start an indexing job."""

    def job(self, job_id: str) -> Awaitable[Job]:
        """Return how far a job is."""

    def jobs(self) -> Awaitable[tuple[Job, ...]]:
        """Return all jobs, running ones first, newest first."""

    def cancel(self, job_id: str) -> Awaitable[Job]:
        """Cancel a job."""

    def collections(self) -> Awaitable[tuple[Collection, ...]]:
        """Return all collections."""

    def delete(self, collection: str) -> Awaitable[None]:
        """Delete a collection."""

    def models(self) -> Awaitable[tuple[Model, ...]]:
        """Return the models that are there, and where each is loaded."""

    def status(self) -> Awaitable[Status]:
        """Return how the cluster is."""


class Asking:
    """What all tools share.

    Args:
        shoal: Asks the gateway.
        phases: What the client tells while it starts a gateway.
    """

    def __init__(self, shoal: Shoal, phases: Phases) -> None:
        self.shoal = shoal
        self._phases = phases

    @asynccontextmanager
    async def during(self, ctx: Context, if_not_found: str = "") -> AsyncIterator[Progress]:
        """Tell a call's progress while it lasts, and turn errors into what a model can act on.

        Args:
            ctx: The call.
            if_not_found: What to do where something was not found, in place of what fits a search.
        """
        with as_tool_errors(if_not_found):
            async with self._phases.told_to(ctx) as progress, self._loads_told():
                yield progress

    @asynccontextmanager
    async def _loads_told(self) -> AsyncIterator[None]:
        """Tell how far models load while a call waits; a quick call asks for nothing."""
        watching = asyncio.create_task(self._tell_loads())
        try:
            yield
        finally:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching

    async def _tell_loads(self) -> None:
        with contextlib.suppress(ShoalError):  # the call itself says what is wrong
            while True:
                await asyncio.sleep(_LOOK_S)
                for model in await self.shoal.models():
                    for replica in model.replicas:
                        if replica.state == "loading":
                            part = f" ({replica.fraction:.0%})" if replica.fraction else ""
                            self._phases(f"loading {model.name}: {replica.phase}{part}")
