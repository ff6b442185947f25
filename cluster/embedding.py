"""Embedding blocks of chunks on a model's pool, as jobs and uploads do."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from actors.asking import first_answer
from actors.engines.base import Fingerprint
from actors.errors import MemoryLimitExceeded, ShoalError
from actors.messages import POOL_LEASE_S, Pool
from actors.routing.place import in_turn

_T = TypeVar("_T")
Embed = Callable[[Any], Awaitable[Any]]
"""Block reference → reference of its vectors, once they are there."""

_BLOCK_S = 3600.0
"""A block is 1 MB of text: a minute for the slowest of engines."""
_PATIENCE_S = 120.0
"""How long a block waits for a replica that is short of memory or fails to load."""
_PAUSE_S = 1.0
_ASK_EVERY_S = POOL_LEASE_S / 3


@dataclass(frozen=True, slots=True)
class OpenedModel:
    """A model that can embed: its name, its vector space, its replicas, and the means."""

    name: str
    fingerprint: Fingerprint
    embedders: tuple[str, ...]
    embed: Embed


class BlockEmbedder:
    """Embeds blocks on the replicas of a pool in turn.

    Args:
        pool: The model's pool.
        get_pool: Returns it as it is now: a long job takes up replicas that are added meanwhile.
    """

    def __init__(self, pool: Pool, get_pool: Callable[[], Awaitable[Pool]]) -> None:
        self._pool = pool
        self._get_pool = get_pool
        self._asked_at = time.monotonic()
        self._turn = itertools.count()

    async def __call__(self, block: Any) -> Any:  # noqa: ANN401 - Ray references
        """Return a reference of the block's vectors, float32 [n, d].

        Raises:
            ModelLoadError: The model cannot be loaded.
            MemoryLimitExceeded: For two minutes there was no memory for it.
            ReplicaLost: Every replica died over it.
        """
        return await patiently(lambda: self._ask(block))

    async def _ask(self, block: Any) -> Any:  # noqa: ANN401
        vectors = None
        tries = itertools.count()

        def call(embedder: Any) -> Any:  # noqa: ANN401
            nonlocal vectors
            count, vectors = embedder.embed_block.remote(block, next(tries) > 0)
            return count

        names = in_turn((await self._current()).embedders, next(self._turn))
        await first_answer(names, call, lambda: _BLOCK_S)
        return vectors

    async def _current(self) -> Pool:
        """Return the pool, asked for now and then; as it was where the steward is away."""
        if time.monotonic() - self._asked_at > _ASK_EVERY_S:
            self._asked_at = time.monotonic()
            with contextlib.suppress(ShoalError):
                self._pool = await self._get_pool()
        return self._pool


async def patiently(embed: Callable[[], Awaitable[_T]]) -> _T:
    """Return what `embed` returns, asked again for two minutes while there is no memory for it."""
    give_up = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return await embed()
        except MemoryLimitExceeded as error:
            pause_s = error.retry_after_s or _PAUSE_S
            if time.monotonic() + pause_s > give_up:
                raise
            await asyncio.sleep(pause_s)
