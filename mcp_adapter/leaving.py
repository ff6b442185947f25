"""What a caller that leaves had asked for is not worked on any more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

from fastapi import Request
from starlette.requests import ClientDisconnect

from actors.errors import GatewayUnavailable

_T = TypeVar("_T")


async def while_connected(request: Request, work: Coroutine[Any, Any, _T]) -> _T:
    """Return what some work returns; where its caller goes away meanwhile, cancel it.

    Args:
        request: A request whose body has been read.
        work: What answers it.

    Raises:
        GatewayUnavailable: The caller is gone, so that nobody is told.
    """
    working = asyncio.current_task()
    leaving = asyncio.create_task(_left(request))
    is_over = False

    def give_up(left: asyncio.Task[None]) -> None:
        if working and not is_over and not left.cancelled():
            working.cancel()

    leaving.add_done_callback(give_up)
    try:
        await asyncio.sleep(0)  # it may have left while the request waited for its turn
        return await work
    except asyncio.CancelledError:
        if working is None or not leaving.done():
            raise
        working.uncancel()
        message = "the caller left before the answer came"
        raise GatewayUnavailable(message) from None
    finally:
        is_over = True
        work.close()
        leaving.cancel()


async def while_it_comes(request: Request) -> AsyncIterator[bytes]:
    """Yield the body of a request as it comes.

    Raises:
        GatewayUnavailable: The caller is gone before its end, so that nobody is told.
    """
    try:
        async for piece in request.stream():
            yield piece
    except ClientDisconnect as error:
        message = "the caller left before all had come"
        raise GatewayUnavailable(message) from error


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
