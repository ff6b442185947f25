"""BatchJob: brings a whole collection up to date, or rebuilds it, in an actor of its own.

It goes on where the gateway that started it ends, and where it dies itself, Ray starts it again and
it goes on from its drafts. It ends its own actor when it is through.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray

from actors.asking import answers_within
from actors.catalog import Catalog, Manifest
from actors.embedder import EmbedderConfig
from actors.engines.base import ModelCard
from actors.engines.registry import describe
from actors.errors import Conflict, GatewayUnavailable, MemoryLimitExceeded, ShoalError
from actors.memory import limit_for
from actors.messages import ActorStatus, JobState
from actors.model import KEEP_FOREVER
from actors.process import (
    MemoryConfig,
    answers_always,
    find_actor,
    guard_memory,
    largest_memory_free,
    status_of,
)
from actors.storage import Storage
from cluster.batch_progress import ASK_S, Report, ask_steward
from cluster.checkout import checked_out
from cluster.compact import compacted
from cluster.comparison import Comparison
from cluster.ingest.pipeline import BlockOfFiles, BlockSummary
from cluster.jobs import Withdrawn
from cluster.mounts import reading_options
from cluster.naming import Target
from cluster.reaching import Reached, in_place
from cluster.repository import repository

_log = logging.getLogger("shoal.batch")

JOB_BYTES = 1 << 30
"""What a job may hold: Ray Data some 300 MiB, and the paths and hashes of a million files."""
_DATA_BYTES = 128 << 20
"""What Ray Data holds in a replica, over what an online one does."""
_MOST_STARTS = 4
"""What dies again and again is not tried for ever."""
_TRIES = 3
"""To publish, against others who publish to the same collection."""
_LOAD_S = 300.0
_WARM_S = 120.0


@dataclass(frozen=True, slots=True)
class BatchConfig:
    """What a batch job is made with.

    Attributes:
        name: Its actor name.
        memory: What memory it may use.
        job_id: Names the job.
        root: The storage root.
        target: What is indexed into which collection.
        repository: What is fetched to be read, as `git+URL@revision`; "" where nothing is.
        model: Name of the model; "" for the collection's, or the default.
        shards: How many the collection is to have; 0 for as many as it has.
        new_shards: How many a new collection gets.
        default_model: That of new collections.
        max_file_bytes: Larger files are skipped.
        shared: Folders that every node mounts alike.
        embedder: What memory a replica of the job's own may use, at most.
        sized_by_model: A small model gets less.
        room_to_come: Bytes that actors may have on a node that an autoscaler adds, or 0.
        replicas: How many replicas there are.
        threads: Computations at once in each.
        steward: Actor name of the steward.
    """

    name: str
    memory: MemoryConfig
    job_id: str
    root: str
    target: Target
    repository: str
    model: str
    shards: int
    new_shards: int
    default_model: str
    max_file_bytes: int
    shared: tuple[str, ...]
    embedder: MemoryConfig
    sized_by_model: bool
    room_to_come: int
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
        self._report = Report(config.job_id, config.steward)
        threading.Thread(target=self._work, daemon=True).start()

    @answers_always
    def begins(self, number: int) -> bool:
        """Note that a block is being read; tell whether one began that and did not get through."""
        begun = self._report.so_far.begun
        was_begun = number in begun
        begun.add(number)
        return was_begun

    @answers_always
    def read(self, number: int, summary: BlockSummary) -> None:
        """Take what became of a block's files, once or again."""
        self._report.so_far.summaries[number] = summary
        self._report.tell_now_and_then()

    @answers_always
    def embedded(self, first: int, files: int, chunks: int) -> None:
        """Note that the chunks from the one of id `first` on are embedded, once or again."""
        self._report.so_far.embedded[first] = (files, chunks)
        self._report.tell_now_and_then()

    @answers_always
    def configuration(self) -> BatchConfig:
        """Return what this actor was made with."""
        return self._config

    @answers_always
    def status(self) -> ActorStatus:
        """Return how the actor is."""
        return status_of(self, self._config, self._memory, phase=self._report.status.phase)

    def _work(self) -> None:
        """Do the job, tell how it ended, and end this actor."""
        try:
            self._refuse_to_die_for_ever()
            self._run()
        except Withdrawn:
            self._report.end(JobState.CANCELLED)
        except ShoalError as error:
            self._report.end(JobState.FAILED, str(error), type(error).__name__)
        except Exception as error:  # noqa: BLE001 - the job's status is where its errors go
            _log.exception("job %s failed", self._config.job_id)
            self._report.end(JobState.FAILED, str(error), ShoalError.__name__)
        ray.kill(find_actor(self._config.name))  # a process that only exits is started again

    def _refuse_to_die_for_ever(self) -> None:
        if self._memory.starts > _MOST_STARTS:
            message = f"the job died {_MOST_STARTS} times; {self._config.name}.log says more"
            raise GatewayUnavailable(message)

    def _run(self) -> None:
        """Do the work; where others published meanwhile, again on what they did: little is left."""
        with self._reached() as reached:
            for others in range(_TRIES):
                try:
                    self._bring_up_to_date(reached)
                except Conflict as error:
                    if others == _TRIES - 1:
                        raise
                    _log.info("job %s builds on what came meanwhile: %s", self._config.name, error)
                else:
                    return

    @contextmanager
    def _reached(self) -> Iterator[Reached]:
        """Have the files readable as long as the context lasts."""
        config, tell = self._config, self._report.tell_progress
        limit = config.max_file_bytes
        if config.repository:
            folder = Path(tempfile.gettempdir(), f"shoal-{config.name}")
            shutil.rmtree(folder, ignore_errors=True)  # of a job that was killed
            reach = checked_out(repository(config.repository), folder, limit, tell)
        else:
            reach = in_place(config.target, limit, tell)
        with asyncio.Runner() as runner:
            reached = runner.run(reach.__aenter__())
            try:
                yield reached
            finally:
                runner.run(reach.__aexit__(None, None, None))

    def _bring_up_to_date(self, reached: Reached) -> None:
        self._report.tell(phase="finding the model")
        self._report.start_over()
        base, rebuilds, card = self._open()
        self._report.tell(phase="looking for files")
        compared = Comparison(self._storage, self._config.target, base, rebuilds, reached.source)
        self._report.so_far.found = found = reached.find(compared.choice)
        blocks = compared.blocks(reached.root, found.files, self._config.max_file_bytes)
        self._report.tell(phase="reading and embedding", files_total=len(found.files))
        if found.files:
            self._process(compared, card, reached.root, list(blocks))
        for summary in self._report.so_far.summaries.values():
            compared.take(summary)
        published = self._publish(compared, rebuilds)
        self._report.end(
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
        card = describe(model, self._report.tell_progress, task="embed")
        shards = config.shards or (len(found.shards) if found else config.new_shards)
        if found and found.model == card.fingerprint and len(found.shards) == shards:
            return found, False, card
        root = config.target.root
        new = self._catalog.new(name, card.fingerprint, shards, root, str(card.spec))
        if found is None:
            return new, False, card
        return replace(new, generation=found.generation, choice=found.choice), True, card

    def _process(
        self, compared: Comparison, card: ModelCard, root: str, blocks: Sequence[BlockOfFiles]
    ) -> None:
        from cluster.batch import Stages, run  # noqa: PLC0415 - Ray Data, which no gateway needs

        config = self._config
        most = config.embedder.limit_bytes
        limit = limit_for(card.footprint.total, most) if config.sized_by_model else most
        memory = replace(config.embedder, limit_bytes=limit + _DATA_BYTES)
        _refuse_without_room(card, memory, config.room_to_come)
        embedder = EmbedderConfig(
            name=f"{config.name}-embedder",
            model=str(card.spec),
            weights=str(card.fingerprint),
            keep_alive_s=KEEP_FOREVER,
            threads=config.threads,
            memory=memory,
        )
        stages = Stages(
            config.name,
            config.root,
            compared.base.collection,
            len(compared.base.shards),
            compared.drafts.folder,
            reading_options(root, config.shared),
            embedder,
            config.replicas,
        )
        run(stages, blocks)

    def _publish(self, compared: Comparison, rebuilds: bool) -> Manifest:
        self._report.tell(phase="merging and building indexes")
        written = compacted(
            self._config.root, compared.base.collection, compared.usable(compared.drafts.all())
        )
        if rebuilds or any(written.values()):
            self._report.tell(phase="warming")
            self._warm(compared.following(written), rebuilds)
        self._report.tell(phase="publishing")
        if not self._ask_steward(lambda it: it.may_publish.remote(self._config.job_id)):
            raise Withdrawn
        published = compared.publish(written, self._config.job_id, self._report.so_far.skipped)
        with suppress(GatewayUnavailable):  # routers find it by themselves
            self._ask_steward(lambda steward: steward.published.remote())
        return published

    def _ask_steward(self, call: Callable[[Any], Any], within_s: float = ASK_S) -> Any:  # noqa: ANN401
        return ask_steward(self._config.steward, call, within_s)

    def _warm(self, manifest: Manifest, rebuilds: bool) -> None:
        """Have what is to be published opened, and its model loaded, before a search needs it."""
        self._ask_steward(lambda steward: steward.warm.remote(manifest), _WARM_S)
        if rebuilds:
            name, fingerprint = manifest.model_name, str(manifest.model)
            pool = self._ask_steward(lambda it: it.pool.remote(name, fingerprint))
            replicas = {name: find_actor(name) for name in pool.embedders}
            calls = {n: r.embed.remote(["warm"], "query") for n, r in replicas.items() if r}
            answers_within(calls, _LOAD_S)


def _refuse_without_room(card: ModelCard, memory: MemoryConfig, room_to_come: int) -> None:
    """Raise where Ray would leave the replicas waiting for memory for ever."""
    free = largest_memory_free()
    if memory.limit_bytes > max(free, room_to_come):
        message = (
            f"the job's replica of {card.spec} may use {memory.limit_bytes >> 20} MiB, and the "
            f"node with most room has {free >> 20} MiB left for actors; lower "
            f"{memory.setting}, have fewer actors with `shoal scale`, or, where an autoscaler adds "
            "nodes, set SHOAL_AUTOSCALED_MEMORY to what one of them has for actors"
        )
        raise MemoryLimitExceeded(message, retry_after_s=10.0)
