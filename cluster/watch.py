"""Keeps a collection current with folders: watches them, and has the gateway index what changed.

It runs beside the files, in the client's process, and is told of changes by the operating system.
The gateway reads the files itself, so both must see them under the same paths.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from actors.errors import (
    Conflict,
    GatewayUnavailable,
    ModelMismatch,
    NotFound,
    NothingToIndex,
    ShoalError,
)
from cluster import daemon
from cluster.client import AsyncShoalClient
from cluster.file_changes import Batch, Pending, Reader, Seen, backoff_s, clipped, collapsed
from cluster.ingest.walk import walk
from cluster.protocol import Chosen, Collection, Job
from cluster.watched import Folders

_BEAT_S = 5.0
_FULL_PASS_S = 600.0
_MOST_AWAY_S = 5.0
_MOST_FAILED_S = 60.0
_GOODBYE_S = 2.0
_ALL = Seen(frozenset({""}))


@dataclass(frozen=True, slots=True)
class Published:
    """One publish of a watch.

    Attributes:
        job: What it did.
        behind_s: The age of its oldest change by then, in seconds; 0 where none had been seen.
    """

    job: Job
    behind_s: float


class Listener(Protocol):
    """Told what a watch does."""

    def watching(self, collection: str, folders: Sequence[str]) -> None:
        """All is up to date, and watched from now on."""

    def published(self, news: Published) -> None:
        """A change can be searched."""

    def trouble(self, problem: str) -> None:
        """Something is wrong, and not what was told last; the watch goes on."""


class Shoal(Protocol):
    """What a watch needs of a client, such as `AsyncShoalClient`."""

    def collections(self) -> Awaitable[tuple[Collection, ...]]:
        """Return all collections."""

    def index(self, paths: Sequence[str], *, collection: str | None = None) -> Awaitable[Job]:
        """Start a job."""

    def wait(self, job: Job) -> Awaitable[Job]:
        """Wait until it ends, and raise its error."""

    def watching(
        self, collection: str, *, watcher: str, behind_s: float, source: str
    ) -> Awaitable[Chosen]:
        """Say how far a collection is behind; return which files it takes."""

    def unwatch(self, collection: str, *, watcher: str) -> Awaitable[None]:
        """Say that it is not watched any more."""


class AttachedClient(AsyncShoalClient):
    """A client that never starts a gateway: what somebody ended is not to come back by itself."""

    def _endpoint(self) -> daemon.Endpoint:
        if self.settings.url:
            return super()._endpoint()
        running = daemon.find(self.settings)
        if running is None:
            message = "no gateway runs; the watch goes on once one does (`shoal up` starts it)"
            raise GatewayUnavailable(message)
        return running.endpoint


class Watch:
    """Watches folders and keeps their collection current until it is cancelled.

    Args:
        shoal: Asks the gateway.
        folders: What to watch.
        collection: Its collection; None for the one that holds them, or a new one.
        listener: Told what happens.

    Raises:
        InvalidRequest: Something to watch is no folder.
        NotFound: It does not exist.
    """

    def __init__(
        self, shoal: Shoal, folders: Sequence[Path], collection: str | None, listener: Listener
    ) -> None:
        self._shoal = shoal
        self._folders = Folders(folders)
        self._collection = collection
        self._listener = listener
        self._pending = Pending(time.monotonic)
        self._id = secrets.token_hex(8)
        self._told: set[str] = set()
        self._has_begun = self._is_known = False
        self._changed, self._news = asyncio.Event(), asyncio.Event()

    async def run(self) -> None:
        """Bring all up to date, then follow changes.

        Raises:
            NotFound: The collection was deleted.
            ShoalError: The first pass failed for a reason that does not go by itself.
        """
        self._root = await self._source()
        self._tops = self._folders.below(self._root)
        self._reader = Reader(self._root, self._tops)
        works = (self._listen, self._work, self._beat, self._make_sure)
        tasks = [asyncio.create_task(work()) for work in works]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._say_goodbye()

    async def _source(self) -> str:
        """Return the source of the collection, as the gateway will choose it."""
        sources = [
            found.source
            for found in await self._shoal.collections()
            if self._collection in (None, found.name) and self._folders.lie_in(found.source)
        ]
        return max(sources, key=len, default=self._folders.common)

    async def _listen(self) -> None:
        """Collect changes; register anew where a watched folder is another one than before."""
        while True:
            try:
                await self._follow()
            except (OSError, RuntimeError) as error:  # as the library's own errors are
                self._tell(
                    f"the folders cannot be watched: {error}; raise the system's limit "
                    "(fs.inotify.max_user_watches), or set WATCHFILES_FORCE_POLLING=1"
                )
                await asyncio.sleep(_BEAT_S)

    async def _follow(self) -> None:
        """Collect changes until the folders have to be registered anew."""
        is_registered, is_change = False, self._has_begun and not self._folders.is_stale
        async with aclosing(self._folders.changes()) as following:
            async for changes in following:
                if not is_registered:  # from here on nothing is lost; so far, anything may be
                    is_registered = True
                    self._add(_ALL, is_change=is_change)
                    self._pending.hasten()
                self._add(await asyncio.to_thread(self._reader.read, changes))

    def _add(self, seen: Seen, *, is_change: bool = True) -> None:
        was_behind = self._pending.behind_s() > 0
        self._pending.add(seen, is_change=is_change)
        self._changed.set()
        if not was_behind and self._pending.behind_s() > 0:
            self._news.set()

    async def _make_sure(self) -> None:
        """Have all looked through now and then: what a system tells of its files can get lost."""
        while True:
            await asyncio.sleep(_FULL_PASS_S)
            self._add(_ALL, is_change=False)

    async def _work(self) -> None:
        """Publish batch after batch; what fails is tried again, later and later."""
        tries = 0
        while True:
            await self._until_due()
            batch = self._pending.take()
            if self._is_known:  # a job would make a collection anew that somebody deleted
                await self._report()
            try:
                job = await self._index(batch)
            except NothingToIndex as error:
                self._pending.put_back(_ALL.scopes, None)
                self._tell(str(error))
            except ShoalError as error:
                tries += 1
                self._retry(batch, error, tries)
            else:
                tries = 0
                self._published(job)
            self._has_begun = True
            self._news.set()

    def _retry(self, batch: Batch, error: ShoalError, tries: int) -> None:
        """Put a batch back; where nobody knows what became of it, all is looked through."""
        raced = isinstance(error, Conflict) and not isinstance(error, ModelMismatch)
        if not self._has_begun and not raced:
            raise error
        is_away = raced or isinstance(error, GatewayUnavailable)
        delay_s = backoff_s(tries, _MOST_AWAY_S if is_away else _MOST_FAILED_S)
        self._pending.put_back(batch.scopes if raced else _ALL.scopes, delay_s)
        self._tell(str(error))

    async def _until_due(self) -> None:
        while True:
            self._changed.clear()
            due_in = self._pending.due_in()
            if due_in == 0:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(due_in):
                    await self._changed.wait()

    async def _index(self, batch: Batch) -> Job:
        if "" in batch.scopes:
            self._reader.links = await asyncio.to_thread(self._links)
        scopes = clipped(collapsed(batch.scopes), self._tops)
        paths = [f"{self._root}/{scope}" for scope in sorted(scopes)]
        job = await self._shoal.index(paths, collection=self._collection)
        self._collection = job.collection
        return await self._shoal.wait(job)

    def _links(self) -> dict[str, str]:
        links: dict[str, str] = {}
        for top in self._tops:
            with contextlib.suppress(NotFound):  # the gateway says what that means
                walked = walk(Path(self._root), Path(top), choice=self._reader.choice)
                deque(walked.files, maxlen=0)
                links |= walked.links
        return links

    def _published(self, job: Job) -> None:
        behind_s = self._pending.behind_s()
        if self._pending.done():
            self._folders.is_stale = True
        self._told.clear()
        if job.files_changed or job.files_removed:
            self._listener.published(Published(job, behind_s))
        if not self._is_known:
            self._is_known = True
            self._listener.watching(job.collection, self._folders.paths)

    async def _beat(self) -> None:
        """Tell the gateway how far the collection is behind, at once and ever again."""
        while True:
            self._news.clear()
            if self._is_known:
                await self._report()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_BEAT_S):
                    await self._news.wait()

    async def _report(self) -> None:
        collection, behind_s = self._collection or "", self._pending.behind_s()
        try:
            chosen = await self._shoal.watching(
                collection, watcher=self._id, behind_s=behind_s, source=self._folders.common
            )
        except NotFound as error:
            message = f"collection {collection!r} was deleted, so the watch ends"
            raise NotFound(message) from error
        except ShoalError:  # the next job says what is wrong
            return
        before, self._reader.choice = self._reader.choice, chosen.choice
        if before and before != chosen.choice:  # what changed lately may have been passed over
            self._add(_ALL, is_change=False)

    async def _say_goodbye(self) -> None:
        if self._is_known:
            with contextlib.suppress(ShoalError, TimeoutError):
                async with asyncio.timeout(_GOODBYE_S):
                    await self._shoal.unwatch(self._collection or "", watcher=self._id)

    def _tell(self, problem: str) -> None:
        if problem not in self._told:
            self._told.add(problem)
            self._listener.trouble(problem)
