"""Progress, told to the calls that wait: of a gateway's start, of a load, of a job."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from mcp.server.mcpserver import Context

_REPEAT_S = 1.0
"""A phase that lasts is told again: hosts give up on calls that stay silent."""
_LEAST_STEP = 0.001
"""The protocol wants each number to be above the last one, also where nothing is done meanwhile."""


class Progress:
    """The progress of one call."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._told = 0.0

    async def tell(self, message: str, done: float = 0, total: float | None = None) -> None:
        """Report what is going on and, where that is known, how much of it is done."""
        self._told = max(done, self._told + (1 if total is None else _LEAST_STEP))
        await self._ctx.report_progress(self._told, total, message)


class Phases:
    """Takes phases from whichever thread starts the gateway, as the client's `on_phase`."""

    def __init__(self) -> None:
        self._waiting: set[Callable[[str], None]] = set()

    def __call__(self, phase: str) -> None:
        """Tell all calls that wait."""
        for tell in tuple(self._waiting):
            tell(phase)

    @asynccontextmanager
    async def told_to(self, ctx: Context) -> AsyncIterator[Progress]:
        """Report phases as the progress of one call while it lasts."""
        loop = asyncio.get_running_loop()
        heard: asyncio.Queue[str | None] = asyncio.Queue()

        def tell(phase: str | None) -> None:
            loop.call_soon_threadsafe(heard.put_nowait, phase)

        progress = Progress(ctx)
        self._waiting.add(tell)
        reporter = asyncio.create_task(_report(heard, progress))
        try:
            yield progress
        finally:
            self._waiting.discard(tell)
            tell(None)
            await reporter


async def _report(heard: asyncio.Queue[str | None], progress: Progress) -> None:
    clock = asyncio.get_running_loop().time
    last, told_at = "", 0.0
    while (phase := await heard.get()) is not None:
        if phase != last or clock() - told_at >= _REPEAT_S:
            last, told_at = phase, clock()
            await progress.tell(phase)
