"""Steward: the one owner of desired state: which actors there are, which jobs, what to clean up."""

from __future__ import annotations

import contextlib
import itertools
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from actors.arrangement import Arrangement
from actors.catalog import Catalog, Manifest
from actors.errors import CorruptData, ShoalError
from actors.fleet import Fleet, FleetPlan
from actors.freshness import Freshness
from actors.job_book import JobBook
from actors.layout import EMBEDDER, HOST, Kind, Layout, Limits
from actors.leadership import Leadership
from actors.machines import Machines
from actors.memory import node_memory
from actors.merger import Merger
from actors.messages import ActorStatus, JobState, JobStatus, Pool, Scale, Topology
from actors.model import ModelState
from actors.pool_plan import PoolPlan
from actors.pools import Pools
from actors.process import (
    MemoryConfig,
    answers_always,
    end_actor,
    guard_memory,
    status_of,
)
from actors.retention import Cleaner
from actors.routing.warming import shards_by_host
from actors.scaling import ScaleFile, changed
from actors.storage import Storage
from actors.visibility import RootWatch, living_nodes

_log = logging.getLogger("shoal.steward")

_WARM_S = 5.0
"""A publication waits so long for hosts to open it; what takes longer is served as it opens."""
_WARM_WHOLE_S = 60.0
"""So long a batch job waits for hosts to open what it made: nothing is served by it yet."""
_LOOK_EVERY_S = 10.0
_LOOKS_PER_CLEANING = 60


@dataclass(frozen=True, slots=True)
class StewardConfig:
    """What a Steward is made with.

    Attributes:
        name: Its actor name.
        root: The storage root.
        pools: How replicas are made.
        fleet: How hosts and routers are made.
        scale: How many of them there are to be, until another scale is asked for.
        scale_file: Where that is remembered, below the root.
        memory: What memory it may use.
    """

    name: str
    root: str
    pools: PoolPlan
    fleet: FleetPlan
    scale: Scale
    scale_file: str
    memory: MemoryConfig


class Steward:
    """Makes the other actors, remembers jobs, tells who must know of a new generation."""

    def __init__(self, config: StewardConfig) -> None:
        self._config = config
        machine_bytes = node_memory().total  # from here on it would be the limit
        self._memory = guard_memory(config)
        storage = Storage(config.root)
        self._catalog = Catalog(storage)
        self._cleaner = Cleaner(storage)
        self._kept = ScaleFile(storage, config.scale_file)
        self._fleet = Fleet(config.fleet, config.name)
        self._jobs = JobBook(storage)
        self._freshness = Freshness()
        self._loading: dict[str, tuple[ActorStatus, float]] = {}
        self._warmed: dict[str, int] = {}
        self._stop = threading.Event()
        self._has_taken_over = False
        wanted = self._kept.wanted(config.scale)
        machines = Machines(wanted, _limits(config), config.pools.gpus, config.name, machine_bytes)
        self._pools = Pools(config.pools, config.name, machines)
        self._arrangement = Arrangement(
            self._fleet, self._pools, machines, self._newest, self._forget_load, self._stop
        )
        self._arrangement.begin(config.scale)
        self._merger = Merger(config.root)
        self._leadership = Leadership(storage, config.scale_file)
        self._root_watch = RootWatch(config.root)
        threading.Thread(target=self._look_after_all, daemon=True).start()

    def ready(self) -> None:
        """Return once every actor has started."""
        self._fleet.wait_for()

    def scale(
        self,
        embedders: int | None = None,
        hosts: int | None = None,
        replication: int | None = None,
        routers: int | None = None,
    ) -> Scale:
        """Have so many actors of each kind, and return how many there are then.

        What is added serves once it has started and opened what it is to serve; what is taken out
        is asked no more before it ends. None leaves a count as it is.

        Raises:
            MemoryLimitExceeded: There is no memory for that; nothing has changed.
            GatewayUnavailable: What is added does not start; nothing has changed.
        """
        return self._arrangement.scale(
            lambda before: changed(
                before, embedders=embedders, hosts=hosts, replication=replication, routers=routers
            ),
            lambda asked: self._kept.keep(asked, self._config.scale),
        )

    @answers_always
    def scaled(self) -> Scale:
        """Return how many actors of each kind there are to be."""
        return self._arrangement.layout.scale

    @answers_always
    def topology(self) -> Topology:
        """Return who serves searches."""
        return self._arrangement.layout.topology

    @answers_always
    def layout(self) -> Layout:
        """Return who is to run where, as the machines are now."""
        return self._arrangement.proposed()

    @answers_always
    def router_started(self, name: str) -> None:
        """Tell a router who serves: one that Ray restarts knows what it was first made with."""
        self._arrangement.arrange_one(name)

    def published(self) -> None:
        """Have hosts open the newest generations, routers serve them, and end what none uses."""
        newest = self._newest()
        fresh = [m for m in newest if self._warmed.get(m.collection) != m.generation]
        self._fleet.warm(shards_by_host(fresh, self.topology()), _WARM_S)
        self._warmed = {m.collection: m.generation for m in newest}
        self._fleet.refresh()
        self.retire()

    def warm(self, manifest: Manifest) -> None:
        """Have hosts open what is about to be published; what takes longer is opened when asked."""
        shards = shards_by_host([manifest], self.topology())
        self._fleet.warm(shards, _WARM_WHOLE_S)

    def open_newest(self, within_s: float) -> bool:
        """Have hosts open the newest generation of every collection; tell whether all did in time.

        What cannot be opened is left to who asks for it: a damaged collection keeps none waiting.
        """
        shards = shards_by_host(self._newest(), self.topology())
        return self._fleet.warm(shards, within_s)

    def pool(self, model: str, fingerprint: str = "") -> Pool:
        """Return the pool of a model, made where there is none; see `Pools.get`."""
        return self._pools.get(model, fingerprint)

    @answers_always
    def pools(self) -> tuple[Pool, ...]:
        """Return the pools that there are."""
        return self._pools.all()

    @answers_always
    def heard(self, replica: ActorStatus) -> None:
        """Remember a replica while it loads: it may not be able to answer for itself."""
        if replica.detail["state"] == ModelState.LOADING.value:
            self._loading[replica.name] = (replica, time.monotonic())
        else:
            self._loading.pop(replica.name, None)

    @answers_always
    def loading(self) -> tuple[ActorStatus, ...]:
        """Return the replicas that load, as they last said; `heard_s_ago` tells when that was."""
        now = time.monotonic()
        return tuple(
            replace(status, detail=status.detail | {"heard_s_ago": round(now - at, 1)})
            for status, at in list(self._loading.values())
        )

    @answers_always
    def watching(self, collection: str, watcher: str, behind_s: float | None) -> None:
        """Take a watcher's word for a collection, whichever gateway it came to; None ends it."""
        if behind_s is None:
            self._freshness.forget(collection, watcher)
        else:
            self._freshness.note(collection, watcher, behind_s)

    @answers_always
    def behind(self) -> dict[str, float]:
        """Return by how many seconds each watched collection is behind its source."""
        return self._freshness.all()

    def retire(self) -> list[Pool]:
        """End the pools that no collection and no job needs; return them."""
        if self._jobs.counts()[JobState.RUNNING]:
            return []  # it may be making the first collection of its model
        try:
            needed = self._catalog.fingerprints()
        except ShoalError as error:
            _log.warning("all pools are kept, because a manifest cannot be read: %s", error)
            return []
        ended = self._pools.retire(needed)
        for name in (name for pool in ended for name in pool.embedders):
            self._forget_load(name)
        return ended

    @answers_always
    def report(self, job: JobStatus) -> JobState:
        """Remember how far a job is; see `JobBook.report`."""
        return self._jobs.report(job)

    @answers_always
    def job(self, job_id: str) -> JobStatus:
        """Return how far a job is; NotFound where it is unknown."""
        return self._jobs.job(job_id)

    @answers_always
    def jobs(self) -> tuple[JobStatus, ...]:
        """Return all jobs that are remembered; see `JobBook.all`."""
        return self._jobs.all()

    def cancel(self, job_id: str) -> JobStatus:
        """Cancel a job, and end the actor `job-<id>` where one runs it; return it as it is then.

        One that has ended, or publishes already, is left as it is.

        Raises:
            NotFound: It is unknown.
        """
        job = self._jobs.cancel(job_id)
        if job.state is JobState.CANCELLED:
            end_actor(f"job-{job_id}")
        return job

    @answers_always
    def may_publish(self, job_id: str) -> bool:
        """Tell a job whether it may publish, which it asks last; see `JobBook.may_publish`."""
        return self._jobs.may_publish(job_id)

    @answers_always
    def configuration(self) -> StewardConfig:
        """Return what this actor was made with."""
        return self._config

    @answers_always
    def status(self) -> ActorStatus:
        """Return how the actor is."""
        jobs = {f"jobs_{state}": count for state, count in self._jobs.counts().items()}
        return status_of(
            self,
            self._config,
            self._memory,
            **jobs,
            merging=int(self._merger.busy),
            leads=int(self._leadership.is_held),
            root_problem=self._root_watch.problem,
        )

    def _newest(self) -> list[Manifest]:
        """Return the newest generation of every collection that can be read."""
        found = []
        for name in self._catalog.folders():
            with contextlib.suppress(CorruptData):
                found.append(self._catalog.find(name))
        return [manifest for manifest in found if manifest]

    def _forget_load(self, name: str) -> None:
        self._loading.pop(name, None)

    def _look_after_all(self) -> None:
        for look in itertools.count(1):
            self._tried(self._mend if self._has_taken_over else self._take_over)
            self._tried(self._rebalance)
            self._tried(self._look_after_jobs)
            self._tried(lambda: self._root_watch.look(living_nodes()))
            self._tried(self.retire)
            self._tried(self._merge)
            if look % _LOOKS_PER_CLEANING == 0:
                self._tried(self._clean)
            if self._stop.wait(_LOOK_EVERY_S):
                return

    def _tried(self, step: Callable[[], object]) -> None:
        try:
            step()
        except Exception:  # noqa: BLE001 - the next round may fare better, and must come
            _log.exception("looking after the cluster failed")

    def _look_after_jobs(self) -> None:
        self._jobs.look()

    def _merge(self) -> None:
        """Merge what is due, where this is the cluster that looks after the root."""
        if self._merger.look(begins=self._leadership.hold()):
            self.published()

    def _clean(self) -> None:
        """Remove old generations, and what they or killed writers left behind; likewise."""
        if not self._leadership.is_held:
            return
        for collection in self._catalog.folders():
            try:
                for name in self._cleaner.clean(collection):
                    _log.info("removed %s, which nobody needs", name)
            except ShoalError as error:
                _log.warning("clean-up of %s: %s", collection, error)

    def _mend(self) -> None:
        self._arrangement.mend()

    def _rebalance(self) -> None:
        if self._has_taken_over:
            self._arrangement.rebalance()

    def _take_over(self) -> None:
        """Find what a steward before this one made, and end what is beyond the scale."""
        self._warmed = {m.collection: m.generation for m in self._newest()}
        self._arrangement.take_over()
        self._has_taken_over = True


def _limits(config: StewardConfig) -> Limits:
    fleet, pools = config.fleet, config.pools
    follow: dict[Kind, bool] = {HOST: fleet.hosts_follow_node, EMBEDDER: pools.sized_by_model}
    return Limits(
        host=fleet.host_memory.limit_bytes,
        embedder=pools.memory.limit_bytes,
        control=fleet.router_memory.limit_bytes,
        chosen=frozenset(kind for kind, follows in follow.items() if not follows),
    )
