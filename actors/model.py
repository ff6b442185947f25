"""A model that is loaded on first use, shared by all who use it, and unloaded when idle."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from enum import StrEnum

from actors.engines.base import Engine
from actors.errors import ModelLoadError, ShoalError

_log = logging.getLogger("shoal.model")

FIRST_BACK_OFF_S = 1.0
LONGEST_BACK_OFF_S = 60.0
KEEP_FOREVER = -1.0


class ModelState(StrEnum):
    """Where a model is in its life."""

    UNLOADED = "unloaded"
    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"


class LazyModel:
    """UNLOADED → LOADING → READY → UNLOADED, or FAILED and tried again after a back-off.

    All coroutines belong to one event loop; the plain attributes may be read from anywhere.

    Args:
        load: Opens the engine; runs in a thread, so that the loop goes on.
        keep_alive_s: Seconds of idleness before unloading; 0 unloads at once, -1 never.
        clock: Monotonic seconds.

    Attributes:
        state: Where the model is in its life.
        loads: How often it was loaded.
        load_s: How long the last load took, in seconds.
    """

    def __init__(
        self,
        load: Callable[[], Engine],
        keep_alive_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = load
        self._keep_alive_s = keep_alive_s
        self._clock = clock
        self._engine: Engine | None = None
        self._loading: asyncio.Task[Engine] | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self._users = 0
        self._failures = 0
        self._retry_at = 0.0
        self._reason = ""
        self.state = ModelState.UNLOADED
        self.loads = 0
        self.load_s = 0.0

    @asynccontextmanager
    async def use(self) -> AsyncIterator[Engine]:
        """Yield the loaded engine, which stays loaded inside the block.

        Raises:
            ModelLoadError: It cannot be loaded; `retry_after_s` tells when it is tried again.
        """
        self._users += 1
        self._stay()
        try:
            yield self._engine or await self._loaded()
        finally:
            self._users -= 1
            self._expire_later()

    async def _loaded(self) -> Engine:
        """Wait for the one load, however many callers come; a caller who leaves does not end it."""
        if self._loading is None:
            self._refuse_while_backing_off()
            self._loading = asyncio.create_task(self._open())
        return await asyncio.shield(self._loading)

    async def _open(self) -> Engine:
        self.state = ModelState.LOADING
        started = self._clock()
        try:
            engine = await asyncio.to_thread(self._load)
        except Exception as error:
            raise self._failed(error) from error
        finally:
            self._loading = None
        self.load_s = self._clock() - started
        self.loads += 1
        self._failures = 0
        self._engine, self.state = engine, ModelState.READY
        self._expire_later()  # the callers may all have left meanwhile
        return engine

    def _failed(self, error: Exception) -> ModelLoadError:
        back_off = min(FIRST_BACK_OFF_S * 2**self._failures, LONGEST_BACK_OFF_S)
        self._failures += 1
        self._retry_at = self._clock() + back_off
        self._reason = str(error) if isinstance(error, ShoalError) else f"loading failed: {error}"
        self.state = ModelState.FAILED
        _log.error("model failed to load, next try in %.0f s: %s", back_off, self._reason)
        return ModelLoadError(self._reason, back_off)

    def _refuse_while_backing_off(self) -> None:
        wait_s = self._retry_at - self._clock()
        if self.state is ModelState.FAILED and wait_s > 0:
            raise ModelLoadError(self._reason, wait_s)

    def _stay(self) -> None:
        if self._expiry:
            self._expiry.cancel()
            self._expiry = None

    def _expire_later(self) -> None:
        if self._users or self._engine is None or self._keep_alive_s == KEEP_FOREVER:
            return
        self._stay()
        loop = asyncio.get_running_loop()
        self._expiry = loop.call_later(self._keep_alive_s, self._unload)

    def _unload(self) -> None:
        if self._users or self._engine is None:
            return
        engine, self._engine = self._engine, None
        self.state = ModelState.UNLOADED
        engine.close()
        _log.info("model unloaded after %.0f s without use", self._keep_alive_s)
