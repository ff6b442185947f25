"""Fleet: the shard hosts and routers of a cluster; made, told what to serve, ended."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any

import ray

from actors.asking import answers_within, wait_until_started
from actors.messages import Scale, ShardRef
from actors.process import SPREAD, MemoryConfig, find_or_make
from actors.router import Router, RouterConfig
from actors.scaling import Need, host_names, left_over, router_names, topology_of
from actors.shard_host import HostConfig, ShardHost

_TELL_S = 20.0
"""For what every actor is told; one that does not answer learns it when it starts again."""
_SEARCHES_AT_ONCE = 4
"""In one host: its threads take turns on the cores, and a slow read holds up one of them."""


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """How hosts and routers are made.

    Attributes:
        root: The storage root.
        host_memory: What memory a host may use.
        router_memory: What memory a router may use.
    """

    root: str
    host_memory: MemoryConfig
    router_memory: MemoryConfig


class Fleet:
    """Makes and ends hosts and routers, and tells them what all of them must know.

    Several threads may use it: what it knows is replaced and never changed, and one at a time makes
    or ends actors.

    Args:
        plan: How they are made.
        steward: Actor name of who owns them.
    """

    def __init__(self, plan: FleetPlan, steward: str) -> None:
        self._plan = plan
        self._steward = steward
        self._hosts: dict[str, Any] = {}
        self._routers: dict[str, Any] = {}

    def make(self, scale: Scale) -> tuple[str, ...]:
        """Find or make the actors of a scale that are not known, and return their names."""
        hosts = [name for name in host_names(scale) if name not in self._hosts]
        routers = [name for name in router_names(scale) if name not in self._routers]
        self._hosts = self._hosts | {name: self._host(name) for name in hosts}
        self._routers = self._routers | {name: self._router(name, scale) for name in routers}
        return (*hosts, *routers)

    def mend(self, scale: Scale, there: Container[str]) -> None:
        """Make again those that are not `there`: Ray gave them up, because they did not start."""
        self._hosts = {name: host for name, host in self._hosts.items() if name in there}
        self._routers = {name: router for name, router in self._routers.items() if name in there}
        self.make(scale)

    def grow(self, scale: Scale) -> None:
        """Make the actors that a scale has more, and return once they answer.

        Raises:
            GatewayUnavailable: One of them does not start.
        """
        made = self.make(scale)
        handles = self._hosts | self._routers
        wait_until_started({name: handles[name] for name in made})

    def wait_for(self) -> None:
        """Return once all actors have started."""
        handles = (self._hosts | self._routers).values()
        ray.get([actor.configuration.remote() for actor in handles])

    def beyond(self, scale: Scale) -> tuple[str, ...]:
        """Return the names of the actors that a scale does not have."""
        return left_over((*self._hosts, *self._routers), scale)

    def forget(self, names: Container[str]) -> None:
        """Tell these nothing any more; they end."""
        self._hosts = {name: host for name, host in self._hosts.items() if name not in names}
        self._routers = {n: router for n, router in self._routers.items() if n not in names}

    def needs(self, scale: Scale) -> list[Need]:
        """Return what the actors take that a scale has more."""
        hosts = sum(name not in self._hosts for name in host_names(scale))
        routers = sum(name not in self._routers for name in router_names(scale))
        host, router = self._plan.host_memory, self._plan.router_memory
        needs = (
            Need("host", hosts, host.limit_bytes, host.setting),
            Need("router", routers, router.limit_bytes, router.setting),
        )
        return [need for need in needs if need.count]

    def arrange(self, scale: Scale) -> None:
        """Have every router ask the hosts of a scale from now on."""
        topology = topology_of(scale)
        answers_within({n: r.arrange.remote(topology) for n, r in self._routers.items()}, _TELL_S)

    def arrange_one(self, name: str, scale: Scale) -> None:
        """Have one router ask the hosts of a scale from now on; waits for nothing."""
        if name in self._routers:
            self._routers[name].arrange.remote(topology_of(scale))

    def warm(self, shards: Mapping[str, tuple[ShardRef, ...]], within_s: float) -> bool:
        """Have hosts open what they will be asked for; one that takes longer is not waited for.

        Args:
            shards: Actor name of a host → shards.
            within_s: Seconds to wait for all of them.

        Returns:
            Whether all of them have answered.
        """
        hosts = {n: h for n, h in self._hosts.items() if n in shards}
        calls = {n: h.warm.remote(shards[n]) for n, h in hosts.items()}
        return len(answers_within(calls, within_s)) == len(calls)

    def refresh(self) -> None:
        """Have every router see the newest generations, and every host close what none uses."""
        used = answers_within({n: r.refresh.remote() for n, r in self._routers.items()}, _TELL_S)
        if used:
            segments = frozenset[str]().union(*used)
            answers_within(
                {n: h.keep_only.remote(segments) for n, h in self._hosts.items()}, _TELL_S
            )

    def _host(self, name: str) -> Any:  # noqa: ANN401 - an untyped Ray handle
        config = HostConfig(name, self._plan.root, self._plan.host_memory)
        return find_or_make(ShardHost, config, max_concurrency=_SEARCHES_AT_ONCE, **SPREAD)

    def _router(self, name: str, scale: Scale) -> Any:  # noqa: ANN401
        plan = self._plan
        topology = topology_of(scale)
        config = RouterConfig(name, plan.root, self._steward, topology, plan.router_memory)
        return find_or_make(Router, config, **SPREAD)
