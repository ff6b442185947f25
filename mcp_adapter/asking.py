"""Asking the gateway for a tool: what a call waits for is told, what goes wrong becomes advice."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mcp.server.mcpserver import Context

from actors.errors import ShoalError
from cluster.operations import AsyncOperations
from mcp_adapter.progress import Phases, Progress
from mcp_adapter.refusals import as_tool_errors

_LOOK_S = 1.0
"""After so long a call may be waiting for a model to load, which is worth telling."""


class Asking:
    """What all tools share.

    Args:
        shoal: Asks the gateway.
        phases: What the client tells while it starts a gateway.
    """

    def __init__(self, shoal: AsyncOperations, phases: Phases) -> None:
        self.shoal = shoal
        self._phases = phases

    @asynccontextmanager
    async def during(self, ctx: Context, if_not_found: str = "") -> AsyncIterator[Progress]:
        """Tell a call's progress while it lasts, and turn errors into what a model can act on.

        Args:
            ctx: The call.
            if_not_found: What to do where something was not found, in place of what fits a search.
        """
        with as_tool_errors(if_not_found):
            async with self._phases.told_to(ctx) as progress, self._loads_told():
                yield progress

    @asynccontextmanager
    async def _loads_told(self) -> AsyncIterator[None]:
        """Tell how far models load while a call waits; a quick call asks for nothing."""
        watching = asyncio.create_task(self._tell_loads())
        try:
            yield
        finally:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching

    async def _tell_loads(self) -> None:
        with contextlib.suppress(ShoalError):  # the call itself says what is wrong
            while True:
                await asyncio.sleep(_LOOK_S)
                for model in await self.shoal.models():
                    for replica in model.replicas:
                        if replica.state == "loading":
                            part = f" ({replica.fraction:.0%})" if replica.fraction else ""
                            self._phases(f"loading {model.name}: {replica.phase}{part}")
