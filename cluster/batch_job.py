"""BatchJob: brings a whole collection up to date, or rebuilds it, in an actor of its own.

It goes on where the gateway that started it ends, and where it dies itself, Ray starts it again and
it goes on from its drafts. It ends its own actor when it is through.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from actors.asking import answers_within, tell_at_once
from actors.catalog import Catalog, Manifest
from actors.embedder import EmbedderConfig
from actors.engines.base import ModelCard
from actors.engines.registry import describe
from actors.errors import GatewayUnavailable, MemoryLimitExceeded, ShoalError
from actors.memory import limit_for
from actors.messages import ActorStatus, JobState, JobStatus
from actors.model import KEEP_FOREVER
from actors.process import (
    NAMESPACE,
    MemoryConfig,
    answers_always,
    find_actor,
    guard_memory,
    largest_memory_free,
    status_of,
)
from actors.storage import Storage
from cluster.batch import Stages, run
from cluster.batch_progress import SoFar
from cluster.compact import compacted
from cluster.comparison import Comparison
from cluster.ingest.pipeline import BlockSummary
from cluster.ingest.sources import find_files
from cluster.ingest.walk import WalkLimits
from cluster.jobs import Withdrawn, in_words
from cluster.mounts import reading_options
from cluster.naming import Target

_log = logging.getLogger("shoal.batch")

JOB_BYTES = 1 << 30
"""What a job may hold: Ray Data some 300 MiB, and the paths and hashes of a million files."""
_DATA_BYTES = 128 << 20
"""What Ray Data holds in a replica, over what an online one does."""
_TELL_EVERY_S = 0.5
_BEAT_S = 5.0
_MOST_STARTS = 4
"""What dies again and again is not tried for ever."""
_ASK_S = 60.0
_LOAD_S = 300.0
_WARM_S = 120.0
_PAUSE_S = 0.2


@dataclass(frozen=True, slots=True)
class BatchConfig:
    """What a batch job is made with.

    Attributes:
        name: Its actor name.
        memory: What memory it may use.
        job_id: Names the job.
        root: The storage root.
        target: What is indexed into which collection.
        model: Name of the model; "" for the collection's, or the default.
        shards: How many the collection is to have; 0 for as many as it has.
        new_shards: How many a new collection gets.
        default_model: That of new collections.
        max_file_bytes: Larger files are skipped.
        shared: Folders that every node mounts alike.
        embedder: What memory a replica of the job's own may use, at most.
        sized_by_model: A small model gets less.
        replicas: How many replicas there are.
        threads: Computations at once in each.
        steward: Actor name of the steward.
    """

    name: str
    memory: MemoryConfig
    job_id: str
    root: str
    target: Target
    model: str
    shards: int
    new_shards: int
    default_model: str
    max_file_bytes: int
    shared: tuple[str, ...]
    embedder: MemoryConfig
    sized_by_model: bool
    replicas: int
    threads: int
    steward: str


class BatchJob:
    """Runs one job, in a thread of its own, from the moment it is made."""

    def __init__(self, config: BatchConfig) -> None:
        self._config = config
        self._memory = guard_memory(config)
        self._storage = Storage(config.root)
        self._catalog = Catalog(self._storage)
        self._telling = threading.Lock()
        self._told_at = 0.0
        self._status: JobStatus = self._ask_steward(lambda it: it.job.remote(config.job_id), _ASK_S)
        self._so_far = SoFar(self._status.started_at)
        threading.Thread(target=self._work, daemon=True).start()
        threading.Thread(target=self._beat, daemon=True).start()

    @answers_always
    def read(self, number: int, summary: BlockSummary) -> None:
        """Take what became of a block's files, once or again."""
        self._so_far.summaries[number] = summary
        self._tell_now_and_then()

    @answers_always
    def embedded(self, first: int, files: int, chunks: int) -> None:
        """Note that the chunks from the one of id `first` on are embedded, once or again."""
        self._so_far.embedded[first] = (files, chunks)
        self._tell_now_and_then()

    @answers_always
    def configuration(self) -> BatchConfig:
        """Return what this actor was made with."""
        return self._config

    @answers_always
    def status(self) -> ActorStatus:
        """Return how the actor is."""
        return status_of(self, self._config, self._memory, phase=self._status.phase)

    def _work(self) -> None:
        """Do the job, tell how it ended, and end this actor."""
        try:
            self._refuse_to_die_for_ever()
            self._run()
        except Withdrawn:
            self._end(JobState.CANCELLED)
        except ShoalError as error:
            self._end(JobState.FAILED, str(error), type(error).__name__)
        except Exception as error:  # noqa: BLE001 - the job's status is where its errors go
            _log.exception("job %s failed", self._config.job_id)
            self._end(JobState.FAILED, str(error), ShoalError.__name__)
        ray.kill(find_actor(self._config.name))  # a process that only exits is started again

    def _refuse_to_die_for_ever(self) -> None:
        if self._memory.starts > _MOST_STARTS:
            message = f"the job died {_MOST_STARTS} times; {self._config.name}.log says more"
            raise GatewayUnavailable(message)

    def _run(self) -> None:
        self._tell(phase="finding the model")
        base, rebuilds, card = self._open()
        self._tell(phase="looking for files")
        target = self._config.target
        limits = WalkLimits(self._config.max_file_bytes)
        self._so_far.found = found = find_files(target.root, target.scopes, limits)
        compared = Comparison(self._storage, target, base, rebuilds)
        blocks = list(compared.blocks(target.root, found.files, limits.max_file_bytes))
        self._tell(phase="reading and embedding", files_total=len(found.files))
        if blocks:
            run(self._stages(compared, card), blocks)
        for summary in self._so_far.summaries.values():
            compared.take(summary)
        published = self._publish(compared, rebuilds)
        self._end(
            JobState.DONE,
            phase="done",
            generation=published.generation,
            files_removed=compared.removed,
        )

    def _open(self) -> tuple[Manifest, bool, ModelCard]:
        """Return what to build on, whether it stands for a whole new collection, and the model."""
        config, name = self._config, self._config.target.collection
        found = self._catalog.find(name)
        model = config.model or (found and found.model_name) or config.default_model
        card = describe(model, self._tell_progress)
        shards = config.shards or (len(found.shards) if found else config.new_shards)
        if found and found.model == card.fingerprint and len(found.shards) == shards:
            return found, False, card
        root = config.target.root
        new = self._catalog.new(name, card.fingerprint, shards, root, str(card.spec))
        if found is None:
            return new, False, card
        return replace(new, generation=found.generation), True, card

    def _stages(self, compared: Comparison, card: ModelCard) -> Stages:
        config = self._config
        most = config.embedder.limit_bytes
        limit = limit_for(card.footprint.total, most) if config.sized_by_model else most
        memory = replace(config.embedder, limit_bytes=limit + _DATA_BYTES)
        _refuse_without_room(card, memory)
        embedder = EmbedderConfig(
            name=f"{config.name}-embedder",
            model=str(card.spec),
            weights=str(card.fingerprint),
            keep_alive_s=KEEP_FOREVER,
            threads=config.threads,
            memory=memory,
        )
        return Stages(
            config.name,
            config.root,
            compared.base.collection,
            len(compared.base.shards),
            compared.drafts.folder,
            reading_options(config.target.root, config.shared),
            embedder,
            config.replicas,
        )

    def _publish(self, compared: Comparison, rebuilds: bool) -> Manifest:
        self._tell(phase="merging and building indexes")
        written = compacted(
            self._config.root, compared.base.collection, compared.usable(compared.drafts.all())
        )
        if rebuilds or any(written.values()):
            self._tell(phase="warming")
            self._warm(compared.following(written), rebuilds)
        self._tell(phase="publishing")
        if not self._ask_steward(lambda it: it.may_publish.remote(self._config.job_id), _ASK_S):
            raise Withdrawn
        published = compared.publish(written, self._config.job_id, self._so_far.skipped)
        self._ask_steward(lambda steward: steward.published.remote(), _ASK_S)
        return published

    def _warm(self, manifest: Manifest, rebuilds: bool) -> None:
        """Have what is to be published opened, and its model loaded, before a search needs it."""
        self._ask_steward(lambda steward: steward.warm.remote(manifest), _WARM_S)
        if rebuilds:
            name, fingerprint = manifest.model_name, str(manifest.model)
            pool = self._ask_steward(lambda it: it.pool.remote(name, fingerprint), _ASK_S)
            replicas = {name: find_actor(name) for name in pool.embedders}
            calls = {n: r.embed.remote(["warm"], "query") for n, r in replicas.items() if r}
            answers_within(calls, _LOAD_S)

    def _beat(self) -> None:
        """Let the steward know that the job goes on, whatever it is waiting for."""
        while True:
            time.sleep(_BEAT_S)
            self._tell()

    def _tell_progress(self, phase: str, done: int, total: int) -> None:
        self._tell(phase=in_words(phase, done, total))

    def _tell_now_and_then(self) -> None:
        if time.monotonic() - self._told_at > _TELL_EVERY_S:
            self._tell()

    def _tell(self, **changes: Any) -> None:  # noqa: ANN401 - fields of JobStatus
        """Let the steward know how far the job is."""
        with self._telling:
            if self._status.state.is_final:
                return
            self._told_at = time.monotonic()
            self._status = status = replace(self._status, **self._so_far.told(), **changes)
        tell_at_once(self._config.steward, lambda steward: steward.report.remote(status))

    def _end(self, state: JobState, error: str = "", kind: str = "", **changes: Any) -> None:  # noqa: ANN401
        """Let the steward know how the job ended, and wait until it does."""
        with self._telling:
            told = replace(self._status, **self._so_far.told(), **changes)
            self._status = status = told.ended(state, error, kind)
        self._ask_steward(lambda steward: steward.report.remote(status), _ASK_S)

    def _ask_steward(self, call: Callable[[Any], Any], within_s: float) -> Any:  # noqa: ANN401
        """Return the steward's answer, asked again while it is being restarted."""
        give_up = time.monotonic() + within_s
        while True:
            try:
                steward = ray.get_actor(self._config.steward, namespace=NAMESPACE)
                return ray.get(call(steward), timeout=max(give_up - time.monotonic(), 0))
            except RayTaskError as error:
                raise error.cause from None
            except (RayError, ValueError) as error:
                if time.monotonic() > give_up:
                    message = f"the steward did not answer within {within_s:.0f} s"
                    raise GatewayUnavailable(message) from error
                time.sleep(_PAUSE_S)


def _refuse_without_room(card: ModelCard, memory: MemoryConfig) -> None:
    """Raise where Ray would leave the replicas waiting for memory for ever."""
    free = largest_memory_free()
    if memory.limit_bytes > free:
        message = (
            f"the job's replica of {card.spec} may use {memory.limit_bytes >> 20} MiB, and the "
            f"node with most room has {free >> 20} MiB left for actors; lower "
            f"{memory.setting}, or have fewer actors with `shoal scale`"
        )
        raise MemoryLimitExceeded(message, retry_after_s=10.0)
