"""A service that answers with what a test recorded, behind the gateway's own application.

async with served(RecordedService()) as url: ...
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from types import SimpleNamespace

import uvicorn
from stub_gateway import a_hit, a_reply, a_status

from actors.routing.admission import Admission
from cluster.protocol import SearchBody, SearchReply, Status
from mcp_adapter.app import create_app
from mcp_adapter.door import Guard
from mcp_adapter.scopes import Keys

TOKEN = "a-token/of+mine"


class RecordedService:
    """Answers searches and status; a search waits as long as `may_answer` is not set."""

    def __init__(self, reply: SearchReply | None = None, status: Status | None = None) -> None:
        self.phase = "ready"
        self.settings = SimpleNamespace(deadline_s=10.0)
        self.admission = Admission(at_work=8)
        self.reply = reply or a_reply(a_hit())
        self.state = status or a_status()
        self.searched: list[SearchBody] = []
        self.withdrawn: list[str] = []
        self.looked = 0
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    in_use = staticmethod(nullcontext)

    def check_ready(self) -> None:
        pass

    async def search(self, body: SearchBody, caller: str, waited_s: float) -> SearchReply:
        self.searched.append(body)
        try:
            await self.may_answer.wait()
        except asyncio.CancelledError:
            self.withdrawn.append(body.query)
            raise
        return self.reply

    async def status(self) -> Status:
        self.looked += 1
        return self.state


def app(service: RecordedService):
    return create_app(service, Guard(Keys(TOKEN)), lambda: None)


@asynccontextmanager
async def served(service: RecordedService) -> AsyncIterator[str]:
    """Serve a service on loopback and return its URL."""
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()  # who comes before the server has begun waits
        config = uvicorn.Config(app(service), lifespan="off", ws="none", log_level="error")
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve([listener]))
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = server.force_exit = True
        await serving
