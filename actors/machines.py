"""Machines: what the cluster's nodes have, and who is to run on which of them."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.errors import MemoryLimitExceeded
from actors.layout import Demand, Layout, Limits, Node, Place, Placed, PoolDemand
from actors.memory import node_memory
from actors.messages import Scale
from actors.placement import lay_out
from actors.process import memory_free_by_node, nodes_of_actors

_log = logging.getLogger("shoal.machines")

_HEAD = "node:__internal_head__"
"""Resource by which Ray marks the head."""
_RAYS_OWN = "ray.io/"
"""Labels of Ray, which say nothing of what a node is for."""
_MEASURE_S = 10.0
"""For new nodes to start a process that says how large they are; side by side, it takes two."""
_MIB = 1 << 20


class Machines:
    """Lays out what is wanted over the nodes as they are now. Safe to use from several threads.

    Args:
        wanted: How many actors of each kind.
        limits: What they may hold.
        gpus: GPUs of a replica that can use them; see `Demand`.
        steward: Actor name of the steward.
        own_total: Memory of the machine that it runs on, read before the steward was limited.

    Attributes:
        wanted: As it was given, until another is asked for.
        meant: On which nodes actors were to run at last, for those that are being started.
    """

    def __init__(
        self, wanted: Scale, limits: Limits, gpus: float | None, steward: str, own_total: int
    ) -> None:
        self.wanted = wanted
        self.meant: Placed = {}
        self._limits = limits
        self._gpus = gpus
        self._steward = steward
        self._own_total = own_total
        self._totals: dict[str, int] = {}

    def layout(self, pools: Iterable[PoolDemand], wanted: Scale | None = None) -> Layout:
        """Return who is to run where; who runs already keeps its place where it can.

        Args:
            pools: The models in use.
            wanted: How many actors, or None for as many as were asked for last.
        """
        scale = wanted or self.wanted
        demand = Demand(scale, self._limits, tuple(pools), self._gpus, self._steward)
        now = {name: at or self.meant.get(name, "") for name, at in nodes_of_actors().items()}
        return lay_out(self._nodes(), demand, now)

    def _nodes(self) -> list[Node]:
        alive = [node for node in ray.nodes() if node["Alive"]]
        if len(alive) == 1:
            return [_node(alive[0], self._own_total)]
        self._measure([n["NodeID"] for n in alive if n["NodeID"] not in self._totals])
        return [_node(node, self._totals.get(node["NodeID"], 0)) for node in alive]

    def _measure(self, nodes: list[str]) -> None:
        """Ask nodes for their memory: Ray says what it gives away, not what there is."""
        calls = {
            _total.options(
                scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)
            ).remote(): node
            for node in nodes
        }
        if not calls:
            return
        done, _ = ray.wait(list(calls), num_returns=len(calls), timeout=_MEASURE_S)
        for call, node in calls.items():
            try:
                if call in done:
                    self._totals[node] = ray.get(call)
            except RayError as error:
                _log.warning("node %s does not say how large it is: %s", node, error)


def placed_at(place: Place | None, layout: Layout) -> dict[str, Any]:
    """Return Ray's options of an actor that is to run at its place.

    Where that node dies, Ray restarts the actor on another.
    """
    options: dict[str, Any] = {"scheduling_strategy": "SPREAD"}
    if place and place.node and len(layout.nodes) > 1:
        options["scheduling_strategy"] = NodeAffinitySchedulingStrategy(place.node, soft=True)
    if place and place.gpus:
        options["num_gpus"] = place.gpus
    return options


def refuse_where_full(places: Iterable[Place], layout: Layout) -> None:
    """Raise where new actors would wait for memory on their node for ever.

    Raises:
        MemoryLimitExceeded: It is held by others, as by jobs.
    """
    if len(layout.nodes) == 1:
        return  # there is but one sum to look at
    free = memory_free_by_node()
    for place in places:
        if not place.node:
            continue
        free[place.node] = free.get(place.node, 0) - place.limit_bytes
        if free[place.node] < 0:
            message = (
                f"{place.name} may hold {place.limit_bytes // _MIB} MiB, and node "
                f"{place.node[:8]} has not as much left for actors; wait for its jobs to end, "
                "ask for fewer with `shoal scale`, or add a node"
            )
            raise MemoryLimitExceeded(message, retry_after_s=10.0)


def _node(told: dict[str, Any], total: int) -> Node:
    resources = told["Resources"]
    memory = int(resources.get("memory", 0))
    store = int(resources.get("object_store_memory", 0))
    return Node(
        id=told["NodeID"],
        address=told["NodeManagerAddress"],
        is_head=_HEAD in resources,
        cpus=resources.get("CPU", 0.0),
        memory=memory,
        total=total or memory + store,
        object_store=store,
        gpus=resources.get("GPU", 0.0),
        labels={k: v for k, v in told.get("Labels", {}).items() if not k.startswith(_RAYS_OWN)},
    )


def _total_memory() -> int:
    return node_memory().total


_total = ray.remote(num_cpus=0, max_retries=0)(_total_memory)
