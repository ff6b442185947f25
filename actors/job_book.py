"""The jobs of a cluster: how far each is, kept under the root beyond the life of any process.

    jobs/<id>.json

Whoever runs a job reports it every few seconds. One that nobody reports any more has lost its
runner: it is interrupted, and goes on if it is heard of again. What is done, failed or cancelled
stays so. Of what another cluster on this root runs, its records tell, and a cancellation is read
there by whoever runs it.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

from pydantic import TypeAdapter, ValidationError

from actors.catalog import JOBS, Catalog
from actors.errors import GatewayUnavailable, NotFound, ShoalError
from actors.messages import JobState, JobStatus
from actors.storage import Storage

_log = logging.getLogger("shoal.jobs")

REMEMBERED = 1000
SILENT_S = 60.0
"""Whoever runs a job reports it every few seconds: after so many without, nobody does."""
_NEW_STEWARD_S = 15.0
"""Time for those who run jobs to report to a steward that has just started."""
_KEEP_EVERY_S = 5.0
_ELSEWHERE_S = 2 * _KEEP_EVERY_S
"""A running job that was not reported for so long may be another cluster's."""
_ID = re.compile(r"[0-9A-Za-z]+")
_READERS = 16
"""Files read side by side: an object store takes some 30 ms for each."""
_RECORD = TypeAdapter(JobStatus)


class JobBook:
    """Remembers the newest jobs, in memory and in storage.

    Reads what is in storage when it is made. Storage that fails is logged, and written again.

    Args:
        storage: The root.
        clock: Seconds since 1970.
    """

    def __init__(self, storage: Storage, clock: Callable[[], float] = time.time) -> None:
        self._storage = storage
        self._catalog = Catalog(storage)
        self._clock = clock
        self._changing = threading.Lock()
        self._writing = threading.Lock()
        found = sorted(self._read_all(), key=lambda job: job.started_at)
        self._jobs = {job.id: job for job in found}
        self._heard = {job.id: self._last_heard(job) for job in found}
        self._kept: dict[str, float] = {}
        self._unkept: set[str] = set()
        self._publishing: set[str] = set()
        self._forget_old()

    def report(self, job: JobStatus) -> JobState:
        """Take note of how far a job is, and return its state then, for who runs it to heed.

        Reports may overtake each other: the furthest counts.
        """
        with self._changing:
            known = self._jobs.get(job.id)
            self._heard[job.id] = self._clock()
            if known is not None and not _supersedes(job, known):
                return known.state
            self._jobs[job.id] = job
            if job.state is not JobState.RUNNING:
                self._publishing.discard(job.id)
        self._keep(job.id, at_once=known is None or known.state is not job.state)
        if known is None:
            self._forget_old()
        return job.state

    def job(self, job_id: str) -> JobStatus:
        """Return how far a job is; NotFound where it is unknown."""
        job = self._jobs.get(job_id)
        if job is None or self._is_silent(job, _ELSEWHERE_S):
            job = self._read_again(job_id, job)
        if job is None:
            message = f"no job {job_id!r} is known; `shoal jobs` names those that are"
            raise NotFound(message)
        return job

    def all(self) -> tuple[JobStatus, ...]:
        """Return all jobs without the paths of their errors: running ones first, newest first."""
        with self._changing:
            newest_first = tuple(reversed(self._jobs.values()))
        return tuple(
            replace(job, errors=(), errors_omitted=len(job.errors) + job.errors_omitted)
            for job in sorted(newest_first, key=lambda job: job.state is not JobState.RUNNING)
        )

    def counts(self) -> dict[JobState, int]:
        """Return how many jobs there are in each state."""
        with self._changing:
            found = Counter(job.state for job in self._jobs.values())
        return {state: found[state] for state in JobState}

    def cancel(self, job_id: str) -> JobStatus:
        """Mark a job as cancelled unless it has ended or publishes; return it as it is then.

        Raises:
            NotFound: It is unknown.
        """
        known = self.job(job_id)
        done = None if known.state.is_final else self._done(known)
        with self._changing:
            job = self._jobs.get(job_id, known)
            if job.state.is_final or job_id in self._publishing:
                return job
            job = self._jobs[job_id] = done or job.ended(JobState.CANCELLED)
        self._keep(job_id, at_once=True)
        return job

    def may_publish(self, job_id: str) -> bool:
        """Tell a job whether it may publish, as its last step: False once it has ended.

        From then on it cannot be cancelled: what it publishes cannot be taken back.
        """
        self._heed_cancellation(job_id)
        with self._changing:
            job = self._jobs.get(job_id)
            if job is not None and job.state.is_final:
                return False
            if job is not None:
                self._jobs[job_id] = replace(job, state=JobState.RUNNING, error="", error_kind="")
            self._publishing.add(job_id)
            self._heard[job_id] = self._clock()
            return True

    def look(self) -> None:
        """Interrupt the jobs that nobody has reported for long, and write what was not written."""
        for job in self._silent():
            if self._read_again(job.id, job) is job:
                self._interrupt(job)
        for job_id in tuple(self._unkept):
            self._keep(job_id, at_once=True)

    def _silent(self) -> list[JobStatus]:
        with self._changing:
            return [job for job in self._jobs.values() if self._is_silent(job, SILENT_S)]

    def _is_silent(self, job: JobStatus, for_s: float) -> bool:
        heard = self._heard.get(job.id, 0.0)
        return job.state is JobState.RUNNING and self._clock() - heard >= for_s

    def _read_again(self, job_id: str, known: JobStatus | None) -> JobStatus | None:
        """Return a job as another cluster on this root has it, where that is further than known."""
        stored = self._read(f"{job_id}.json") if _ID.fullmatch(job_id) else None
        if stored is None:
            return known
        if known and not (stored.seconds > known.seconds or stored.state.is_final):
            return known
        self._change_to(stored, known)
        return stored

    def _heed_cancellation(self, job_id: str) -> None:
        """Take note where a job that runs here was cancelled through another cluster."""
        job = self._jobs.get(job_id)
        if job is not None and job.state is JobState.RUNNING:
            stored = self._read(f"{job_id}.json")
            if stored is not None and stored.state is JobState.CANCELLED:
                self._change_to(stored, job)

    def _interrupt(self, job: JobStatus) -> None:
        """End a job that nobody runs."""
        ended = self._done(job) or interrupted(job, "the process that ran it")
        if self._change_to(ended, job):
            _log.warning("job %s is %s: nobody has reported it for long", job.id, ended.state)
            self._keep(job.id, at_once=True)

    def _change_to(self, now: JobStatus, before: JobStatus | None) -> bool:
        """Take a job to be as it is now, unless it was reported since it was as before."""
        with self._changing:
            if self._jobs.get(now.id) is not before:
                return False
            self._jobs[now.id] = now
            self._heard[now.id] = self._last_heard(now)
            self._publishing.discard(now.id)
            return True

    def _done(self, job: JobStatus) -> JobStatus | None:
        """Return a job as done where it has published, though it died before it could say so."""
        began = datetime.fromtimestamp(job.started_at, UTC)
        try:
            generation = self._catalog.generation_of(job.id, job.collection, began)
        except ShoalError as error:
            _log.warning("what job %s has published cannot be read: %s", job.id, error)
            return None
        if not generation:
            return None
        return replace(job.ended(JobState.DONE), phase="done", generation=generation)

    def _last_heard(self, stored: JobStatus) -> float:
        """Return when a job was last reported, but no longer ago than leaves time to report it."""
        now = self._clock()
        earliest = now - SILENT_S + _NEW_STEWARD_S
        return min(now, max(stored.started_at + stored.seconds, earliest))

    def _keep(self, job_id: str, *, at_once: bool) -> None:
        """Write a job; mere progress is written now and then, and waits for no other writer."""
        due = self._clock() - self._kept.get(job_id, float("-inf")) >= _KEEP_EVERY_S
        if not (at_once or due) or not self._writing.acquire(blocking=at_once):
            return
        try:
            if not at_once:
                self._heed_cancellation(job_id)
            job = self._jobs.get(job_id)
            self._kept[job_id] = self._clock()
            self._unkept.discard(job_id)
            if job is not None:
                self._storage.put(_file(job_id), _RECORD.dump_json(job, indent=1))
        except ShoalError as error:
            self._unkept.add(job_id)
            _log.warning("job %s is not kept: %s", job_id, error)
        finally:
            self._writing.release()

    def _forget_old(self) -> None:
        """Forget the oldest jobs beyond those to be remembered, but none that runs."""
        with self._changing:
            ended = (id_ for id_, job in self._jobs.items() if job.state is not JobState.RUNNING)
            old = [id_ for id_, _ in zip(ended, range(len(self._jobs) - REMEMBERED), strict=False)]
            for job_id in old:
                del self._jobs[job_id], self._heard[job_id]
        for job_id in old:
            self._remove(job_id)

    def _remove(self, job_id: str) -> None:
        with self._writing:
            self._kept.pop(job_id, None)
            self._unkept.discard(job_id)
            try:
                self._storage.remove(_file(job_id))
            except ShoalError as error:
                _log.warning("the record of job %s stays: %s", job_id, error)

    def _read_all(self) -> Iterable[JobStatus]:
        try:
            names = [name for name in self._storage.names(JOBS) if name.endswith(".json")]
        except ShoalError as error:
            _log.warning("no jobs of before are known: %s", error)
            return ()
        with ThreadPoolExecutor(_READERS) as readers:
            return [job for job in readers.map(self._read, names) if job is not None]

    def _read(self, name: str) -> JobStatus | None:
        """Return a record; None where there is none, or it cannot be read."""
        try:
            job = _RECORD.validate_json(self._storage.read(f"{JOBS}/{name}"))
        except FileNotFoundError:
            return None
        except (ValidationError, ShoalError) as error:
            said = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
            _log.warning("%s/%s is skipped, because it cannot be read: %s", JOBS, name, said)
            return None
        return job if name == f"{job.id}.json" else None


def _supersedes(job: JobStatus, known: JobStatus) -> bool:
    return not known.state.is_final and known.seconds <= job.seconds


def interrupted(job: JobStatus, runner: str) -> JobStatus:
    """Return a job as one whose runner has ended."""
    message = (
        f"{runner} ended over this job; the collection is as it was; the same command goes on "
        "where it stopped"
    )
    return job.ended(JobState.INTERRUPTED, message, GatewayUnavailable.__name__)


def _file(job_id: str) -> str:
    return f"{JOBS}/{job_id}.json"
