"""Calls to actors of the same machine over their own sockets, behind what looks like Ray's handles.

What breaks or is not there fails as it would through Ray, so that whoever asks again where an actor
died need not know which way a call went.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Generator
from typing import Any, cast

from ray.exceptions import ActorUnavailableError

from actors.direct_wire import Address, Answer, Frames, Request, Withdrawal, framed, is_of_same_user

_KEPT = 16
"""Connections to one actor that are kept for calls to come."""


class DirectHandle:
    """An actor's handle; some of its methods are called over a line.

    Attributes:
        line: The line.
    """

    def __init__(self, handle: Any, line: Line) -> None:  # noqa: ANN401 - an untyped Ray handle
        self._handle = handle
        self.line = line

    def __getattr__(self, method: str) -> Any:  # noqa: ANN401
        """Return a method; its `remote` makes the call, as that of a Ray handle does."""
        if method in self.line.methods:
            return _Method(self.line, method)
        return getattr(self._handle, method)


class _Method:
    def __init__(self, line: Line, name: str) -> None:
        self._line = line
        self._name = name

    def remote(self, *args: Any, **kwargs: Any) -> DirectCall:  # noqa: ANN401
        return DirectCall(self._line, Request(self._name, args, kwargs))


class DirectCall:
    """A call under way; awaiting it returns what the method returns, or raises what it raised.

    Raises:
        ActorUnavailableError: The connection cannot be made, or broke.
    """

    def __init__(self, line: Line, request: Request) -> None:
        self._line = line
        self._connection: _Connection | None = None
        self._withdrawn = False
        self._task = asyncio.get_running_loop().create_task(self._made(request))

    def __await__(self) -> Generator[Any, None, Any]:
        """Wait for the answer."""
        return self._task.__await__()

    def withdraw(self) -> None:
        """Have the actor drop it where it has not begun; it is answered all the same."""
        self._withdrawn = True
        if self._connection is not None:
            self._connection.withdraw()

    async def _made(self, request: Request) -> Any:  # noqa: ANN401
        connection = await self._line.connection()
        if self._withdrawn:
            self._line.give_back(connection)
            raise TimeoutError
        self._connection = connection
        try:
            answer = await connection.ask(request)
        except BaseException:
            connection.close()
            raise
        self._connection = None
        self._line.give_back(connection)
        if answer.error is not None:
            raise answer.error
        return answer.value


class Line:
    """The connections of one event loop to one actor; each carries one call at a time.

    Args:
        name: The actor's name, for messages.
        address: Where it listens.
    """

    def __init__(self, name: str, address: Address) -> None:
        self._name = name
        self._address = address
        self._loop = asyncio.get_running_loop()
        self._idle: list[_Connection] = []
        self._is_broken = False

    @property
    def methods(self) -> frozenset[str]:
        """What may be called."""
        return self._address.methods

    @property
    def is_usable(self) -> bool:
        """Whether no connection broke; the loop that runs has to be the line's own."""
        return not self._is_broken and self._loop is asyncio.get_running_loop()

    async def connection(self) -> _Connection:
        """Return a connection that carries nothing.

        Raises:
            ActorUnavailableError: None can be made.
        """
        if self._idle:
            return self._idle.pop()
        try:
            connected = _connected(self._address.socket)
        except OSError as error:
            raise self._unavailable(str(error)) from error
        _, connection = await self._loop.create_connection(
            lambda: _Connection(self), sock=connected
        )
        return connection

    def give_back(self, connection: _Connection) -> None:
        """Take a connection whose call was answered."""
        if len(self._idle) < _KEPT and not self._is_broken:
            self._idle.append(connection)
        else:
            connection.close()

    def lost(self, connection: _Connection) -> ActorUnavailableError:
        """Note that a connection broke; return the error of the call that it carried."""
        self._is_broken = True
        with contextlib.suppress(ValueError):
            self._idle.remove(connection)
        return self._unavailable("the connection broke")

    def close(self) -> None:
        """Close the connections that carry nothing."""
        while self._idle:
            self._idle.pop().close()

    def _unavailable(self, problem: str) -> ActorUnavailableError:
        return ActorUnavailableError(f"{self._name}: {problem}", None)


class _Connection(asyncio.Protocol):
    def __init__(self, line: Line) -> None:
        self._line = line
        self._frames = Frames()
        self._answer: asyncio.Future[Answer] | None = None
        self._closed = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        for message in self._frames.add(data):
            if self._answer is not None and not self._answer.done():
                self._answer.set_result(message)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        if self._closed:
            return
        error = self._line.lost(self)
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)

    async def ask(self, request: Request) -> Answer:
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(framed(request))
        return await self._answer

    def withdraw(self) -> None:
        self._transport.write(framed(Withdrawal()))

    def close(self) -> None:
        self._closed = True
        self._transport.close()


async def reached(name: str, handle: Any, within_s: float) -> Any:  # noqa: ANN401
    """Return a handle that calls an actor directly where it listens on this machine.

    Raises:
        TimeoutError: It does not say in time where it listens.
        RayActorError: It is dead or restarts.
    """
    if not hasattr(handle, "listens"):
        return handle
    address: Address = await asyncio.wait_for(handle.listens.remote(), within_s)
    if not address.socket:
        return handle
    line = Line(name, address)
    try:
        line.give_back(await line.connection())
    except ActorUnavailableError:  # on another machine
        return handle
    return DirectHandle(handle, line)


def _connected(name: str) -> socket.socket:
    """Return a socket that is connected to one in Linux's abstract namespace.

    Raises:
        OSError: Nobody listens, or too many wait already, or somebody else took the name.
    """
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.setblocking(False)
    try:
        made.connect(f"\0{name}")
        if not is_of_same_user(made):
            raise PermissionError("another user's process listens there")
    except OSError:
        made.close()
        raise
    return made
