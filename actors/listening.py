"""An actor's own socket: processes of its machine call it there, past Ray.

A call through Ray wakes half a dozen threads of either process, which takes longer than most
searches. Ray still starts, finds, watches and ends actors, and carries calls between machines.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
import sys
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from functools import partial
from typing import Any, cast

from actors.direct_wire import Address, Answer, Frames, Request, Withdrawal, framed, is_of_same_user

_log = logging.getLogger("shoal.listening")

_BACKLOG = 256
"""Connections that wait to be taken; a caller keeps those that it has."""
_START_S = 10.0


class Listener:
    """Answers calls of some of an actor's methods; of one caller, one after the other.

    Args:
        actor: Whose methods.
        methods: Their names.
        threads: Tells where a call is to run; None for methods that are coroutines.
    """

    def __init__(
        self,
        actor: object,
        methods: frozenset[str],
        threads: Callable[[Request], Executor] | None = None,
    ) -> None:
        self._actor = actor
        self._methods = methods
        self._threads = threads
        self._listening: asyncio.Task[Address] | None = None
        self._server: asyncio.Server | None = None

    async def address(self) -> Address:
        """Return where it listens, from the first time on."""
        if self._listening is None:  # made once for however many ask
            self._listening = asyncio.get_running_loop().create_task(self._listen())
        return await asyncio.shield(self._listening)

    async def _listen(self) -> Address:
        if sys.platform != "linux":
            return Address()
        name = f"shoal-{secrets.token_hex(16)}"
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listening.bind(f"\0{name}")
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(  # closes once nobody refers to it
            lambda: _Conversation(self._called), sock=listening, backlog=_BACKLOG
        )
        return Address(name, self._methods)

    async def _called(self, request: Request) -> Any:  # noqa: ANN401 - whatever the method returns
        if request.method not in self._methods:
            raise AttributeError(request.method)
        call = partial(getattr(self._actor, request.method), *request.args, **request.kwargs)
        if self._threads is None:
            return await call()
        return await _in_thread(self._threads(request), call)


def listen_in_thread(listener: Listener) -> Address:
    """Return where a listener listens, in a thread of its own: for actors without an event loop."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="listening", daemon=True).start()
    return asyncio.run_coroutine_threadsafe(listener.address(), loop).result(_START_S)


class _Conversation(asyncio.Protocol):
    """One connection: requests, each answered before the next is made."""

    def __init__(self, call: Callable[[Request], Coroutine[Any, Any, Any]]) -> None:
        self._call = call
        self._frames = Frames()
        self._task: asyncio.Task[Any] | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if not is_of_same_user(transport.get_extra_info("socket")):
            _log.warning("another user's process was sent away")
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        for message in self._frames.add(data):
            if isinstance(message, Withdrawal):
                self._withdraw()
            else:
                self._task = asyncio.get_running_loop().create_task(self._call(message))
                self._task.add_done_callback(self._answer)  # also of what is cancelled unbegun

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._withdraw()

    def _withdraw(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _answer(self, called: asyncio.Task[Any]) -> None:
        if called.cancelled():
            answer = Answer(error=TimeoutError("the call was withdrawn"))
        elif error := called.exception():
            answer = Answer(error=error)
        else:
            answer = Answer(called.result())
        if not self._transport.is_closing():
            self._transport.write(_packed(answer))


async def _in_thread(threads: Executor, work: Callable[[], Any]) -> Any:  # noqa: ANN401
    """Return what `work` returns; if it is withdrawn, be over once a thread is through with it."""
    running = threads.submit(work)
    answer = asyncio.wrap_future(running)
    try:
        return await asyncio.shield(answer)
    except asyncio.CancelledError:
        if not running.cancel():
            await asyncio.gather(answer, return_exceptions=True)
        raise


def _packed(answer: Answer) -> bytes:
    try:
        return framed(answer)
    except Exception as error:  # noqa: BLE001 - pickle raises whatever an object's methods do
        return framed(Answer(error=RuntimeError(f"the answer cannot be sent: {error!r}")))
