"""The tools that index, follow jobs, and delete."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Annotated

import anyio
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import CallToolResult

from actors.errors import InvalidRequest, NotFound, ShoalError
from cluster.protocol import Collection, Job
from mcp_adapter import arguments as args
from mcp_adapter import render
from mcp_adapter.annotations import DELETES, READS, WRITES
from mcp_adapter.answers import (
    DeletedAnswer,
    IndexAnswer,
    JobsAnswer,
    index_answer,
    job_answer,
    jobs_answer,
)
from mcp_adapter.asking import Asking
from mcp_adapter.locating import Locate
from mcp_adapter.progress import Progress
from mcp_adapter.results import result

_INDEX_PATH = """\
Index a folder or file so that search finds it, or bring its collection up to date after changes.

Returns a job id at once: indexing goes on in the background, job_status follows it; a small folder
is done within wait_s=10. Unchanged files cost nothing. Ignored, binary and very large files are
skipped; include and exclude narrow a whole folder, and later calls keep to them. Call it when
list_collections does not show the folder, or shows it out of date."""

_JOB_STATUS = """\
Tell how far a job of index_path is: its phase, files done and in all, files per second, the time
left, chunks, what was skipped, which files are in error, and why it failed. Without job_id it
lists the latest jobs, running ones first. Large folders take minutes: wait with wait_s, or do
something else between calls. A job that is "interrupted" lost its process: index the path again."""

_CANCEL_JOB = """\
End a running job that is not wanted any more, as of a wrong or far too large folder; everything
it did is dropped, and its collection stays as it was before. Call it for a job that you started,
or where the user asks for it. A job that has ended stays as it is: the answer tells its state."""

_DELETE_COLLECTION = """\
Forget a collection: search does not find it any more. The files that it was made of stay, and
index_path makes it again. Only where the user asks for it; without confirm=true nothing is deleted,
and you are told what would be."""

_UNKNOWN_JOB = "job_status without job_id lists the latest jobs with their ids."
_NO_FOLDER = "Give a folder or file that exists where the gateway runs."
_POLL_S = 0.25
_GIVE_UP_S = 5.0
_MOST_NAMED = 20


class IndexingTools:
    """The tools over one client.

    Args:
        asking: Asks the gateway.
        locate: Where the paths to index are.
    """

    def __init__(self, asking: Asking, locate: Locate) -> None:
        self._asking = asking
        self._locate = locate

    def register(self, server: MCPServer) -> None:
        """Add the tools to a server."""
        add = server.add_tool
        add(self.index_path, title="Index a path", description=_INDEX_PATH, annotations=WRITES)
        add(self.job_status, title="Job status", description=_JOB_STATUS, annotations=READS)
        add(self.cancel_job, title="Cancel a job", description=_CANCEL_JOB, annotations=WRITES)
        add(
            self.delete_collection,
            title="Delete a collection",
            description=_DELETE_COLLECTION,
            annotations=DELETES,
        )

    async def index_path(
        self,
        path: args.IndexPath,
        ctx: Context,
        collection: args.IndexCollection = None,
        include: args.Include = (),
        exclude: args.Exclude = (),
        wait_s: args.WaitS = 0,
    ) -> Annotated[CallToolResult, IndexAnswer]:
        """Start to index; a call that is cancelled before it returns takes its job along."""
        shoal = self._asking.shoal
        async with self._asking.during(ctx, _NO_FOLDER) as progress:
            located = self._locate(path)
            starting = asyncio.ensure_future(
                shoal.index([located], collection=collection, include=include, exclude=exclude)
            )
            try:
                job = await self._ended(await asyncio.shield(starting), wait_s, progress)
            except asyncio.CancelledError:
                with anyio.move_on_after(_GIVE_UP_S, shield=True), suppress(ShoalError):
                    await shoal.cancel((await starting).id)
                raise
        answer = index_answer(job, located)
        return result(render.index_text(answer), answer)

    async def job_status(
        self, ctx: Context, job_id: args.OneJobId = None, wait_s: args.WaitS = 0
    ) -> Annotated[CallToolResult, JobsAnswer]:
        """Return how far a job is, or the latest ones are."""
        async with self._asking.during(ctx, _UNKNOWN_JOB) as progress:
            if job_id is not None:
                job = await self._asking.shoal.job(job_id)
                answer = job_answer(await self._ended(job, wait_s, progress))
            elif wait_s:
                message = "wait_s waits for one job: give its job_id"
                raise InvalidRequest(message)
            else:
                answer = jobs_answer(await self._asking.shoal.jobs())
        return result(render.jobs_text(answer), answer)

    async def cancel_job(
        self, job_id: args.JobId, ctx: Context
    ) -> Annotated[CallToolResult, JobsAnswer]:
        """Cancel a job."""
        async with self._asking.during(ctx, _UNKNOWN_JOB):
            answer = job_answer(await self._asking.shoal.cancel(job_id))
        return result(render.jobs_text(answer), answer)

    async def delete_collection(
        self, name: args.CollectionToDelete, ctx: Context, confirm: args.Confirm = False
    ) -> Annotated[CallToolResult, DeletedAnswer]:
        """Delete a collection."""
        async with self._asking.during(ctx, "list_collections names those that there are."):
            known = {found.name: found for found in await self._asking.shoal.collections()}
            if name not in known:
                message = f"there is no collection {name!r}"
                raise NotFound(message)
            if not confirm:
                raise ToolError(unconfirmed([known[name]]))
            await self._asking.shoal.delete(name)
        answer = DeletedAnswer(deleted=(name,))
        return result(render.deleted_text(answer), answer)

    async def _ended(self, job: Job, wait_s: float, progress: Progress) -> Job:
        """Return a job once it has ended, or as it is after so many seconds."""
        clock = asyncio.get_running_loop().time
        give_up = clock() + wait_s
        while job.state == "running" and clock() < give_up:
            await progress.tell(job.phase, job.files_done, job.files_total or None)
            await asyncio.sleep(_POLL_S)
            job = await self._asking.shoal.job(job.id)
        return job


def unconfirmed(collections: list[Collection]) -> str:
    """Say what would be deleted, and how to have it deleted."""
    named = ", ".join(
        f"{found.name} ({found.chunks} chunks{f' from {found.source}' if found.source else ''})"
        for found in collections[:_MOST_NAMED]
    )
    if len(collections) > _MOST_NAMED:
        named += f" and {len(collections) - _MOST_NAMED} more"
    return (
        f"nothing was deleted. This would make search forget {named or 'nothing: there is none'}; "
        "the files stay. Ask the user, then call again with confirm=true."
    )
