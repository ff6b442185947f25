"""A gateway that answers what a test tells it to, over real HTTP.

    async with stub_gateway(StubGateway(search=a_reply(a_hit()))) as url: ...

`python stub_gateway.py` serves one alone, on a port that it prints.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn

from cluster.lookup_protocol import Passage, Symbol, SymbolsReply
from cluster.protocol import (
    Collection,
    CollectionCoverage,
    Job,
    Problem,
    Replica,
    SearchHit,
    SearchReply,
    Status,
)


def a_hit(text: str = "def admit(): ...", **other: Any) -> SearchHit:
    known = {
        "collection": "shoal",
        "path": "actors/router.py",
        "start_line": 12,
        "end_line": 12 + text.count("\n"),
        "language": "python",
        "symbol": "Router.admit",
        "score": 0.03125,
        "id": "00000000000000ff",
    }
    return SearchHit(text=text, **{**known, **other})


def a_reply(
    *hits: SearchHit,
    coverage: float = 1.0,
    problem: str = "",
    generation: int = 7,
    more: bool = False,
) -> SearchReply:
    searched = CollectionCoverage(
        name="shoal", generation=generation, coverage=coverage, problem=problem
    )
    return SearchReply(
        hits=hits, coverage=coverage, collections=(searched,), timings_ms={}, more=more
    )


def a_passage(text: str = "def admit(): ...", **other: Any) -> Passage:
    known = {
        "collection": "shoal",
        "path": "actors/router.py",
        "start_line": 12,
        "end_line": 12 + text.count("\n"),
        "language": "python",
        "symbol": "Router.admit",
        "id": "00000000000000ff",
        "generation": 7,
    }
    return Passage(text=text, **{**known, **other})


def a_symbol(**other: Any) -> Symbol:
    known = {
        "collection": "shoal",
        "path": "actors/router.py",
        "start_line": 12,
        "end_line": 20,
        "language": "python",
        "symbol": "Router.admit",
        "kind": "function",
        "signature": "def admit(self) -> None:",
        "id": "00000000000000ff",
    }
    return Symbol(**{**known, **other})


def a_job(**other: Any) -> Job:
    known = {
        "id": "0a1b2c3d4e5f",
        "collection": "shoal",
        "kind": "index",
        "source": "/src/shoal",
        "started_at": 1.7e9,
        "state": "running",
        "phase": "reading and embedding",
        "files_done": 120,
        "files_total": 400,
        "files_changed": 0,
        "files_unchanged": 3,
        "files_removed": 1,
        "chunks": 900,
        "skipped": {"binary": 2},
        "errors": (),
        "errors_omitted": 0,
        "generation": 7,
        "seconds": 12.25,
        "rate": 10.0,
        "eta_s": 28.0,
        "error": "",
        "error_kind": "",
    }
    return Job(**{**known, **other})


def a_collection(**other: Any) -> Collection:
    known = {
        "name": "shoal",
        "generation": 7,
        "chunks": 1234,
        "shards": 2,
        "segments": 3,
        "model": "static:builtin",
        "source": "/src/shoal",
        "updated_at": "2026-07-28T00:00:00+00:00",
    }
    return Collection(**{**known, **other})


def a_status(**other: Any) -> Status:
    replica = Replica(
        name="embedder-0",
        kind="Embedder",
        pid=12,
        pss_bytes=100 << 20,
        limit_bytes=512 << 20,
        enforcement="cgroup v2 + watchdog",
        detail={"state": "ready"},
    )
    known = {
        "version": "0.1.0",
        "root": "/data",
        "model": "static:builtin",
        "gateway_pid": 11,
        "gateway_rss_bytes": 90 << 20,
        "memory_bytes": 512 << 20,
        "processes": 5,
        "uptime_s": 60.0,
        "idle_s": 0.0,
        "nodes": 1,
        "replicas": (replica,),
        "collections": (a_collection(),),
        "jobs": (a_job(),),
    }
    return Status(**{**known, **other})


class StubGateway:
    """An ASGI application; each argument is what one operation replies, or a function that does.

    A search is held until the operation `hold_searches_until` was asked for; `left` is set where
    its caller closes the connection over that.
    """

    def __init__(self, **replies: Any) -> None:
        known = {
            "search": a_reply(a_hit()),
            "similar": a_reply(a_hit()),
            "read": a_passage(),
            "symbols": SymbolsReply(symbols=(a_symbol(),), more=False),
            "index": a_job(),
            "jobs": a_job(),
            "collections": (a_collection(),),
            "status": a_status(),
            "models": (),
        }
        self.replies = {**known, **replies}
        self.bodies: list[Any] = []
        self.asked: set[str] = set()
        self.calls: list[tuple[str, str]] = []
        self.hold_searches_until = "search"
        self.left = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while (event := await receive()).get("more_body"):
            body += event["body"]
        body += event.get("body", b"")
        operation = scope["path"].split("/")[2]
        self.asked.add(operation)
        if operation != "models":  # which every call asks for that takes longer than a second
            self.calls.append((scope["method"], scope["path"]))
        if body:
            self.bodies.append(json.loads(body))
        if operation == "search":
            await self._hold(receive)
        deletes = (scope["method"], operation) == ("DELETE", "collections")
        status, content = (200, b"null") if deletes else _http(self.replies[operation])
        if operation == "models" and status == 200:
            content = b'{"data": ' + content + b"}"
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    async def _hold(self, receive: Any) -> None:
        leaving = asyncio.create_task(receive())
        while self.hold_searches_until not in self.asked and not self.left.is_set():
            if leaving.done():
                self.left.set()
            await asyncio.sleep(0.01)
        leaving.cancel()


@asynccontextmanager
async def stub_gateway(app: StubGateway) -> AsyncIterator[str]:
    """Serve an application and return its URL."""
    # asyncio turns off Nagle only for sockets that name their protocol.
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(app, lifespan="off", ws="none", log_level="error")
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve([listener]))
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        await serving


def _http(reply: Any) -> tuple[int, bytes]:
    if callable(reply):
        reply = reply()
    if isinstance(reply, Problem):
        return 400, reply.model_dump_json().encode()
    if isinstance(reply, tuple):
        return 200, json.dumps([item.model_dump(mode="json") for item in reply]).encode()
    return 200, reply.model_dump_json().encode()


async def _serve_alone() -> None:
    async with stub_gateway(StubGateway()) as url:
        print(url, flush=True)  # noqa: T201
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve_alone())
