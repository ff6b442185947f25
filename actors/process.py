"""What all actors share: their namespace, their start by name, and how they describe themselves."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar

import psutil
import ray
from ray.exceptions import ActorUnavailableError, RayActorError, RayTaskError

from actors.errors import GatewayUnavailable
from actors.messages import ActorStatus

_log = logging.getLogger("shoal.process")

NAMESPACE = "shoal"
STATUS = "status"
"""Concurrency group of `status` and `configuration`: they answer while the data path is busy."""
_START_S = 60.0
_F = TypeVar("_F", bound=Callable[..., Any])
_KILL_S = 15.0
_BATCH_NICENESS = 10
_PAUSE_S = 0.05
"""Between two rounds of asking, while every candidate restarts."""


class Config(Protocol):
    """What every actor's configuration has; two are the same actor when they are equal."""

    @property
    def name(self) -> str:
        """The actor's name in the namespace."""


def find_or_make(kind: type, config: Config, **options: Any) -> Any:  # noqa: ANN401 - an untyped Ray handle
    """Return the named actor if it was made with this very configuration, else a new one.

    Ray's `get_if_exists` would hand out an old actor with its old configuration.

    Raises:
        GatewayUnavailable: An actor with another configuration does not go away.
    """
    handle = _find(config.name)
    if handle is not None:
        if ray.get(handle.configuration.remote(), timeout=_START_S) == config:
            return handle
        _log.info("actor %s has another configuration and is replaced", config.name)
        ray.kill(handle)
        _wait_until_gone(config.name)
    return _make(kind, config, options)


def _make(kind: type, config: Config, options: dict[str, Any]) -> Any:  # noqa: ANN401
    remote = ray.remote(concurrency_groups={STATUS: 4}, num_cpus=0, max_restarts=-1, **options)
    named = remote(kind).options(name=config.name, namespace=NAMESPACE, lifetime="detached")
    return named.remote(config)


def answers_always(method: _F) -> _F:
    """Mark an actor's method as one that answers while the data path is busy."""
    marked: _F = ray.method(concurrency_group=STATUS)(method)
    return marked


def returns(values: int) -> Callable[[_F], _F]:
    """Mark an actor's method as one whose values come as references of their own."""
    mark: Callable[[_F], _F] = ray.method(num_returns=values)
    return mark


async def unwrapped(call: Awaitable[Any]) -> Any:  # noqa: ANN401
    """Return what a remote call returns, or raise what it raised, without Ray's wrapping."""
    try:
        return await call
    except RayTaskError as error:
        raise error.cause from None


async def result_of(call: Awaitable[Any], timeout_s: float) -> Any:  # noqa: ANN401
    """Like `unwrapped`, with a bound.

    Raises:
        TimeoutError: No answer within `timeout_s` seconds; the call itself goes on.
    """
    return await asyncio.wait_for(unwrapped(call), timeout_s)


async def first_answer(
    names: Sequence[str], call: Callable[[Any], Awaitable[Any]], left_s: Callable[[], float]
) -> Any:  # noqa: ANN401 - whatever the remote method returns
    """Ask the named actors in turn, for as long as they are dead or restarting.

    Args:
        names: Actors that can answer, best first.
        call: Makes the remote call on one of them; made again where an actor died over it.
        left_s: Seconds that remain.

    Raises:
        TimeoutError: Time is up.
    """
    for attempt in itertools.count():
        name = names[attempt % len(names)]
        try:
            return await result_of(call(_handle(name)), max(left_s(), 0))
        except RayActorError as error:
            _handles.pop(name, None)
            if left_s() <= 0:
                raise TimeoutError from error
            if attempt % len(names) == len(names) - 1:
                await asyncio.sleep(_PAUSE_S)
    raise AssertionError  # pragma: no cover - the loop has no end


_handles: dict[str, Any] = {}
"""By name: asking Ray for one takes a round trip, and it stays valid while its actor restarts."""


def _handle(name: str) -> Any:  # noqa: ANN401 - an untyped Ray handle
    if name not in _handles:
        found = _find(name)
        if found is None:  # it is being replaced
            raise ActorUnavailableError(name, None)
        _handles[name] = found
    return _handles[name]


def _find(name: str) -> Any | None:  # noqa: ANN401
    with contextlib.suppress(ValueError):
        return ray.get_actor(name, namespace=NAMESPACE)
    return None


def _wait_until_gone(name: str) -> None:
    give_up = time.monotonic() + _KILL_S
    while _find(name) is not None:
        if time.monotonic() > give_up:
            message = f"actor {name} did not end within {_KILL_S:.0f} s; run `shoal down`"
            raise GatewayUnavailable(message)
        time.sleep(0.05)


def step_back() -> None:
    """Let every search on this machine go first, from now on; for processes that run batch work."""
    if hasattr(os, "setpriority"):
        os.setpriority(os.PRIO_PROCESS, 0, _BATCH_NICENESS)


def status_of(actor: object, name: str, **detail: str | int | float) -> ActorStatus:
    """Describe the calling process as an actor of its class."""
    rss = psutil.Process().memory_info().rss
    return ActorStatus(name, type(actor).__name__, os.getpid(), rss, detail)
