"""How an operation is written once, for a client that waits and one that awaits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, overload

from pydantic import TypeAdapter, ValidationError

from actors.errors import InvalidRequest
from cluster.protocol import Message

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One HTTP call: how to make it and what comes back; a patient one may take long.

    Where making its lines reads files, an event loop does not wait for that. One that only asks
    changes nothing, and may be made again where its connection broke.
    """

    method: str
    path: str
    reply: TypeAdapter[T]
    body: Message | None = None
    lines: Iterable[bytes] | None = None
    query: tuple[tuple[str, str], ...] = ()
    patient: bool = False
    reads_files: bool = False
    asks: bool = False

    @property
    def repeatable(self) -> bool:
        """Whether it may be made a second time where nobody knows if the first was carried out."""
        return self.asks or self.method == "GET"


class Sender(Protocol):
    """Sends a call and returns its answer."""

    def send(self, call: Call[T]) -> T:
        """Send it."""
        ...


class AsyncSender(Protocol):
    """Sends a call and returns an awaitable answer."""

    def send(self, call: Call[T]) -> Awaitable[T]:
        """Send it."""
        ...


class Operation(Generic[P, T]):
    """A method of both clients: `T` from the sync one, an awaitable `T` from the async one."""

    def __init__(self, describe: Callable[P, Call[T]]) -> None:
        self._describe = describe
        self.__doc__ = describe.__doc__

    @overload
    def __get__(self, client: Sender, owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, client: AsyncSender, owner: type) -> Callable[P, Awaitable[T]]: ...
    def __get__(
        self, client: Sender | AsyncSender, owner: type
    ) -> Callable[P, T] | Callable[P, Awaitable[T]]:
        """Return the operation as a method of `client`."""

        def call(*args: P.args, **kwargs: P.kwargs) -> Any:  # noqa: ANN401 - typed by the overloads
            try:
                described = self._describe(*args, **kwargs)
            except ValidationError as error:
                raise InvalidRequest(first_problem(error)) from error
            return client.send(described)

        call.__doc__ = self.__doc__
        return call


def first_problem(error: ValidationError) -> str:
    """Return one line that names the first field that is wrong, and how."""
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    reason = first["msg"].removeprefix("Value error, ")
    return f"{where}: {reason}" if where else reason
