"""Steward: the one owner of desired state: which actors there are, which jobs, what to clean up."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import timedelta

import ray

from actors.catalog import Catalog
from actors.embedder import Embedder, EmbedderConfig
from actors.errors import NotFound, ShoalError
from actors.messages import ActorStatus, JobState, JobStatus
from actors.process import answers_always, find_or_make, status_of
from actors.router import Router, RouterConfig
from actors.shard_host import HostConfig, ShardHost
from actors.storage import Storage

_log = logging.getLogger("shoal.steward")

_ORPHAN_GRACE = timedelta(hours=24)
"""Longer than any writer needs between its first segment and its manifest."""
_ANNOUNCE_S = 20.0
_CLEAN_EVERY_S = 600.0
_REMEMBERED_JOBS = 1000


@dataclass(frozen=True, slots=True)
class StewardConfig:
    """What a Steward is made with: its actor name, the root, and every actor there should be."""

    name: str
    root: str
    embedders: tuple[EmbedderConfig, ...]
    hosts: tuple[HostConfig, ...]
    routers: tuple[RouterConfig, ...]


class Steward:
    """Makes the other actors, remembers jobs, tells who must know of a new generation."""

    def __init__(self, config: StewardConfig) -> None:
        self._config = config
        self._catalog = Catalog(Storage(config.root))
        self._jobs: OrderedDict[str, JobStatus] = OrderedDict()
        self._reporting = threading.Lock()
        self._stop = threading.Event()
        self._embedders = [find_or_make(Embedder, c, max_task_retries=3) for c in config.embedders]
        self._hosts = [find_or_make(ShardHost, c, max_concurrency=4) for c in config.hosts]
        self._routers = [find_or_make(Router, c) for c in config.routers]
        threading.Thread(target=self._clean_now_and_then, daemon=True).start()

    def ready(self) -> None:
        """Return once every actor has started."""
        made = (*self._embedders, *self._hosts, *self._routers)
        ray.get([actor.configuration.remote() for actor in made])

    def published(self) -> None:
        """Make every router see the newest generations, and hosts close what none of them uses."""
        refreshed = [router.refresh.remote() for router in self._routers]
        used = ray.get(refreshed, timeout=_ANNOUNCE_S)
        segments = frozenset().union(*used)
        closing = [host.keep_only.remote(segments) for host in self._hosts]
        ray.get(closing, timeout=_ANNOUNCE_S)

    @answers_always
    def report(self, job: JobStatus) -> None:
        """Remember how far a job is; reports may overtake each other, so the furthest counts."""
        with self._reporting:
            known = self._jobs.get(job.id)
            if known is None or (known.state is JobState.RUNNING and known.seconds <= job.seconds):
                self._jobs[job.id] = job
        while len(self._jobs) > _REMEMBERED_JOBS:
            self._jobs.popitem(last=False)

    @answers_always
    def job(self, job_id: str) -> JobStatus:
        """Return how far a job is; NotFound where it is unknown."""
        if job_id in self._jobs:
            return self._jobs[job_id]
        message = f"no job {job_id!r} is known; the status of the cluster names those that are"
        raise NotFound(message)

    @answers_always
    def jobs(self) -> tuple[JobStatus, ...]:
        """Return all jobs that are remembered, oldest first."""
        return tuple(self._jobs.values())

    @answers_always
    def configuration(self) -> StewardConfig:
        """Return what this actor was made with."""
        return self._config

    @answers_always
    def status(self) -> ActorStatus:
        """Return how the actor is."""
        return status_of(self, self._config.name, jobs=len(self._jobs))

    def clean(self) -> list[str]:
        """Remove what killed writers left behind; return what was removed."""
        removed = []
        for collection in self._catalog.folders():
            try:
                removed += self._catalog.remove_orphans(collection, _ORPHAN_GRACE)
            except ShoalError as error:
                _log.warning("clean-up of %s: %s", collection, error)
        return removed

    def _clean_now_and_then(self) -> None:
        while not self._stop.wait(_CLEAN_EVERY_S):
            try:
                for name in self.clean():
                    _log.info("removed the orphan %s", name)
            except Exception:  # noqa: BLE001 - the next round may fare better, and must come
                _log.exception("clean-up failed")
