"""A model that is loaded on first use, shared by all who use it, and unloaded when idle."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from actors.engines.base import Loaded, OnProgress
from actors.errors import MemoryLimitExceeded, ModelLoadError, ShoalError

_log = logging.getLogger("shoal.model")
_A = TypeVar("_A")
_T = TypeVar("_T")

FIRST_BACK_OFF_S = 1.0
LONGEST_BACK_OFF_S = 60.0
DEATH_BACK_OFF_S = 10.0
"""After a load that the process died of: restarts cost seconds, and their callers still wait."""
KEEP_FOREVER = -1.0


class ModelState(StrEnum):
    """Where a model is in its life."""

    UNLOADED = "unloaded"
    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a load is: what it is doing, in bytes; `total` is 0 where nobody knows."""

    phase: str = ""
    done: int = 0
    total: int = 0

    @property
    def fraction(self) -> float:
        """Part of this phase that is done, from 0 to 1; 0 where nobody knows."""
        return min(1.0, self.done / self.total) if self.total else 0.0


async def _unheard() -> None:
    """Tell nobody."""


class LazyModel:
    """UNLOADED → LOADING → READY → UNLOADED, or FAILED and tried again after a back-off.

    All coroutines belong to one event loop; the plain attributes may be read from anywhere.

    Args:
        load: Opens the engine, telling how far it is; runs in a thread, so that the loop goes on.
        unload: Closes the engine and gives its memory back; runs in a thread too.
        keep_alive_s: Seconds of idleness before unloading; 0 unloads at once, -1 never.
        on_change: Called when `state` has changed; a load begins when it has returned.
        threads: Where loading and unloading run; None for the event loop's own.
        clock: Monotonic seconds.

    Attributes:
        state: Where the model is in its life.
        progress: How far the load is, while LOADING.
        loads: How often it was loaded.
        unloads: How often it was unloaded.
        load_s: How long the last load took, in seconds.
    """

    def __init__(
        self,
        load: Callable[[OnProgress], Loaded],
        unload: Callable[[Loaded], None],
        keep_alive_s: float,
        on_change: Callable[[], Awaitable[None]] = _unheard,
        threads: Executor | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = load
        self._unload = unload
        self._keep_alive_s = keep_alive_s
        self._on_change = on_change
        self._threads = threads
        self._clock = clock
        self._engine: Loaded | None = None
        self._loading: asyncio.Task[Loaded] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self._users = 0
        self._is_to_go = False
        self._failures = 0
        self._retry_at = 0.0
        self._error: ShoalError = ModelLoadError("")
        self.state = ModelState.UNLOADED
        self.progress = Progress()
        self.loads = 0
        self.unloads = 0
        self.load_s = 0.0

    @asynccontextmanager
    async def use(self) -> AsyncIterator[Loaded]:
        """Yield the loaded engine, which stays loaded inside the block.

        Raises:
            ModelLoadError: It cannot be loaded; `retry_after_s` tells when it is tried again.
            MemoryLimitExceeded: It cannot be loaded within its limit; likewise.
        """
        self._users += 1
        self._stay()
        try:
            yield self._engine or await self._loaded()
        finally:
            self._users -= 1
            self._expire_later()

    @property
    def engine(self) -> Loaded | None:
        """The loaded engine, for those who must not make it load."""
        return self._engine

    def fail(self, error: ShoalError, failures: int) -> None:
        """Take over the failures of a predecessor that died of its load."""
        self._failures = failures - 1
        self._failed(error, DEATH_BACK_OFF_S)

    def unload_when_idle(self) -> None:
        """Unload as soon as nobody uses it, whatever the keep-alive says."""
        self._is_to_go = self._engine is not None
        self._unload_if_idle()

    def _unload_if_idle(self) -> None:
        if not self._users and self._engine is not None:
            self._stay()
            engine, self._engine, self._is_to_go = self._engine, None, False
            self._closing = asyncio.create_task(self._close(engine))

    async def _loaded(self) -> Loaded:
        """Wait for the one load, however many callers come; a caller who leaves does not end it."""
        if self._loading is None:
            self._refuse_while_backing_off()
            self._loading = asyncio.create_task(self._open())
        return await asyncio.shield(self._loading)

    async def _open(self) -> Loaded:
        failure = None
        try:
            await self._begin()
            started = self._clock()
            engine = await self._in_thread(self._load, self._tell)
        except Exception as error:  # noqa: BLE001 - whatever it was, the waiters are told
            failure = self._failed(error)
        finally:
            self._loading = None
        if failure is not None:  # raised out here, it does not keep what the load held alive
            await self._on_change()
            raise failure
        self.load_s = self._clock() - started
        self.loads += 1
        self._failures = 0
        self._engine, self.state, self.progress = engine, ModelState.READY, Progress()
        self._expire_later()  # the callers may all have left meanwhile
        await self._on_change()
        return engine

    async def _begin(self) -> None:
        if self._closing is not None:
            await self._closing
        self.state, self.progress = ModelState.LOADING, Progress("loading")
        await self._on_change()

    async def _in_thread(self, work: Callable[[_A], _T], argument: _A) -> _T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, work, argument)

    def _tell(self, phase: str, done: int, total: int) -> None:
        self.progress = Progress(phase, done, total)

    def _failed(self, error: Exception, first_s: float = FIRST_BACK_OFF_S) -> ShoalError:
        back_off = min(first_s * 2**self._failures, LONGEST_BACK_OFF_S)
        self._failures += 1
        self._retry_at = self._clock() + back_off
        kind = MemoryLimitExceeded if isinstance(error, MemoryLimitExceeded) else ModelLoadError
        reason = str(error) if isinstance(error, ShoalError) else f"loading failed: {error!r}"
        self._error = kind(reason, back_off)
        self.state = ModelState.FAILED
        _log.error("model failed to load, next try in %.0f s: %s", back_off, reason)
        return self._error

    def _refuse_while_backing_off(self) -> None:
        wait_s = self._retry_at - self._clock()
        if self.state is ModelState.FAILED and wait_s > 0:
            raise type(self._error)(self._error.message, round(wait_s, 1))

    def _stay(self) -> None:
        if self._expiry:
            self._expiry.cancel()
            self._expiry = None

    def _expire_later(self) -> None:
        if self._is_to_go:
            self._unload_if_idle()
        if self._users or self._engine is None or self._keep_alive_s == KEEP_FOREVER:
            return
        self._stay()
        loop = asyncio.get_running_loop()
        self._expiry = loop.call_later(self._keep_alive_s, self._unload_if_idle)

    async def _close(self, engine: Loaded) -> None:
        try:
            await self._in_thread(self._unload, engine)
        finally:
            self._closing = None
            if self.state is ModelState.READY:
                self.state = ModelState.UNLOADED
        self.unloads += 1
        _log.info("model unloaded")
