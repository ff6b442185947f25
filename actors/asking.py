"""Calls to named actors that die, restart and hang: asked again, given up, told in passing."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import ray
from ray.exceptions import (
    ActorUnavailableError,
    GetTimeoutError,
    RayActorError,
    RayError,
    RayTaskError,
)

from actors.direct import DirectCall, DirectHandle, reached
from actors.errors import GatewayUnavailable, MemoryLimitExceeded, ReplicaLost
from actors.process import find_actor

_log = logging.getLogger("shoal.asking")

_T = TypeVar("_T")
_START_S = 40.0
"""For actors to start side by side; on a busy machine one takes a few seconds."""
_PAUSE_S = 0.05
"""Between two looks at an actor that restarts."""
_LOOK_S = 0.5
"""For one candidate to be back, before the next is asked."""
_TELL_S = 0.5
"""To find an actor that is told something in passing, and for it to hear."""
_MOST_DEATHS = 3
"""Of one candidate over one request: what kills a replica again and again is not tried for ever."""
_GONE_S = 25.0
"""The steward makes again within 10 s what is gone; what is not back then fails to start."""
_handles: dict[str, Any] = {}
"""By name: asking Ray for one takes a round trip, and it stays valid while its actor restarts."""


async def unwrapped(call: Awaitable[Any]) -> Any:  # noqa: ANN401
    """Return what a remote call returns, or raise what it raised, without Ray's wrapping."""
    try:
        return await call
    except RayTaskError as error:
        raise error.cause from None


def outcome(calls: Any, timeout_s: float | None = None) -> Any:  # noqa: ANN401
    """Like `unwrapped`, for those who block: of one remote call, or of several in a list."""
    try:
        return ray.get(calls, timeout=timeout_s)
    except RayTaskError as error:
        raise error.cause from None


async def result_of(call: Awaitable[Any], timeout_s: float) -> Any:  # noqa: ANN401
    """Like `unwrapped`, with a bound.

    Raises:
        TimeoutError: No answer within `timeout_s` seconds; the call itself goes on.
    """
    return await asyncio.wait_for(unwrapped(call), timeout_s)


async def first_answer(
    names: Sequence[str],
    call: Callable[[Any], Awaitable[Any]],
    left_s: Callable[[], float],
    on_call: Callable[[str, asyncio.Future[Any]], object] = lambda _name, _answer: None,
) -> Any:  # noqa: ANN401 - whatever the remote method returns
    """Ask the named actors in turn, for as long as they are dead, restarting or short of memory.

    A call that is waited for no more, because time is up or the caller left, is withdrawn: an
    actor drops it where it has not begun with it.

    Args:
        names: Actors that can answer, best first.
        call: Makes the remote call on one of them; made again where an actor died over it.
        left_s: Seconds that remain.
        on_call: Told of each call: the actor's name, and what is done once the actor is through
            with it, be it waited for or not.

    Raises:
        TimeoutError: Time is up.
        MemoryLimitExceeded: None of them has the memory for it.
        ReplicaLost: Each of them died over it, again and again, or is gone and does not come back.
    """
    deaths = refusals = 0
    failed: set[str] = set()
    gone_since = time.monotonic()
    for attempt in itertools.count():
        name = names[attempt % len(names)]
        if name in failed and not await _is_back(name, min(_LOOK_S, max(left_s(), 0))):
            if left_s() <= 0:
                raise TimeoutError
            if time.monotonic() - gone_since > _GONE_S:
                raise _lost(names, deaths)
            continue
        gone_since = time.monotonic()
        try:
            handle = await _handle(name, max(left_s(), 0))
            made = call(handle)
            answer = asyncio.ensure_future(unwrapped(made))
            on_call(name, answer)
            return await _answered(answer, made, max(left_s(), 0))
        except (MemoryLimitExceeded, MemoryError) as error:
            refusals += 1
            if refusals >= len(names):
                raise _refused(name, error) from None
        except RayActorError as error:
            _forget(name)
            failed.add(name)
            deaths += 1
            if deaths >= _MOST_DEATHS * len(names):
                raise _lost(names, deaths, error) from error
    raise AssertionError  # pragma: no cover - the loop has no end


async def first_result(running: set[asyncio.Task[Any]]) -> asyncio.Task[Any]:
    """Return the first task that has a result, or the last one where none has."""
    while True:
        done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        good = [task for task in done if task.exception() is None]
        if good or not running:
            return (good or list(done))[0]


async def answers(name: str, within_s: float) -> bool:
    """Tell whether an actor says in time what it was made with, as it does however busy it is."""
    try:
        handle = await _handle(name, within_s)
        await result_of(handle.configuration.remote(), within_s)
    except RayActorError:
        _forget(name)  # there may be a new one of that name
        return False
    except TimeoutError:
        return False
    return True


async def _answered(answer: asyncio.Future[Any], made: Awaitable[Any], within_s: float) -> Any:  # noqa: ANN401
    """Return an answer; where it is not waited for any longer, withdraw the call."""
    try:
        done, _ = await asyncio.wait({answer}, timeout=within_s)
        if done:
            return answer.result()
        raise TimeoutError
    finally:
        if not answer.done():
            answer.add_done_callback(_unheard)
            if isinstance(made, DirectCall):
                made.withdraw()
            elif isinstance(made, ray.ObjectRef):
                ray.cancel(made, recursive=False)  # what it has asked of others may serve others


def _unheard(answer: asyncio.Future[Any]) -> None:
    """Take note of an answer that nobody waits for, so that asyncio does not warn of it."""
    if not answer.cancelled():
        answer.exception()


async def tell(name: str, call: Callable[[Any], Awaitable[Any]]) -> None:
    """Have a named actor take note of something; one that is away or slow is not waited for long.

    What was told is known to whoever asks that actor afterwards, and a later word comes later:
    calls that nobody waits for may overtake each other.
    """
    with contextlib.suppress(TimeoutError, RayError, RuntimeError, OSError):
        handle = await _handle(name, _TELL_S)
        try:
            await result_of(call(handle), _TELL_S)
        except RayActorError:
            _forget(name)  # there may be a new one of that name


def answers_within(calls: Mapping[str, Any], within_s: float) -> list[Any]:
    """Return what actors answer in time; those that do not are named in the log.

    Args:
        calls: Actor name → what a remote method returned.
        within_s: Seconds to wait for all of them.
    """
    if not calls:
        return []
    done, _ = ray.wait(list(calls.values()), num_returns=len(calls), timeout=within_s)
    answers = []
    for name, call in calls.items():
        if call not in done:
            _log.warning("%s did not answer within %g s", name, within_s)
            continue
        try:
            answers.append(ray.get(call))
        except RayError as error:
            _log.warning("%s: %s", name, str(error).strip().splitlines()[-1])
    return answers


def wait_until_started(made: Mapping[str, Any]) -> None:
    """Return once actors that were made answer, by their names.

    Raises:
        GatewayUnavailable: One of them does not start.
    """
    calls = [actor.configuration.remote() for actor in made.values()]
    try:
        ray.get(calls, timeout=_START_S)
    except (GetTimeoutError, RayError) as error:
        message = (
            f"one of {', '.join(made)} did not start within {_START_S:.0f} s "
            f"({type(error).__name__}); nothing was changed"
        )
        raise GatewayUnavailable(message) from error


def tell_at_once(name: str, call: Callable[[Any], object]) -> None:
    """Make a call on a named actor, if it is there, and wait for no answer; blocks for its name."""
    handle = find_actor(name)
    if handle is not None:
        call(handle)


async def _is_back(name: str, within_s: float) -> bool:
    """Tell whether an actor that failed answers again; while it restarts, every call fails."""
    give_up = time.monotonic() + within_s
    while True:
        left_s = max(give_up - time.monotonic(), 0)
        if await answers(name, left_s):
            return True
        _forget(name)
        if time.monotonic() + _PAUSE_S > give_up:
            return False
        await asyncio.sleep(_PAUSE_S)


def _refused(name: str, error: MemoryLimitExceeded | MemoryError) -> MemoryLimitExceeded:
    if isinstance(error, MemoryLimitExceeded):
        return error
    return MemoryLimitExceeded(f"{name} ran out of memory over this request", retry_after_s=1.0)


def _lost(names: Sequence[str], deaths: int, last: Exception | None = None) -> ReplicaLost:
    said = str(last or "").strip().splitlines() or ["it is gone and does not come back"]
    message = (
        f"{', '.join(names)} failed {deaths} times over this request; at last: {said[-1][:300]}; "
        "`shoal status` shows how it is"
    )
    return ReplicaLost(message, retry_after_s=1.0)


_head_threads = ThreadPoolExecutor(4, thread_name_prefix="head")
_head_calls: dict[str, Future[Any]] = {}


async def ask_head(key: str, question: Callable[[], _T], timeout_s: float) -> _T:
    """Return what the cluster's head answers to a blocking question, asked off the event loop.

    Where the head is gone, a question hangs for a minute. Whoever asks the same meanwhile waits
    for that one, so that hanging threads do not pile up.

    Args:
        key: Names the question.
        question: Asks it.
        timeout_s: Seconds to wait.

    Raises:
        TimeoutError: No answer in time.
    """
    call = _head_calls.get(key)
    if call is None or call.done():
        call = _head_calls[key] = _head_threads.submit(question)
    answer: _T = await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(call)), timeout_s)
    return answer


async def _handle(name: str, timeout_s: float) -> Any:  # noqa: ANN401 - an untyped Ray handle
    known = _handles.get(name)
    if known is None or (isinstance(known, DirectHandle) and not known.line.is_usable):
        give_up = time.monotonic() + timeout_s
        found = await ask_head(f"actor {name}", partial(find_actor, name), timeout_s)
        if found is None:  # it is being replaced
            raise ActorUnavailableError(name, None)
        known = await reached(name, found, give_up - time.monotonic())
        _forget(name)
        _handles[name] = known
    return known


def _forget(name: str) -> None:
    known = _handles.pop(name, None)
    if isinstance(known, DirectHandle):
        known.line.close()
