"""What all actors share: their namespace, their start by name, and how they describe themselves."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

import ray
from ray._private.state import actors as ray_actors
from ray._private.state import available_resources_per_node

from actors.errors import GatewayUnavailable
from actors.logs import begin_actors_log
from actors.memory import ActorMemory, Enforcement, Watermarks
from actors.messages import ActorStatus
from actors.spans import begin_tracing

_log = logging.getLogger("shoal.process")

NAMESPACE = "shoal"
STATUS = "status"
"""Concurrency group of `status` and `configuration`: they answer while the data path is busy."""
_START_S = 60.0
_T = TypeVar("_T")
_F = TypeVar("_F", bound=Callable[..., Any])
_KILL_S = 15.0


@dataclass(frozen=True, slots=True)
class MemoryConfig:
    """What memory an actor may use, and what is done about it.

    Attributes:
        limit_bytes: PSS of its process and all that it starts.
        soft: Share of the limit from which caches are dropped and work is cut smaller.
        hard: Share of the limit from which new work is refused.
        enforcement: "auto", or the one layer to use: "cgroup", "rlimit" or "watchdog".
        object_store_bytes: Ray's shared memory on the node, which is not the actor's.
        setting: What raises the limit, for messages.
        follows_node: The limit was found out from the node: an actor that runs keeps its own.
    """

    limit_bytes: int
    soft: float
    hard: float
    enforcement: Enforcement
    object_store_bytes: int
    setting: str = "the limit"
    follows_node: bool = field(default=False, compare=False)


class Config(Protocol):
    """What every actor's configuration has; two are the same actor when they are equal."""

    @property
    def name(self) -> str:
        """The actor's name in the namespace."""

    @property
    def memory(self) -> MemoryConfig:
        """What memory it may use."""


def find_or_make(kind: type, config: Config, **options: Any) -> Any:  # noqa: ANN401 - an untyped Ray handle
    """Return the named actor if it was made with this very configuration, else a new one.

    Ray's `get_if_exists` would hand out an old actor with its old configuration.

    Raises:
        GatewayUnavailable: An actor with another configuration does not go away.
    """
    handle = find_actor(config.name)
    if handle is not None:
        if _is_same(ray.get(handle.configuration.remote(), timeout=_START_S), config):
            return handle
        _log.info("actor %s has another configuration and is replaced", config.name)
        end_actor(config.name)
    try:
        return _make(kind, config, options)
    except ValueError:
        if find_actor(config.name) is None:
            raise
    return find_or_make(kind, config, **options)  # another process made it meanwhile


def _is_same(made: Any, wanted: Any) -> bool:  # noqa: ANN401 - any dataclass with a memory
    if wanted.memory.follows_node:  # and so does another's: none is made anew over it
        own = replace(wanted.memory, limit_bytes=made.memory.limit_bytes)
        wanted = replace(wanted, memory=own)
    return bool(made == wanted)


def _make(kind: type, config: Config, options: dict[str, Any]) -> Any:  # noqa: ANN401
    options = {"num_cpus": 0, "memory": config.memory.limit_bytes, "max_restarts": -1, **options}
    remote = ray.remote(concurrency_groups={STATUS: 4}, **options)
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


def end_actor(name: str) -> None:
    """End a named actor for good; harmless where there is none."""
    handle = find_actor(name)
    if handle is not None:
        ray.kill(handle)
        _wait_until_gone(name)


def names_of_actors() -> list[str]:
    """Return the names of all actors that live or are being restarted."""
    return [
        actor["name"]
        for actor in ray.util.list_named_actors(all_namespaces=True)
        if actor["namespace"] == NAMESPACE
    ]


def nodes_of_actors() -> dict[str, str]:
    """Return by name on which node each actor runs; "" of one that is being restarted."""
    living = ray_actors(actor_state_name="ALIVE").values()
    nodes = {actor["Name"]: actor["Address"]["NodeID"] for actor in living}
    return {name: nodes.get(name, "") for name in names_of_actors()}


def memory_free() -> int:
    """Return the bytes that the cluster's nodes together could still give to actors."""
    return int(ray.available_resources().get("memory", 0))


def memory_free_by_node() -> dict[str, int]:
    """Return the bytes that each node could still give to actors, by its id."""
    free_by_node = available_resources_per_node().items()
    return {node: int(free.get("memory", 0)) for node, free in free_by_node}


def largest_memory_free() -> int:
    """Return the bytes that the best node of the cluster could still give to an actor."""
    return max(memory_free_by_node().values(), default=0)


def find_actor(name: str) -> Any | None:  # noqa: ANN401
    """Return the handle of a named actor, or None where there is none; blocks for its name."""
    with contextlib.suppress(ValueError):
        return ray.get_actor(name, namespace=NAMESPACE)
    return None


def _wait_until_gone(name: str) -> None:
    give_up = time.monotonic() + _KILL_S
    while find_actor(name) is not None:
        if time.monotonic() > give_up:
            message = f"actor {name} did not end within {_KILL_S:.0f} s; run `shoal down`"
            raise GatewayUnavailable(message)
        time.sleep(0.05)


def guard_memory(config: Config) -> ActorMemory:
    """Cap and watch the memory of the calling actor; to be called before it holds any.

    It is the first that every actor does, so that its log and its spans begin here too.
    """
    begin_actors_log(config.name)
    begin_tracing(config.name)
    gc.freeze()  # what is imported stays: no collection need go through it
    memory = config.memory
    return ActorMemory(
        config.name,
        ray.get_runtime_context().get_actor_id() or config.name,
        memory.limit_bytes,
        watermarks=Watermarks(memory.soft, memory.hard),
        object_store_bytes=memory.object_store_bytes,
        enforcement=memory.enforcement,
        setting=memory.setting,
    )


def started_threads(number: int, name: str) -> ThreadPoolExecutor:
    """Return a pool whose threads run already."""
    pool = ThreadPoolExecutor(number, thread_name_prefix=name)
    together = threading.Barrier(number + 1)
    for _ in range(number):
        pool.submit(together.wait)
    together.wait()
    return pool


def status_of(
    actor: object, config: Config, memory: ActorMemory, **detail: str | int | float
) -> ActorStatus:
    """Describe the calling process as an actor of its class, without measuring anything."""
    now = memory.status()
    return ActorStatus(
        name=config.name,
        kind=type(actor).__name__,
        pid=os.getpid(),
        pss_bytes=now.pss,
        peak_bytes=now.peak,
        limit_bytes=now.limit,
        pressure=now.pressure.value,
        enforcement=now.enforcement,
        refusals=memory.refusals,
        kills=memory.kills,
        restarts=memory.starts - 1,
        detail=detail,
        node=ray.get_runtime_context().get_node_id(),
    )
