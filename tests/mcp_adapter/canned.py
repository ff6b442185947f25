"""The gateway's application, door and all, over a service that needs no cluster."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace

import uvicorn
from stub_gateway import a_collection, a_hit, a_job, a_reply, a_status

from actors.routing.admission import Admission
from cluster.protocol import SearchBody, SearchReply
from cluster.roots import Roots
from cluster.service import Service
from cluster.settings import Settings
from mcp_adapter.door import Guard
from mcp_adapter.hosts import Hosts
from mcp_adapter.rates import Rates
from mcp_adapter.scopes import Keys

TOKEN = "let-me-in"
SEARCHING = "let-me-search-only"
HELD = "hold this search"


def guard(rates: Rates | None = None) -> Guard:
    """Return what the door checks of a gateway on loopback: tokens, hosts and origins."""
    return Guard(Keys(TOKEN, f"search:{SEARCHING}"), Hosts.of("127.0.0.1"), rates)


class CannedService(Service):
    """Answers everything at once, but for a search that is held until somebody cancels it.

    Attributes:
        callers: Who searched, in order.
        held: Set once a search is held.
        cancelled: How many of those were cancelled.
    """

    def __init__(self) -> None:
        super().__init__(Settings(root="/nowhere"), Roots.of("", is_private=True))
        self.admission = Admission()
        self.callers: list[str] = []
        self.held = asyncio.Event()
        self.cancelled = 0
        self.indexing = SimpleNamespace(is_busy=False, jobs=_jobs, job=_job)

    async def start(self) -> None:
        self.phase = "ready"
        self.touch()

    async def stop(self) -> None:
        self.phase = "stopping"

    async def search(
        self, body: SearchBody, caller: str = "", waited_s: float = 0.0
    ) -> SearchReply:
        self.callers.append(caller)
        if body.query != HELD:
            return a_reply(a_hit(f"{self.cancelled} were cancelled"))
        self.held.set()
        try:
            return await asyncio.Event().wait()
        finally:
            self.cancelled += 1

    async def collections(self):
        return (a_collection(),)

    async def models(self):
        return ()

    async def status(self):
        return a_status()


@asynccontextmanager
async def served(app, **options) -> AsyncIterator[str]:
    """Serve an application over TCP, with uvicorn's options, and yield its address."""
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()  # who connects before it serves waits for it
        chosen = {"ws": "none", "log_level": "error", "timeout_graceful_shutdown": 2, **options}
        server = uvicorn.Server(uvicorn.Config(app, **chosen))
        serving = asyncio.create_task(server.serve([listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving


async def _jobs():
    return (a_job(),)


async def _job(_job_id):
    return a_job()
