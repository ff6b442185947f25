"""The MCP tools: what a model can ask a cluster, in words that help it to choose."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Protocol

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.types import CallToolResult, TextContent, ToolAnnotations
from pydantic import Field

from actors.errors import GatewayUnavailable, InvalidRequest, NotFound, ShoalError
from cluster.addresses import is_uri
from cluster.protocol import MAX_QUERY_CHARS, Collection, Job, Mode, Model, SearchReply, Status
from mcp_adapter import render
from mcp_adapter.answers import (
    Answer,
    ClusterAnswer,
    CollectionsAnswer,
    IndexAnswer,
    JobsAnswer,
    SearchAnswer,
    cluster_answer,
    collections_answer,
    job_answer,
    jobs_answer,
    search_answer,
)
from mcp_adapter.progress import Phases
from mcp_adapter.refusals import as_tool_errors

MAX_LIMIT = 50
DEFAULT_LIMIT = 8
_LOOK_S = 1.0
"""After so long a call may be waiting for a model to load, which is worth telling."""

_SEARCH = """\
Find code and documentation by meaning and by words, over everything that is indexed.

Use it when you do not know the exact words ("where are retries limited?"), when grep would find
far too much, and to look through several repositories at once. Use grep instead for an exact
identifier, string or pattern of which you need every occurrence: search returns the best hits,
not all of them. Each hit gives its path and lines; read the file there for more. Paths are
relative to the collection's source, which list_collections tells."""

_INDEX_PATH = """\
Index a folder or file so that search finds it, or bring its collection up to date after changes.

Returns a job id at once and never waits: indexing goes on in the background, job_status follows
it. Unchanged files cost nothing. Ignored, binary and very large files are skipped. Call it when
list_collections does not show the folder, or shows it out of date."""

_JOB_STATUS = """\
Tell how far a job of index_path is: its phase, files done and in all, files per second, the time
left, chunks, what was skipped, which files are in error, and why it failed. Without job_id it
lists the latest jobs, running ones first. Large folders take minutes: do something else between
calls. A job that is "interrupted" lost its process: call index_path again."""

_CANCEL_JOB = """\
End a running job that is not wanted any more, as of a wrong or far too large folder; everything
it did is dropped, and its collection stays as it was before. Call it for a job that you started,
or where the user asks for it. A job that has ended stays as it is: the answer tells its state."""

_UNKNOWN_JOB = "job_status without job_id lists the latest jobs with their ids."

_LIST_COLLECTIONS = """\
List what is indexed: each collection's name, source folder, size and time of its last update.
Call it before index_path, and where a search finds nothing."""

_CLUSTER_STATUS = """\
Tell how the service itself is: its processes with their memory, its model, and its latest jobs.
Call it where another tool failed, was slow or answered incompletely; not needed otherwise.
It answers even where the cluster is away, and says so."""

Query = Annotated[
    str,
    Field(
        description="A question, a description, an identifier or a piece of code",
        min_length=1,
        max_length=MAX_QUERY_CHARS,
    ),
]
Collections = Annotated[
    tuple[str, ...], Field(description="Search these collections only; empty for all")
]
SearchMode = Annotated[
    Mode,
    Field(
        description="hybrid fits nearly always; lexical for exact words and identifiers, "
        "semantic for questions that share no word with their answer"
    ),
]
Languages = Annotated[
    tuple[str, ...],
    Field(description="Only these languages, in lower case, as in ['python', 'markdown']"),
]
Paths = Annotated[
    tuple[str, ...],
    Field(
        description="Only paths that match one of these globs, with the rules of .gitignore: "
        "'*.py' matches at any depth, 'src/' all below a folder"
    ),
]
Limit = Annotated[int, Field(description="How many hits", ge=1, le=MAX_LIMIT)]
IndexPath = Annotated[
    str,
    Field(
        description="Folder or file, best as an absolute path; or s3://bucket/prefix, or "
        "git+https://host/repository.git@revision",
        min_length=1,
    ),
]
IndexCollection = Annotated[
    str | None,
    Field(description="Collection to put it in; by default the one that holds it, or a new one"),
]
_JOB_ID = r"^[\w.-]{1,64}$"
JobId = Annotated[str, Field(description="As returned by index_path", pattern=_JOB_ID)]
OneJobId = Annotated[
    Annotated[str, Field(pattern=_JOB_ID)] | None,
    Field(description="As returned by index_path; none for the latest jobs"),
]


class Shoal(Protocol):
    """What the tools need of a client of the gateway, such as `AsyncShoalClient`."""

    def search(
        self,
        query: str = "",
        *,
        collections: Sequence[str] = (),
        mode: Mode = "hybrid",
        limit: int = 10,
        paths: Sequence[str] = (),
        languages: Sequence[str] = (),
    ) -> Awaitable[SearchReply]:
        """Search collections."""

    def index(self, paths: Sequence[str], *, collection: str | None = None) -> Awaitable[Job]:
        """Start an indexing job."""

    def job(self, job_id: str) -> Awaitable[Job]:
        """Return how far a job is."""

    def jobs(self) -> Awaitable[tuple[Job, ...]]:
        """Return all jobs, running ones first, newest first."""

    def cancel(self, job_id: str) -> Awaitable[Job]:
        """Cancel a job."""

    def collections(self) -> Awaitable[tuple[Collection, ...]]:
        """Return all collections."""

    def models(self) -> Awaitable[tuple[Model, ...]]:
        """Return the models that are there, and where each is loaded."""

    def status(self) -> Awaitable[Status]:
        """Return how the cluster is."""


Locate = Callable[[str], str]
"""Turns a path that a model gave into the path to send to the gateway, or raises a ShoalError."""


def on_this_machine(path: str) -> str:
    """Return the absolute form of a path for a gateway that reads the same files.

    Raises:
        InvalidRequest: It is relative to a working folder that means nothing.
        NotFound: It does not exist.
    """
    if is_uri(path):
        return path
    wanted = os.path.expanduser(path)
    here = os.getcwd()
    if not os.path.isabs(wanted) and here == os.path.dirname(here):
        message = f"{path!r} is relative, and this server runs in {here}; give an absolute path"
        raise InvalidRequest(message)
    found = os.path.abspath(wanted)
    if not os.path.exists(found):
        message = f"{found} does not exist on this machine"
        raise NotFound(message)
    return found


def on_the_gateway(path: str) -> str:
    """Return a path of another machine as it is.

    Raises:
        InvalidRequest: It is relative; the gateway's working folder means nothing to the caller.
    """
    if not path.startswith("/") and path[1:3] not in (":\\", ":/") and not is_uri(path):
        message = f"{path!r} is relative; give an absolute path on the gateway's machine"
        raise InvalidRequest(message)
    return path


class Tools:
    """The tools over one client.

    Args:
        shoal: Asks the gateway.
        phases: What the client tells while it starts a gateway.
        locate: Where the paths to index are.
    """

    def __init__(self, shoal: Shoal, phases: Phases, locate: Locate) -> None:
        self._shoal = shoal
        self._phases = phases
        self._locate = locate

    async def search(
        self,
        query: Query,
        ctx: Context,
        collections: Collections = (),
        mode: SearchMode = "hybrid",
        languages: Languages = (),
        paths: Paths = (),
        limit: Limit = DEFAULT_LIMIT,
    ) -> Annotated[CallToolResult, SearchAnswer]:
        """Search."""
        wanted = {"collections": collections, "languages": languages, "paths": paths}
        async with self._asking(ctx):
            reply = await self._shoal.search(query, mode=mode, limit=limit, **wanted)
        answer = search_answer(reply)
        fence = f"retrieved-{secrets.token_hex(4)}"
        return _result(render.search_text(answer, fence), answer)

    async def index_path(
        self, path: IndexPath, ctx: Context, collection: IndexCollection = None
    ) -> Annotated[CallToolResult, IndexAnswer]:
        """Start to index."""
        async with self._asking(ctx, "Give a folder or file that exists where the gateway runs."):
            located = self._locate(path)
            job = await self._shoal.index([located], collection=collection)
        answer = IndexAnswer(
            job_id=job.id, collection=job.collection, path=located, state=job.state
        )
        return _result(render.index_text(answer), answer)

    async def job_status(
        self, ctx: Context, job_id: OneJobId = None
    ) -> Annotated[CallToolResult, JobsAnswer]:
        """Return how far a job is, or the latest ones are."""
        async with self._asking(ctx, _UNKNOWN_JOB):
            if job_id is None:
                answer = jobs_answer(await self._shoal.jobs())
            else:
                answer = job_answer(await self._shoal.job(job_id))
        return _result(render.jobs_text(answer), answer)

    async def cancel_job(
        self, job_id: JobId, ctx: Context
    ) -> Annotated[CallToolResult, JobsAnswer]:
        """Cancel a job."""
        async with self._asking(ctx, _UNKNOWN_JOB):
            answer = job_answer(await self._shoal.cancel(job_id))
        return _result(render.jobs_text(answer), answer)

    async def list_collections(self, ctx: Context) -> Annotated[CallToolResult, CollectionsAnswer]:
        """Return what is indexed."""
        async with self._asking(ctx):
            answer = collections_answer(await self._shoal.collections())
        return _result(render.collections_text(answer), answer)

    async def cluster_status(self, ctx: Context) -> Annotated[CallToolResult, ClusterAnswer]:
        """Return how the cluster is."""
        async with self._asking(ctx):
            try:
                answer = cluster_answer(await self._shoal.status())
            except GatewayUnavailable as error:  # that is how the cluster is
                answer = ClusterAnswer(problem=str(error))
        return _result(render.cluster_text(answer), answer)

    @asynccontextmanager
    async def _asking(self, ctx: Context, if_not_found: str = "") -> AsyncIterator[None]:
        with as_tool_errors(if_not_found):
            async with self._phases.told_to(ctx), self._loads_told():
                yield

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
                for model in await self._shoal.models():
                    for replica in model.replicas:
                        if replica.state == "loading":
                            part = f" ({replica.fraction:.0%})" if replica.fraction else ""
                            self._phases(f"loading {model.name}: {replica.phase}{part}")


def register(
    server: MCPServer,
    shoal: Shoal,
    *,
    phases: Phases | None = None,
    locate: Locate = on_the_gateway,
) -> None:
    """Add the tools to a server; arguments as for `Tools`."""
    tools = Tools(shoal, phases or Phases(), locate)
    reads = ToolAnnotations(
        read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
    )
    writes = reads.model_copy(update={"read_only_hint": False})
    add = server.add_tool
    add(tools.search, title="Search", description=_SEARCH, annotations=reads)
    add(tools.index_path, title="Index a path", description=_INDEX_PATH, annotations=writes)
    add(tools.job_status, title="Job status", description=_JOB_STATUS, annotations=reads)
    add(tools.cancel_job, title="Cancel a job", description=_CANCEL_JOB, annotations=writes)
    add(
        tools.list_collections,
        title="List collections",
        description=_LIST_COLLECTIONS,
        annotations=reads,
    )
    add(
        tools.cluster_status, title="Cluster status", description=_CLUSTER_STATUS, annotations=reads
    )


def _result(text: str, answer: Answer) -> CallToolResult:
    return CallToolResult(
        content=[TextContent(type="text", text=text)],
        structured_content=answer.model_dump(mode="json"),
    )
