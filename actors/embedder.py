"""Embedder: one model replica in a process of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from actors.engines.base import Kind
from actors.engines.registry import fingerprint, open_engine
from actors.index.writing import ChunkBlock
from actors.messages import ActorStatus
from actors.model import LazyModel
from actors.process import answers_always, returns, status_of


@dataclass(frozen=True, slots=True)
class EmbedderConfig:
    """What an Embedder is made with.

    Attributes:
        name: Its actor name.
        model: `engine:reference`.
        weights: Fingerprint of the model's files, so that replaced files mean another actor.
        keep_alive_s: Seconds of idleness before the model is unloaded.
    """

    name: str
    model: str
    weights: str
    keep_alive_s: float


def embedder_config(name: str, model: str, keep_alive_s: float) -> EmbedderConfig:
    """Return the configuration of a replica of `model`, as its files are now."""
    return EmbedderConfig(name, model, str(fingerprint(model)), keep_alive_s)


class Embedder:
    """Turns texts into unit vectors, float32 [n, d]; loads its model when first asked to."""

    def __init__(self, config: EmbedderConfig) -> None:
        self._config = config
        self._model = LazyModel(partial(open_engine, config.model), config.keep_alive_s)
        self._blocks = asyncio.Semaphore(1)  # one block in memory; queries do not queue behind it
        self._texts = 0

    async def embed(self, texts: Sequence[str], kind: Kind) -> NDArray[np.float32]:
        """Embed a few texts."""
        async with self._model.use() as engine:
            self._texts += len(texts)
            return await asyncio.to_thread(engine.embed, texts, kind)

    @returns(2)
    async def embed_block(self, block: ChunkBlock) -> tuple[int, NDArray[np.float32]]:
        """Embed the chunks of a block that is being indexed.

        The number of vectors comes apart from them, so that a caller can wait for it and leave
        the vectors where they are until a segment is written.
        """
        async with self._blocks:
            vectors = await self.embed(block.texts, "document")
        return len(vectors), vectors

    @answers_always
    async def configuration(self) -> EmbedderConfig:
        """Return what this actor was made with."""
        return self._config

    @answers_always
    async def status(self) -> ActorStatus:
        """Return how the actor is; answered while a model loads or a block is embedded."""
        model = self._model
        return status_of(
            self,
            self._config.name,
            model=self._config.model,
            state=model.state.value,
            loads=model.loads,
            load_s=round(model.load_s, 3),
            texts=self._texts,
        )
