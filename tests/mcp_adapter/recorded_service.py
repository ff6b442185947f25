"""A service that answers with what a test recorded, behind the gateway's own application.

async with served(RecordedService()) as url: ...
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager, nullcontext
from types import SimpleNamespace

import canned
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


def served(service: RecordedService) -> AbstractAsyncContextManager[str]:
    """Serve a service on loopback and return its URL."""
    return canned.served(app(service), lifespan="off", timeout_graceful_shutdown=0)
