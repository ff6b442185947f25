"""How an operation is written once, for a client that waits and one that awaits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, overload

from pydantic import TypeAdapter, ValidationError

from actors.errors import BY_NAME, GatewayUnavailable, InvalidRequest, ShoalError
from cluster.protocol import Message, Problem

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
    def content(self) -> bytes | None:
        """Its body as it travels."""
        if self.body is None:
            return None
        return self.body.model_dump_json(exclude_defaults=True).encode()

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


def reply_of(call: Call[T], status: int, content: bytes) -> T:
    """Return what a call was answered with; raise the error, where that is what came.

    A gateway that is newer than this client may tell more than it knows of.
    """
    if status < HTTPStatus.MULTIPLE_CHOICES:
        try:
            return call.reply.validate_json(content or b"null", extra="ignore")
        except ValidationError as error:
            message = (
                f"the gateway's answer to {call.method} {call.path} cannot be read "
                f"({first_problem(error)}); let it and this client be of the same version"
            )
            raise GatewayUnavailable(message) from error
    try:
        problem = Problem.model_validate_json(content, extra="ignore")
    except ValidationError as error:
        said = " ".join(content.decode(errors="replace").split())
        message = f"the gateway answered {status}: {said[:200]}"
        raise GatewayUnavailable(message) from error
    raise BY_NAME.get(problem.error, ShoalError)(problem.message, problem.retry_after_s)


def first_problem(error: ValidationError) -> str:
    """Return one line that names the first field that is wrong, and how."""
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    reason = first["msg"].removeprefix("Value error, ")
    return f"{where}: {reason}" if where else reason
