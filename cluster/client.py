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
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, ParamSpec, Self, TypeVar, overload

import httpx2
from pydantic import SecretStr, TypeAdapter, ValidationError

from actors.errors import BY_NAME, GatewayUnavailable, InvalidRequest, ShoalError
from cluster.daemon import Endpoint, OnPhase, find_or_start, silent
from cluster.protocol import (
    DEFAULT_LIMIT,
    Collection,
    IndexBody,
    IngestChunk,
    IngestReply,
    Job,
    Message,
    Mode,
    Problem,
    SearchBody,
    SearchReply,
    Status,
    Vector,
)
from cluster.settings import Settings

P = ParamSpec("P")
T = TypeVar("T")

_TIMEOUT = httpx2.Timeout(60.0, connect=5.0)
_UPLOAD_TIMEOUT = httpx2.Timeout(3600.0, connect=5.0)
_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One HTTP call: how to make it and what comes back."""

    method: str
    path: str
    reply: TypeAdapter[T]
    body: Message | None = None
    lines: Iterable[bytes] | None = None
    query: tuple[tuple[str, str], ...] = ()


class _Operation(Generic[P, T]):
    """A method of both clients: `T` from the sync one, an awaitable `T` from the async one."""

    def __init__(self, describe: Callable[P, Call[T]]) -> None:
        self._describe = describe
        self.__doc__ = describe.__doc__

    @overload
    def __get__(self, client: ShoalClient, owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, client: AsyncShoalClient, owner: type) -> Callable[P, Awaitable[T]]: ...
    def __get__(
        self, client: ShoalClient | AsyncShoalClient, owner: type
    ) -> Callable[P, T] | Callable[P, Awaitable[T]]:
        def call(*args: P.args, **kwargs: P.kwargs) -> Any:  # noqa: ANN401 - typed by the overloads
            try:
                described = self._describe(*args, **kwargs)
            except ValidationError as error:
                raise InvalidRequest(first_problem(error)) from error
            return client.send(described)

        call.__doc__ = self.__doc__
        return call


class _Operations:
    """What a gateway can be asked."""

    @_Operation
    @staticmethod
    def search(
        query: str = "",
        *,
        collections: Sequence[str] = (),
        mode: Mode = "hybrid",
        limit: int = DEFAULT_LIMIT,
        paths: Sequence[str] = (),
        languages: Sequence[str] = (),
        context: int = 0,
        vector: Iterable[float] | None = None,
        deadline_s: float | None = None,
    ) -> Call[SearchReply]:
        """Search collections (none named: all) and return the best hits with their coverage."""
        body = SearchBody(
            query=query,
            collections=tuple(collections),
            mode=mode,
            limit=limit,
            paths=tuple(paths),
            languages=tuple(languages),
            context=context,
            vector=None if vector is None else Vector.of(vector),
            deadline_s=deadline_s,
        )
        return Call("POST", "/v1/search", TypeAdapter(SearchReply), body)

    @_Operation
    @staticmethod
    def index(paths: Sequence[str], *, collection: str | None = None) -> Call[Job]:
        """Start to bring a collection up to date with folders or files; return the job at once."""
        body = IndexBody(paths=tuple(map(str, paths)), collection=collection)
        return Call("POST", "/v1/index", TypeAdapter(Job), body)

    @_Operation
    @staticmethod
    def ingest(
        chunks: Iterable[IngestChunk],
        vectors: Iterable[Iterable[float]] | None = None,
        *,
        collection: str,
    ) -> Call[IngestReply]:
        """Store chunks, with vectors of one's own or embedded by the gateway's model.

        The chunks of a path replace all that is stored for it; the rest stays. `vectors` gives
        one vector per chunk, in order; a collection holds either its model's or the caller's.
        """
        query = (("collection", collection),)
        reply = TypeAdapter(IngestReply)
        return Call("POST", "/v1/ingest", reply, lines=_lines(chunks, vectors), query=query)

    @_Operation
    @staticmethod
    def job(job_id: str) -> Call[Job]:
        """Return how far a job is."""
        return Call("GET", f"/v1/jobs/{job_id}", TypeAdapter(Job))

    @_Operation
    @staticmethod
    def jobs() -> Call[tuple[Job, ...]]:
        """Return all jobs that are remembered."""
        return Call("GET", "/v1/jobs", TypeAdapter(tuple[Job, ...]))

    @_Operation
    @staticmethod
    def collections() -> Call[tuple[Collection, ...]]:
        """Return all collections."""
        return Call("GET", "/v1/collections", TypeAdapter(tuple[Collection, ...]))

    @_Operation
    @staticmethod
    def delete(collection: str) -> Call[None]:
        """Delete a collection."""
        return Call("DELETE", f"/v1/collections/{collection}", TypeAdapter(None))

    @_Operation
    @staticmethod
    def status() -> Call[Status]:
        """Return how the cluster is."""
        return Call("GET", "/v1/status", TypeAdapter(Status))

    @_Operation
    @staticmethod
    def shutdown() -> Call[None]:
        """End the gateway and everything that it started."""
        return Call("POST", "/v1/shutdown", TypeAdapter(None))


class _Target:
    """Which gateway is meant, and how to reach it."""

    def __init__(
        self, url: str | None, token: str | None, root: str | None, on_phase: OnPhase
    ) -> None:
        given = {"url": url, "root": root, "token": None if token is None else SecretStr(token)}
        self.settings = Settings(**{k: v for k, v in given.items() if v is not None})  # type: ignore[arg-type]
        self._on_phase = on_phase

    def endpoint(self) -> Endpoint:
        """Return the gateway's address; starts it where it is this machine's and absent."""
        if self.settings.url:
            return Endpoint(self.settings.url, self.settings.token.get_secret_value())
        return find_or_start(self.settings, self._on_phase)

    def lost(self, error: Exception) -> GatewayUnavailable:
        """Describe a connection that failed."""
        where = self.settings.url or "this machine's gateway"
        hint = "check the URL" if self.settings.url else "see `shoal status`; `shoal up` starts it"
        return GatewayUnavailable(
            f"no answer from {where} ({error or type(error).__name__}); {hint}"
        )


class ShoalClient(_Operations):
    """Calls a gateway and waits for its answer.

    Args:
        url: A gateway's address; None for `SHOAL_URL`, else this machine's own gateway, which is
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
        self._target = _Target(url, token, root, on_phase)
        self._http: httpx2.Client | None = None

    def send(self, call: Call[T]) -> T:
        """Make a call; where the gateway went away since the last one, start it again."""
        fresh = self._http is None
        try:
            return self._send(call)
        except httpx2.ConnectError as error:
            self.close()
            if fresh or call.lines is not None:
                raise self._target.lost(error) from error
        except httpx2.TransportError as error:
            raise self._target.lost(error) from error
        return self.send(call)

    def wait(self, job: Job, on_progress: Callable[[Job], None] = lambda _: None) -> Job:
        """Wait until a job ends; raise the error of one that failed."""
        while job.state == "running":
            on_progress(job)
            time.sleep(_POLL_S)
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
            endpoint = self._target.endpoint()
            transport = httpx2.HTTPTransport(uds=endpoint.socket)
            self._http = httpx2.Client(transport=transport, **_options(endpoint))
        return _reply(
            call, self._http.request(call.method, call.path, **_content(call, call.lines))
        )


class AsyncShoalClient(_Operations):
    """Calls a gateway without blocking the event loop; arguments as for `ShoalClient`."""

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        root: str | None = None,
        on_phase: OnPhase = silent,
    ) -> None:
        self._target = _Target(url, token, root, on_phase)
        self._http: httpx2.AsyncClient | None = None
        self._connecting = asyncio.Lock()

    async def send(self, call: Call[T]) -> T:
        """Make a call; where the gateway went away since the last one, start it again."""
        fresh = self._http is None
        try:
            return await self._send(call)
        except httpx2.ConnectError as error:
            await self.close()
            if fresh or call.lines is not None:
                raise self._target.lost(error) from error
        except httpx2.TransportError as error:
            raise self._target.lost(error) from error
        return await self.send(call)

    async def wait(self, job: Job) -> Job:
        """Wait until a job ends; raise the error of one that failed."""
        while job.state == "running":
            await asyncio.sleep(_POLL_S)
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
        lines = None if call.lines is None else _asynchronous(call.lines)
        return _reply(call, await http.request(call.method, call.path, **_content(call, lines)))

    async def _connected(self) -> httpx2.AsyncClient:
        async with self._connecting:
            if self._http is None:
                endpoint = await asyncio.to_thread(self._target.endpoint)
                transport = httpx2.AsyncHTTPTransport(uds=endpoint.socket)
                self._http = httpx2.AsyncClient(transport=transport, **_options(endpoint))
            return self._http


def first_problem(error: ValidationError) -> str:
    """Return one line that names the first field that is wrong, and how."""
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    reason = first["msg"].removeprefix("Value error, ")
    return f"{where}: {reason}" if where else reason


def _options(endpoint: Endpoint) -> dict[str, Any]:
    return {"base_url": endpoint.url, "headers": endpoint.headers, "timeout": _TIMEOUT}


def _content(call: Call[Any], lines: object) -> dict[str, Any]:
    if lines is not None:
        return {"content": lines, "params": call.query, "timeout": _UPLOAD_TIMEOUT}
    if call.body is None:
        return {"params": call.query}
    json = {"Content-Type": "application/json"}
    return {"content": call.body.model_dump_json(exclude_defaults=True), "headers": json}


def _reply(call: Call[T], response: httpx2.Response) -> T:
    if response.is_success:
        return call.reply.validate_json(response.content or b"null")
    try:
        problem = Problem.model_validate_json(response.content)
    except ValidationError as error:
        message = f"the gateway answered {response.status_code}: {response.text[:200]}"
        raise GatewayUnavailable(message) from error
    raise BY_NAME.get(problem.error, ShoalError)(problem.message, problem.retry_after_s)


def _succeeded(job: Job) -> Job:
    if job.state == "failed":
        raise BY_NAME.get(job.error_kind, ShoalError)(job.error)
    return job


def _lines(
    chunks: Iterable[IngestChunk], vectors: Iterable[Iterable[float]] | None
) -> Iterator[bytes]:
    if vectors is None:
        for chunk in chunks:
            yield chunk.model_dump_json(exclude_defaults=True).encode() + b"\n"
        return
    for chunk, vector in zip(chunks, vectors, strict=True):
        own = chunk.model_copy(update={"vector": Vector.of(vector)})
        yield own.model_dump_json(exclude_defaults=True).encode() + b"\n"


async def _asynchronous(lines: Iterable[bytes]) -> AsyncIterator[bytes]:
    for line in lines:
        yield line
