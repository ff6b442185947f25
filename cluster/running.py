"""The jobs that run in this gateway: started, followed, ended with it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Protocol

from actors.errors import ShoalError
from actors.job_book import interrupted
from actors.messages import JobState, JobStatus
from cluster.calls import Calls
from cluster.jobs import Withdrawn
from cluster.models import load_under_way

_log = logging.getLogger("shoal.running")

_STOP_S = 3.0
_BEAT_S = 5.0
"""A job that is silent for a minute counts as interrupted: some of these may be lost."""
_AT_ONCE_S = 2.0
"""What is wrong with a job is told by the call that starts it, where it is known so soon."""


class GatewayJob(Protocol):
    """What a gateway runs as a job.

    Attributes:
        status: How far it is.
    """

    status: JobStatus

    @property
    def publishes(self) -> bool:
        """Whether it is past the point where it can be cancelled."""

    @property
    def embedders(self) -> tuple[str, ...]:
        """Actor names of the replicas that it waits for."""

    async def open(self) -> None:
        """Find what it needs; what fails here is told by the call that starts it."""

    async def run(self) -> JobStatus:
        """Do it."""

    def now(self) -> JobStatus:
        """Return how far it is at this moment."""


class RunningJobs:
    """Jobs by their ids, until they end.

    Args:
        calls: Where their ends are reported.
        on_end: Called when one has ended.
    """

    def __init__(self, calls: Calls, on_end: Callable[[], None]) -> None:
        self._calls = calls
        self._on_end = on_end
        self._jobs: dict[str, GatewayJob] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._ends: dict[str, JobState] = {}  # as what those end that are being ended
        self._beating: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """Return how many run."""
        return len(self._jobs)

    def __contains__(self, job_id: str) -> bool:
        """Tell whether a job runs."""
        return job_id in self._jobs

    async def start(self, job: GatewayJob) -> JobStatus:
        """Start a job; raise what is wrong with it, where that is known at once."""
        await _at_once(job.open())
        self._jobs[job.status.id] = job
        self._calls.report(job.now())
        self._tasks[job.status.id] = asyncio.create_task(self._run(job))
        await asyncio.sleep(0)  # one that is ended before it has begun could not say so
        if self._beating is None or self._beating.done():
            self._beating = asyncio.create_task(self._beat())
        return job.status

    async def status(self, job_id: str) -> JobStatus:
        """Return a job's status; while it waits for its model, the phase says how far that is."""
        job = self._jobs[job_id]
        status = job.now()
        if status.chunks or not job.embedders:
            return status
        loading = load_under_way(await self._calls.replicas(job.embedders))
        return replace(status, phase=f"loading {loading}") if loading else status

    def all(self) -> tuple[JobStatus, ...]:
        """Return the jobs that run."""
        return tuple(job.now() for job in self._jobs.values())

    async def cancel(self, job_id: str) -> JobStatus:
        """End a job, which leaves its collection as it was, and return it once it has ended.

        One that publishes already is waited for: what it publishes cannot be taken back.
        """
        job, task = self._jobs[job_id], self._tasks[job_id]
        self._end(job_id, JobState.CANCELLED)
        await asyncio.wait({task})
        return job.status

    async def stop(self) -> None:
        """End all jobs, which leaves their collections as they were."""
        if self._beating is not None:
            self._beating.cancel()
        for job_id in self._jobs:
            self._end(job_id, JobState.INTERRUPTED)
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=_STOP_S)

    def _end(self, job_id: str, state: JobState) -> None:
        job = self._jobs[job_id]
        if job.status.state is JobState.RUNNING and not job.publishes and job_id not in self._ends:
            self._ends[job_id] = state
            self._tasks[job_id].cancel()

    async def _beat(self) -> None:
        """Let the steward know of all jobs while there are any; heed what it knows of them."""
        while self._jobs:
            await asyncio.sleep(_BEAT_S)
            for job_id, job in tuple(self._jobs.items()):
                try:
                    state = await self._calls.heard(job.now())
                except Exception:  # noqa: BLE001 - the next one may be heard, and must come
                    _log.warning("job %s could not be reported", job_id, exc_info=True)
                    continue
                if state is JobState.CANCELLED and job_id in self._jobs:
                    self._end(job_id, state)

    async def _run(self, job: GatewayJob) -> None:
        job_id = job.status.id
        try:
            await job.run()
        except Withdrawn:
            job.status = job.now().ended(JobState.CANCELLED)
        except Exception as error:  # noqa: BLE001 - the job's status is where its errors go
            known = isinstance(error, ShoalError)
            if not known:
                _log.exception("job %s failed", job_id)
            kind = type(error).__name__ if known else ShoalError.__name__
            job.status = job.now().ended(JobState.FAILED, str(error), kind)
        except asyncio.CancelledError:
            if self._ends.get(job_id) is JobState.CANCELLED:
                job.status = job.now().ended(JobState.CANCELLED)
            else:
                job.status = interrupted(job.now(), "the gateway")
        finally:
            await self._calls.report_end(job.status)
            del self._jobs[job_id], self._tasks[job_id]
            self._ends.pop(job_id, None)
            self._on_end()


async def _at_once(opening: Awaitable[None]) -> None:
    """Raise what `opening` raises soon; let it go on where it takes long, as downloads do."""
    task = asyncio.ensure_future(opening)
    task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
    done, _ = await asyncio.wait({task}, timeout=_AT_ONCE_S)
    if done:
        task.result()
