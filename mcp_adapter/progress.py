"""Progress of a gateway's start, told to the calls that wait for it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from mcp.server.mcpserver import Context

_REPEAT_S = 1.0
"""A phase that lasts is told again: hosts give up on calls that stay silent."""


class Phases:
    """Takes phases from whichever thread starts the gateway, as the client's `on_phase`."""

    def __init__(self) -> None:
        self._waiting: set[Callable[[str], None]] = set()

    def __call__(self, phase: str) -> None:
        """Tell all calls that wait."""
        for tell in tuple(self._waiting):
            tell(phase)

    @asynccontextmanager
    async def told_to(self, ctx: Context) -> AsyncIterator[None]:
        """Report phases as the progress of one call while it lasts."""
        loop = asyncio.get_running_loop()
        heard: asyncio.Queue[str | None] = asyncio.Queue()

        def tell(phase: str | None) -> None:
            loop.call_soon_threadsafe(heard.put_nowait, phase)

        self._waiting.add(tell)
        reporter = asyncio.create_task(_report(heard, ctx))
        try:
            yield
        finally:
            self._waiting.discard(tell)
            tell(None)
            await reporter


async def _report(heard: asyncio.Queue[str | None], ctx: Context) -> None:
    clock = asyncio.get_running_loop().time
    steps = itertools.count(1)
    last, told_at = "", 0.0
    while (phase := await heard.get()) is not None:
        if phase != last or clock() - told_at >= _REPEAT_S:
            last, told_at = phase, clock()
            await ctx.report_progress(next(steps), message=phase)
