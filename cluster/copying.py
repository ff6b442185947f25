"""What backing up and restoring share: how far they are, and where their copies are made."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import ray

from actors.asking import unwrapped
from actors.errors import InvalidRequest, NotFound
from actors.examining.storing import QUICKLY
from actors.memory import data_limit, give_back
from actors.messages import JobState, JobStatus
from actors.pace import Pace
from actors.priority import step_back
from actors.storage import Storage
from cluster.addresses import is_uri, store_prefix
from cluster.jobs import windowed

_HEADROOM_BYTES = 1 << 30
"""What a copy may take over what its process held: files are read a few megabytes at a time."""
_TRIES = 3
_CORES = 0.25
"""Of each copy: it waits for storage most of the time, and indexing is not to wait for it."""
_T = TypeVar("_T")


class Progress:
    """How far a job is that copies files.

    Args:
        status: As it begins.
        report: Told of each step.
    """

    def __init__(self, status: JobStatus, report: Callable[[JobStatus], None]) -> None:
        self.status = status
        self._report = report
        self._began = time.perf_counter()
        self._pace = Pace()

    def now(self) -> JobStatus:
        """Return how far it is at this moment."""
        if self.status.state is JobState.RUNNING:
            seconds = time.perf_counter() - self._began
            done, total = self.status.files_done, self.status.files_total
            rate, eta_s = self._pace.at(seconds, done, total)
            self.status = replace(self.status, seconds=seconds, rate=rate, eta_s=eta_s)
        return self.status

    def tell(self, **changes: Any) -> JobStatus:  # noqa: ANN401 - fields of JobStatus
        """Take note of a step."""
        self.status = replace(self.status, **changes)
        self.status = self.now()
        self._report(self.status)
        return self.status

    def took(self, files: int, new: int) -> None:
        """Take note of files of which so many were copied, and the rest was there."""
        was = self.status
        self.tell(
            files_done=was.files_done + files,
            files_changed=was.files_changed + new,
            files_unchanged=was.files_unchanged + files - new,
        )

    def done(self, generation: int) -> JobStatus:
        """Take note of the end."""
        self.status = replace(self.now(), phase="done", generation=generation)
        self.status = self.status.ended(JobState.DONE)
        self._report(self.status)
        return self.status


class CopyJob:
    """A job of the gateway that copies files.

    Args:
        status: As it begins.
        report: Told of each step.

    Attributes:
        status: How far it is; whoever runs it sets how it ended.
        publishes: Whether it may not be cancelled any more.
        embedders: The replicas that it uses: it embeds nothing.
    """

    embedders: tuple[str, ...] = ()

    def __init__(self, status: JobStatus, report: Callable[[JobStatus], None]) -> None:
        self.status = status
        self.publishes = False
        self._progress = Progress(status, report)

    def now(self) -> JobStatus:
        """Return how far it is at this moment."""
        if self.status.state.is_final:
            return self.status
        self.status = self._progress.now()
        return self.status


async def side_by_side(work: Iterable[Awaitable[_T]]) -> list[_T]:
    """Return what all of it comes to, in order; a few at a time are begun and under way."""
    found: dict[int, _T] = {}

    async def one(number: int, part: Awaitable[_T]) -> None:
        found[number] = await part

    await windowed(one(number, part) for number, part in enumerate(work))
    return [found[number] for number in sorted(found)]


async def in_a_task(task: Any, options: dict[str, Any], *args: object) -> Any:  # noqa: ANN401
    """Run a Ray task and return its result; one that is not waited for any more is ended."""
    call = task.options(**options).remote(*args)
    try:
        return await unwrapped(call)
    except asyncio.CancelledError:
        ray.cancel(call)
        raise


def check_elsewhere(place: str, root: str) -> None:
    """Raise InvalidRequest where a place is no place for backups of a root."""
    if place.rstrip("/") == root:
        message = f"{place} is this cluster's own root; take another place for its backups"
        raise InvalidRequest(message)
    if is_uri(place):
        store_prefix(place)


def opened(place: str, root: str) -> Storage:
    """Return a place that holds backups, and find out soon where it does not answer.

    Raises:
        InvalidRequest: It is the root itself, or of no store that is known.
        NotFound: It is a folder that is not there.
        StorageError: It cannot be reached.
    """
    check_elsewhere(place, root)
    if not is_uri(place) and not Path(place).is_dir():
        message = f"there is no folder {place} on the gateway's machine"
        raise NotFound(message)
    return Storage(place, QUICKLY)


def as_task(work: Callable[..., Any]) -> Any:  # noqa: ANN401 - Ray's own type
    """Return a Ray task that goes behind searches, within bounds of memory.

    It is tried again where its process or node died: copying twice is copying once.
    """

    @wraps(work)
    def bounded(*args: object) -> object:
        step_back()
        try:
            with data_limit(_HEADROOM_BYTES):
                return work(*args)
        finally:
            give_back()

    return ray.remote(num_cpus=_CORES, max_retries=_TRIES)(bounded)
