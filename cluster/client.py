"""The Shoal protocol over HTTP, for people's programs, the command line and MCP over stdio.

    with ShoalClient() as shoal:                        # this machine's gateway, started if absent
        shoal.wait(shoal.index(["."]))
        for hit in shoal.search("where are manifests published?").hits: ...

    async with AsyncShoalClient("https://shoal.example", token="…") as shoal: ...

Each operation is written once, as a function that describes its HTTP call; the sync and the async
client differ in how they send it. Nothing here imports Ray, NumPy or an engine.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlencode

import httpx2
from pydantic import SecretStr

from actors.choice import Choice
from actors.errors import BY_NAME, GatewayUnavailable, NotFound, ShoalError, Unauthorized
from cluster.connection import (
    CONNECT_S,
    CannotConnect,
    ConnectionBroke,
    Connections,
    TookTooLong,
)
from cluster.daemon import Endpoint, OnPhase, find_or_start, silent
from cluster.operation import Call, T, reply_of
from cluster.operations import AsyncOperations, Operations
from cluster.protocol import CALLER_HEADER, Job
from cluster.settings import Settings

if TYPE_CHECKING:
    from cluster.sending import Sending

_SILENT_S = 60.0
_LONG_SILENT_S = 3600.0
_BROKEN = (httpx2.NetworkError, httpx2.RemoteProtocolError)
"""What `ConnectionBroke` stands for."""
_POLL_S = 0.1
_SOON_S = 1.0
"""A job over a handful of files is done by then, and is asked after more often."""


class _Client(Operations):
    """A client of one gateway.

    Args:
        url: The gateway's address; None for `SHOAL_URL`, else this machine's own gateway, which is
            started when absent.
        token: Its bearer token; None for `SHOAL_TOKEN`.
        root: Where this machine's gateway keeps collections; None for `SHOAL_ROOT`.
        on_phase: Told what a gateway that is being started is doing.

    Raises:
        ShoalError: From every operation, as the gateway raised it.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        root: str | None = None,
        on_phase: OnPhase = silent,
    ) -> None:
        given = {"url": url, "root": root, "token": None if token is None else SecretStr(token)}
        self.settings = Settings(**{k: v for k, v in given.items() if v is not None})  # type: ignore[arg-type]
        self._on_phase = on_phase
        self._caller = secrets.token_hex(8)

    def _endpoint(self) -> Endpoint:
        """Return the gateway's address; starts it where it is this machine's and absent."""
        if self.settings.url:
            return Endpoint(self.settings.url, self.settings.token.get_secret_value())
        return find_or_start(self.settings, self._on_phase)

    def _headers(self, endpoint: Endpoint) -> dict[str, str]:
        return {**endpoint.headers, CALLER_HEADER: self._caller}

    def _lost(self, error: Exception) -> GatewayUnavailable:
        """Describe a connection that failed."""
        where = self.settings.url or "this machine's gateway"
        hint = "check the URL" if self.settings.url else "see `shoal status`; `shoal up` starts it"
        return GatewayUnavailable(
            f"no answer from {where} ({error or type(error).__name__}); {hint}"
        )


class ShoalClient(_Client):
    """Calls a gateway and waits for its answer."""

    _http: Connections | None = None

    def send(self, call: Call[T]) -> T:
        """Make a call; where the gateway went away since the last one, start it again."""
        return self._tried(call, call.repeatable)

    def _tried(self, call: Call[T], may_break: bool) -> T:
        fresh = self._http is None
        try:
            return self._send(call)
        except Unauthorized:  # a gateway that was started since has a token of its own
            self.close()
            if fresh or call.lines is not None:
                raise
        except CannotConnect as error:
            self.close()
            if fresh or call.lines is not None:
                raise self._lost(error) from error
        except ConnectionBroke as error:
            if fresh or not may_break:
                raise self._lost(error) from error
            may_break = False
        except TookTooLong as error:
            raise self._lost(error) from error
        return self._tried(call, may_break)

    def upload(
        self,
        folder: str | Path,
        *,
        scopes: Sequence[str] = (),
        collection: str | None = None,
        model: str | None = None,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
    ) -> Job:
        """Bring a collection up to date with a folder of this machine; see `index`.

        What is new or changed is sent, and then the job that takes it is returned.

        Args:
            folder: The folder; the collection's source is it and this machine's name.
            scopes: Folders and files below it, relative, to restrict that to.
            collection: As for `index`.
            model: As for `index`.
            include: As for `index`.
            exclude: As for `index`.

        Raises:
            NotFound: It does not exist.
        """
        choice = Choice(tuple(include), tuple(exclude))
        sending = _sending(self.settings, folder, scopes, collection, model, choice)
        return self.send(sending.send(self.send(sending.ask())))

    def wait(self, job: Job, on_progress: Callable[[Job], None] = lambda _: None) -> Job:
        """Wait until a job ends; raise the error of one that failed."""
        while job.state == "running":
            on_progress(job)
            time.sleep(_pause_s(job))
            with _still_known():
                job = self.job(job.id)
        on_progress(job)
        return _succeeded(job)

    def close(self) -> None:
        """Close the connection."""
        http, self._http = self._http, None
        if http:
            http.close()

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close the connection."""
        self.close()

    def _send(self, call: Call[T]) -> T:
        if self._http is None:
            endpoint = self._endpoint()
            self._http = Connections(endpoint, self._headers(endpoint))
        target = f"{call.path}?{urlencode(call.query)}" if call.query else call.path
        body = call.content or call.lines
        return reply_of(call, *self._http.ask(call.method, target, body, _silent_s(call)))


class AsyncShoalClient(_Client, AsyncOperations):
    """Calls a gateway without blocking the event loop."""

    _http: httpx2.AsyncClient | None = None

    async def send(self, call: Call[T]) -> T:
        """Make a call; where the gateway went away since the last one, start it again."""
        return await self._tried(call, call.repeatable)

    async def _tried(self, call: Call[T], may_break: bool) -> T:
        http = self._http
        fresh = http is None
        try:
            return await self._send(call)
        except Unauthorized:  # a gateway that was started since has a token of its own
            if self._http is http or fresh:
                await self.close()
            if fresh or call.lines is not None:
                raise
        except httpx2.ConnectError as error:
            if self._http is http or fresh:  # else another call has found the new gateway already
                await self.close()
            if fresh or call.lines is not None:
                raise self._lost(error) from error
        except httpx2.TransportError as error:
            if fresh or not (may_break and isinstance(error, _BROKEN)):
                raise self._lost(error) from error
            may_break = False  # the other connections stay open: other calls are under way there
        return await self._tried(call, may_break)

    async def upload(
        self,
        folder: str | Path,
        *,
        scopes: Sequence[str] = (),
        collection: str | None = None,
        model: str | None = None,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
    ) -> Job:
        """Bring a collection up to date with a folder of this machine; see `ShoalClient.upload`."""
        choice = Choice(tuple(include), tuple(exclude))
        sending = await asyncio.to_thread(
            _sending, self.settings, folder, scopes, collection, model, choice
        )
        return await self.send(sending.send(await self.send(sending.ask())))

    async def wait(self, job: Job) -> Job:
        """Wait until a job ends; raise the error of one that failed."""
        while job.state == "running":
            await asyncio.sleep(_pause_s(job))
            with _still_known():
                job = await self.job(job.id)
        return _succeeded(job)

    async def close(self) -> None:
        """Close the connection."""
        http, self._http = self._http, None
        if http:
            await http.aclose()

    async def __aenter__(self) -> Self:
        """Return the client."""
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Close the connection."""
        await self.close()

    async def _send(self, call: Call[T]) -> T:
        http = await self._connected()
        lines = None if call.lines is None else _asynchronous(call.lines, call.reads_files)
        content = call.content or lines
        answer = await http.request(
            call.method,
            call.path,
            content=content,
            params=call.query or None,
            headers=None if call.body is None else {"Content-Type": "application/json"},
            timeout=httpx2.Timeout(_silent_s(call), connect=CONNECT_S),
        )
        return reply_of(call, answer.status_code, answer.content)

    @cached_property
    def _connecting(self) -> asyncio.Lock:
        return asyncio.Lock()

    async def _connected(self) -> httpx2.AsyncClient:
        async with self._connecting:
            if self._http is None:
                endpoint = await asyncio.to_thread(self._endpoint)
                transport = httpx2.AsyncHTTPTransport(uds=endpoint.socket, verify=endpoint.verified)
                headers = self._headers(endpoint)
                self._http = httpx2.AsyncClient(
                    transport=transport, base_url=endpoint.url, headers=headers
                )
            return self._http


def _silent_s(call: Call[Any]) -> float:
    """Return for how many seconds a gateway may say nothing."""
    return _LONG_SILENT_S if call.patient or call.lines is not None else _SILENT_S


def _pause_s(job: Job) -> float:
    return _POLL_S if job.seconds > _SOON_S else _POLL_S / 4


@contextmanager
def _still_known() -> Iterator[None]:
    """Say what it means where a job that ran is unknown: its gateway ended, and another answers."""
    try:
        yield
    except NotFound as error:
        message = "the gateway ended over this job; the collection is as it was, run it again"
        raise GatewayUnavailable(message) from error


def _succeeded(job: Job) -> Job:
    if job.state == "cancelled":
        message = f"job {job.id} was cancelled; collection {job.collection!r} is as it was"
        raise ShoalError(message)
    if job.state in ("failed", "interrupted"):
        raise BY_NAME.get(job.error_kind, ShoalError)(job.error)
    return job


def _sending(
    settings: Settings,
    folder: str | Path,
    scopes: Sequence[str],
    collection: str | None,
    model: str | None,
    choice: Choice,
) -> Sending:
    from cluster.sending import Sending  # noqa: PLC0415 - few clients send folders

    return Sending(folder, scopes, settings.max_file_bytes, collection, model, choice)


async def _asynchronous(lines: Iterable[bytes], in_threads: bool) -> AsyncIterator[bytes]:
    if not in_threads:
        for line in lines:
            yield line
        return
    remaining = iter(lines)
    while line := await asyncio.to_thread(next, remaining, b""):
        yield line
