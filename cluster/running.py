"""The jobs that run in this gateway: started, followed, ended with it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace

from actors.errors import ShoalError
from actors.messages import JobState, JobStatus
from cluster.calls import Calls
from cluster.jobs import IndexJob
from cluster.models import load_under_way

_log = logging.getLogger("shoal.running")

_STOP_S = 3.0
_AT_ONCE_S = 2.0
"""What is wrong with a job is told by the call that starts it, where it is known so soon."""


class RunningJobs:
    """Jobs by their ids, until they end.

    Args:
        calls: Where their ends are reported.
        on_end: Called when one has ended.
    """

    def __init__(self, calls: Calls, on_end: Callable[[], None]) -> None:
        self._calls = calls
        self._on_end = on_end
        self._jobs: dict[str, IndexJob] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def __len__(self) -> int:
        """Return how many run."""
        return len(self._jobs)

    def __contains__(self, job_id: str) -> bool:
        """Tell whether a job runs."""
        return job_id in self._jobs

    async def start(self, job: IndexJob) -> JobStatus:
        """Start a job; raise what is wrong with it, where that is known at once."""
        await _at_once(job.open())
        self._jobs[job.status.id] = job
        self._tasks[job.status.id] = asyncio.create_task(self._run(job))
        return job.status

    async def status(self, job_id: str) -> JobStatus:
        """Return a job's status; while it waits for its model, the phase says how far that is."""
        job = self._jobs[job_id]
        status = job.status
        if status.chunks or not job.embedders:
            return status
        loading = load_under_way(await self._calls.replicas(job.embedders))
        return replace(status, phase=f"loading {loading}") if loading else status

    def all(self) -> tuple[JobStatus, ...]:
        """Return the jobs that run."""
        return tuple(job.status for job in self._jobs.values())

    async def stop(self) -> None:
        """End all jobs, which leaves their collections as they were."""
        running = list(self._tasks.values())
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running, timeout=_STOP_S)

    async def _run(self, job: IndexJob) -> None:
        try:
            await job.run()
        except Exception as error:  # noqa: BLE001 - the job's status is where its errors go
            known = isinstance(error, ShoalError)
            if not known:
                _log.exception("job %s failed", job.status.id)
            kind = type(error).__name__ if known else ShoalError.__name__
            job.status = _failed(job.status, str(error), kind)
        except asyncio.CancelledError:
            ended = "the gateway ended; the collection is as it was, run this again"
            job.status = _failed(job.status, ended)
        finally:
            await self._calls.report_end(job.status)
            del self._jobs[job.status.id], self._tasks[job.status.id]
            self._on_end()


def _failed(status: JobStatus, error: str, kind: str = "") -> JobStatus:
    return replace(status, state=JobState.FAILED, error=error, error_kind=kind)


async def _at_once(opening: Awaitable[None]) -> None:
    """Raise what `opening` raises soon; let it go on where it takes long, as downloads do."""
    task = asyncio.ensure_future(opening)
    task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
    done, _ = await asyncio.wait({task}, timeout=_AT_ONCE_S)
    if done:
        task.result()
