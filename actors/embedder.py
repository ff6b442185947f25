"""Embedder: one model replica in a process of its own, inside its memory limit."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import os
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import wait
from dataclasses import dataclass, replace
from typing import TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from actors import spans
from actors.asking import tell
from actors.engines.base import CrossEncoder, Engine, Kind, Loaded, OnProgress, Scores, Task
from actors.engines.registry import describe, import_libraries, open_model
from actors.errors import LimitExceeded, MemoryLimitExceeded, ModelMismatch
from actors.index.writing import ChunkBlock
from actors.memory import Pressure, give_back, give_back_files, load_gate, ran_out
from actors.messages import ActorStatus, Embedded, Embeddings, Scored
from actors.model import LazyModel, ModelState, Progress
from actors.origin import Origin
from actors.process import (
    MemoryConfig,
    answers_always,
    guard_memory,
    returns,
    started_threads,
    status_of,
)

_log = logging.getLogger("shoal.embedder")
_T = TypeVar("_T")

MAX_TEXT_CHARS = 2_000_000
"""Of one text: twice the largest file that is indexed. No model reads a fiftieth of it."""
_LEAST_BATCH_TOKENS = 64
_RESERVE_BYTES = 4 << 20
"""Let go of where memory ran out, to have some for saying so. Never touched, so it costs none."""
_TOLD_S = 2.0
"""For the steward to be told of a phase: milliseconds, unless it is being replaced."""
_SPARE_THREADS = 4
"""Beside those that compute: one that loads or unloads, some that wait for their turn."""


@dataclass(frozen=True, slots=True)
class EmbedderConfig:
    """What an Embedder is made with.

    Attributes:
        name: Its actor name.
        model: The model's name.
        weights: Fingerprint of the model's files, so that replaced files mean another actor.
        keep_alive_s: Seconds of idleness before the model is unloaded.
        threads: Computations at once.
        memory: What memory it may use.
        steward: Actor name of who is told when a load begins, gets on and ends.
        prefault: Read the model's weights ahead of a load.
    """

    name: str
    model: str
    weights: str
    keep_alive_s: float
    threads: int
    memory: MemoryConfig
    steward: str = ""
    prefault: bool = True


class Embedder:
    """Turns texts into unit vectors, or scores pairs of them, as its model does either.

    It loads the model when it is first asked to.
    """

    def __init__(self, config: EmbedderConfig) -> None:
        self._config = config
        import_libraries(config.model)
        # Threads come first: where the address space is capped, the stack of each would count.
        self._threads = started_threads(config.threads + _SPARE_THREADS, "embedder")
        self._memory = guard_memory(config)
        self._model = LazyModel(
            self._load, self._unload, config.keep_alive_s, self._tell_steward, self._threads
        )
        self._blocks = asyncio.Semaphore(1)  # one block in memory; queries do not queue behind it
        self._loop: asyncio.AbstractEventLoop | None = None
        self._reserve = bytearray()
        self._batch_tokens = 0
        self._texts = 0
        self._learn_from_predecessor()
        self._memory.on_pressure(self._relieve)

    async def embed(
        self,
        texts: Sequence[str],
        kind: Kind,
        retried: bool = False,
        origins: tuple[Origin, ...] = (),
    ) -> Embedded:
        """Embed texts.

        Args:
            texts: What to embed.
            kind: Picks the prefix of models that have them.
            retried: Another try came to nothing; where this replica died of embedding too, the
                texts may be the cause, and are not tried again.
            origins: Whose texts they are.

        Raises:
            LimitExceeded: A text is far beyond what any model reads.
            MemoryLimitExceeded: There is no memory for it; `retry_after_s` tells when to come back.
            ModelLoadError: The model cannot be loaded.
        """
        _refuse_giants(texts)

        def work(engine: Loaded) -> Embeddings:
            counts = np.zeros(len(texts), np.int32)
            vectors = cast("Engine", engine).embed(texts, kind, counts)
            return Embeddings(vectors, tuple(counts.tolist()))

        found = await self._computed("embed", len(texts), work, retried, origins)
        pressure = self._memory.status().pressure.value
        return Embedded(found.vectors, pressure, self._config.name, found.tokens)

    async def score(
        self,
        query: str,
        texts: Sequence[str],
        retried: bool = False,
        origins: tuple[Origin, ...] = (),
    ) -> Scored:
        """Score texts against a query, where the model is a cross-encoder.

        Args:
            query: What is asked.
            texts: What may answer it.
            retried: As for `embed`.
            origins: Whose query it is.

        Raises:
            ShoalError: As from `embed`.
        """
        _refuse_giants((query, *texts))

        def work(engine: Loaded) -> Scores:
            return cast("CrossEncoder", engine).score(query, texts)

        found = await self._computed("score", len(texts), work, retried, origins)
        return Scored(found, self._memory.status().pressure.value, self._config.name)

    async def load(self) -> None:
        """Load the model, unless it is.

        Raises:
            ModelLoadError: It cannot be loaded.
            MemoryLimitExceeded: There is no memory for it.
        """
        self._loop = asyncio.get_running_loop()
        async with self._model.use():
            pass

    async def _computed(
        self,
        verb: Task,
        texts: int,
        work: Callable[[Loaded], _T],
        retried: bool,
        origins: tuple[Origin, ...],
    ) -> _T:
        """Return what `work` makes of so many texts, by the loaded model and within memory."""
        what = f"{verb} {texts} texts"
        if retried:
            self._refuse_what_killed(verb)
        self._memory.admit(what)
        self._loop = asyncio.get_running_loop()
        with spans.span(f"embedder.{verb}", *origins, texts=texts):
            async with self._model.use() as engine:
                found = await self._in_thread(lambda: self._tracked(what, lambda: work(engine)))
        self._texts += texts
        return found

    def _tracked(self, what: str, work: Callable[[], _T]) -> _T:
        with self._memory.track(what, logging.DEBUG):
            found = self._within_memory(what, work)
        self._memory.survived()
        return found

    @returns(2)
    async def embed_block(
        self, block: ChunkBlock, retried: bool = False
    ) -> tuple[int, NDArray[np.float32]]:
        """Embed the chunks of a block that is being indexed.

        The number of vectors comes apart from them, so that a caller can wait for it and leave
        the vectors where they are until a segment is written.
        """
        async with self._blocks:
            answer = await self.embed(block.texts, "document", retried)
        return len(answer.vectors), answer.vectors

    @answers_always
    async def last_death(self) -> str:
        """Return why the memory limit ended this actor's predecessor, or "" where it did not."""
        return self._memory.last_words()

    @answers_always
    async def configuration(self) -> EmbedderConfig:
        """Return what this actor was made with."""
        return self._config

    @answers_always
    async def status(self) -> ActorStatus:
        """Return how the actor is; answered while a model loads or a block is embedded.

        Libraries that read a tokenizer or a GGUF model hold the interpreter, and so the answer,
        for as long as that takes: the steward knows meanwhile how far the load is.
        """
        return self._status()

    def _status(self) -> ActorStatus:
        model, progress = self._model, self._model.progress
        loading = model.state is ModelState.LOADING
        return status_of(
            self,
            self._config,
            self._memory,
            model=self._config.model,
            state=model.state.value,
            **(_told(progress) if loading else {}),
            loads=model.loads,
            unloads=model.unloads,
            load_s=round(model.load_s, 3),
            texts=self._texts,
        )

    def _load(self, on_progress: OnProgress) -> Loaded:
        what = f"load {self._config.model}"
        told = self._telling(on_progress)
        engine = self._within_memory(what, lambda: self._open(what, told))
        self._batch_tokens = engine.batch_tokens
        return engine

    def _telling(self, on_progress: OnProgress) -> OnProgress:
        """Have the steward told of each new phase before it begins: it may hold the interpreter."""

        def told(phase: str, done: int, total: int) -> None:
            is_new = phase != self._model.progress.phase
            on_progress(phase, done, total)
            if is_new and self._loop is not None:
                sent = asyncio.run_coroutine_threadsafe(self._tell_steward(), self._loop)
                wait([sent], _TOLD_S)

        return told

    async def _tell_steward(self) -> None:
        if self._config.steward:
            await tell(self._config.steward, lambda it: it.heard.remote(self._status()))

    def _open(self, what: str, on_progress: OnProgress) -> Loaded:
        card = describe(self._config.model, on_progress)
        limit = self._config.memory.limit_bytes
        card = replace(card, budget=limit, prefault=self._config.prefault)
        self._refuse_other_weights(str(card.fingerprint))
        with load_gate(lambda: on_progress("waiting for another model's load", 0, 0)):
            self._memory.check_room(card.footprint.total, what)
            with self._memory.track(what):
                return open_model(card, self._config.threads, on_progress)

    def _unload(self, engine: Loaded) -> None:
        with self._memory.track(f"unload {self._config.model}"):
            engine.close()
            if getattr(engine, "unload_ends_process", False):
                os._exit(0)  # Ray starts the actor again, without the model
            gc.collect()
            give_back()
            give_back_files()

    def _within_memory(self, what: str, work: Callable[[], _T]) -> _T:
        """Return what `work` returns; where memory ran out, give back what it held, and say so."""
        try:
            self._reserve = self._reserve or bytearray(_RESERVE_BYTES)
            return work()
        except (MemoryError, OSError, SystemError) as error:
            self._reserve.clear()  # else the next line may fail as well
            if not self._is_shortage(error):
                raise
            traceback.clear_frames(error.__traceback__)
        gc.collect()
        give_back()
        if self._loop is not None:  # the engine may hold what it could not use
            self._loop.call_soon_threadsafe(self._model.unload_when_idle)
        raise self._out_of_memory(what)

    def _is_shortage(self, error: Exception) -> bool:
        if isinstance(error, SystemError):  # Python could not even make a MemoryError, or a bug
            seen = self._memory.status().pressure  # what filled the memory may be gone by now
            return seen is not Pressure.OK or self._memory.sample().pressure is not Pressure.OK
        return ran_out(error)

    def _relieve(self, pressure: Pressure) -> None:
        """Give up what can be given up, and work in smaller batches while memory is short."""
        engine = self._model.engine
        if engine is None:
            return
        if pressure is Pressure.OK:
            engine.batch_tokens = self._batch_tokens
            return
        engine.drop_caches()
        engine.batch_tokens = max(_LEAST_BATCH_TOKENS, engine.batch_tokens // 2)
        if pressure is Pressure.HARD and self._loop is not None:
            self._loop.call_soon_threadsafe(self._model.unload_when_idle)

    def _learn_from_predecessor(self) -> None:
        """Do not load at once what the last process died of loading."""
        note = self._memory.last_death
        if note is not None and note.doing.startswith("load"):
            self._model.fail(MemoryLimitExceeded(self._memory.last_words()), note.deaths)

    def _refuse_what_killed(self, verb: Task) -> None:
        note = self._memory.last_death
        if note is not None and note.doing.startswith(verb):
            raise MemoryLimitExceeded(self._memory.last_words(), retry_after_s=1.0)

    def _refuse_other_weights(self, fingerprint: str) -> None:
        if fingerprint != self._config.weights:
            message = (
                f"the files of {self._config.model} are those of {fingerprint} now, not of "
                f"{self._config.weights}; put the old ones back, or index again with the new model"
            )
            raise ModelMismatch(message)

    def _out_of_memory(self, what: str) -> MemoryLimitExceeded:
        now = self._memory.status()
        message = (
            f"no memory was left to {what}: {now.pss >> 20} of {now.limit >> 20} MiB are in use "
            f"({now.enforcement}); raise {self._config.memory.setting}, or take a smaller model"
        )
        return MemoryLimitExceeded(message, retry_after_s=1.0)

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        within = contextvars.copy_context()  # so that its log names the request
        return await asyncio.get_running_loop().run_in_executor(self._threads, within.run, work)


def _told(progress: Progress) -> dict[str, str | int | float]:
    fraction = round(progress.fraction, 3)
    return {"phase": progress.phase, "fraction": fraction, "done_bytes": progress.done}


def _refuse_giants(texts: Sequence[str]) -> None:
    longest = max(map(len, texts), default=0)
    if longest > MAX_TEXT_CHARS:
        message = (
            f"a text has {longest:,} characters, and no more than {MAX_TEXT_CHARS:,} are taken; "
            "cut it into chunks"
        )
        raise LimitExceeded(message)
