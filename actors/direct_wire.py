"""What callers and actors of one machine say to each other over a socket."""

from __future__ import annotations

import os
import pickle
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_LENGTH = struct.Struct("<Q")
_CREDENTIALS = struct.Struct("3i")
"""The process, user and group at the other end of a socket; see unix(7), SO_PEERCRED."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where an actor listens.

    Attributes:
        socket: The name of its socket in Linux's abstract namespace; "" where it has none.
        methods: Those of its methods that are answered there.
    """

    socket: str = ""
    methods: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Request:
    """A method to be called, and with what."""

    method: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """Nobody waits for the answer any more: what has not begun need not begin."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a method returned, or else what it raised."""

    value: Any = None
    error: BaseException | None = None


def framed(message: Request | Withdrawal | Answer) -> bytes:
    """Return a message as it travels: its length, uint64, and its pickle."""
    body = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(body)) + body


class Frames:
    """Puts together again what arrives in pieces."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def add(self, data: bytes) -> Iterator[Any]:
        """Yield the messages that are whole with these bytes."""
        self._bytes += data
        while len(self._bytes) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._bytes)
            end = _LENGTH.size + length
            if len(self._bytes) < end:
                return
            body = bytes(memoryview(self._bytes)[_LENGTH.size : end])
            del self._bytes[:end]
            yield pickle.loads(body)  # noqa: S301 - from a process of the same user alone


def is_of_same_user(connected: socket.socket) -> bool:
    """Tell whether the process at the other end runs as the user that this one runs as.

    Anybody on a machine may connect to an abstract socket, and take the name of one that is gone.
    """
    told = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return bool(_CREDENTIALS.unpack(told)[1] == os.getuid())
