"""Fleet: the shard hosts and routers of a cluster; made, told what to serve, ended."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import ray

from actors.asking import answers_within, wait_until_started
from actors.layout import HOST, ROUTER, Layout, prefix_of
from actors.machines import placed_at
from actors.messages import ShardRef
from actors.process import MemoryConfig, find_actor, find_or_make
from actors.router import Router, RouterConfig
from actors.scaling import Need
from actors.shard_host import SEARCHES_AT_ONCE, HostConfig, ShardHost

_TELL_S = 20.0
"""For what every actor is told; one that does not answer learns it when it starts again."""


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """How hosts and routers are made.

    Attributes:
        root: The storage root.
        host_memory: What memory a host may use.
        router_memory: What memory a router may use.
        hosts_follow_node: In a cluster, a host's memory is found out from its node.
    """

    root: str
    host_memory: MemoryConfig
    router_memory: MemoryConfig
    hosts_follow_node: bool = False


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

    def make(self, layout: Layout) -> tuple[str, ...]:
        """Find or make the actors of a layout that are not known, and return their names."""
        hosts = [name for name in layout.names(HOST) if name not in self._hosts]
        routers = [name for name in layout.names(ROUTER) if name not in self._routers]
        self._hosts = self._hosts | {name: self._host(name, layout) for name in hosts}
        self._routers = self._routers | {name: self._router(name, layout) for name in routers}
        return (*hosts, *routers)

    def adopt(self, names: Iterable[str]) -> None:
        """Know actors that another steward made, to be ended once nobody asks them any more."""
        found = {name: handle for name in names if (handle := find_actor(name)) is not None}
        self._hosts = self._hosts | {n: a for n, a in found.items() if prefix_of(n) == HOST}
        self._routers = self._routers | {n: a for n, a in found.items() if prefix_of(n) == ROUTER}

    def mend(self, layout: Layout, there: Container[str]) -> None:
        """Make again those that are not `there`: Ray gave them up, because they did not start."""
        self._hosts = {name: host for name, host in self._hosts.items() if name in there}
        self._routers = {name: router for name, router in self._routers.items() if name in there}
        self.make(layout)

    def grow(self, layout: Layout) -> None:
        """Make the actors that a layout has more, and return once they answer.

        Raises:
            GatewayUnavailable: One of them does not start.
        """
        made = self.make(layout)
        handles = self._hosts | self._routers
        wait_until_started({name: handles[name] for name in made})

    def wait_for(self) -> None:
        """Return once all actors have started."""
        handles = (self._hosts | self._routers).values()
        ray.get([actor.configuration.remote() for actor in handles])

    def beyond(self, layout: Layout) -> tuple[str, ...]:
        """Return the names of the actors that a layout does not have."""
        return layout.left_over((*self._hosts, *self._routers))

    def forget(self, names: Container[str]) -> None:
        """Tell these nothing any more; they end."""
        self._hosts = {name: host for name, host in self._hosts.items() if name not in names}
        self._routers = {n: router for n, router in self._routers.items() if n not in names}

    def missing(self, layout: Layout) -> list[str]:
        """Return the names of the actors that a layout has more."""
        known = {*self._hosts, *self._routers}
        return [n for n in (*layout.names(HOST), *layout.names(ROUTER)) if n not in known]

    def needs(self, layout: Layout) -> list[Need]:
        """Return what the actors take that a layout has more."""
        missing = [place for name in self.missing(layout) if (place := layout.place(name))]
        settings = {HOST: self._plan.host_memory.setting, ROUTER: self._plan.router_memory.setting}
        limits = {place.kind: place.limit_bytes for place in missing}
        return [
            Need(kind, sum(p.kind == kind for p in missing), limit, settings[kind])
            for kind, limit in limits.items()
        ]

    def arrange(self, layout: Layout) -> None:
        """Have every router ask the hosts of a layout from now on."""
        topology = layout.topology
        answers_within({n: r.arrange.remote(topology) for n, r in self._routers.items()}, _TELL_S)

    def arrange_one(self, name: str, layout: Layout) -> None:
        """Have one router ask the hosts of a layout from now on; waits for nothing."""
        if name in self._routers:
            self._routers[name].arrange.remote(layout.topology)

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

    def _host(self, name: str, layout: Layout) -> Any:  # noqa: ANN401 - an untyped Ray handle
        place, memory = layout.place(name), self._plan.host_memory
        if place:
            memory = replace(memory, limit_bytes=place.limit_bytes, follows_node=place.follows_node)
        config = HostConfig(name, self._plan.root, memory)
        at = placed_at(place, layout)
        return find_or_make(ShardHost, config, max_concurrency=SEARCHES_AT_ONCE, **at)

    def _router(self, name: str, layout: Layout) -> Any:  # noqa: ANN401
        plan = self._plan
        config = RouterConfig(name, plan.root, self._steward, layout.topology, plan.router_memory)
        return find_or_make(Router, config, **placed_at(layout.place(name), layout))
