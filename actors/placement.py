"""Placement: which actors are to run on which node, with what memory, and why. No Ray in it.

On a single machine there are as many as the settings say. In a cluster they run on workers; the
head keeps Ray, the steward and the gateway, and helps out where workers are too few or too full.
Who runs where it may stays there, so that a node that comes or goes moves little.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from actors.layout import (
    EMBEDDER,
    HOST,
    ROUTER,
    Demand,
    Kind,
    Layout,
    Node,
    Place,
    Placed,
    PoolDemand,
    with_prefix,
)
from actors.memory import FLOOR, REPLICA_LEAST
from actors.messages import AUTO, Scale
from actors.routing.spread import assigned, divided

ON_ONE_MACHINE = Scale(embedders=1, hosts=2, replication=2, routers=1)
"""What `AUTO` stands for there: two hosts keep both cores of a laptop busy."""
_CPUS_OF_A_HOST = 8
"""A host searches in four threads; the other half is for replicas, routers and jobs."""
_LEAST = 2
"""Hosts and routers of a cluster: one of them may die."""
_HOSTS_OF_A_ROUTER = 4
"""One takes more than two cores of hosts can answer."""
_MIB = 1 << 20


def lay_out(nodes: Sequence[Node], demand: Demand, now: Placed) -> Layout:
    """Find everybody's place.

    Args:
        nodes: The machines that are alive, at least one.
        demand: What is wanted of them.
        now: The actors that there are.
    """
    ids = {node.id for node in nodes}
    known = {name: node if node in ids else "" for name, node in now.items()}
    if len(nodes) == 1:
        return _on_one(nodes[0], demand, known)
    return _Cluster(nodes, demand, known).layout()


def on_one_machine(scale: Scale) -> Scale:
    """Return what a scale comes to on a single machine."""
    usual = ON_ONE_MACHINE
    return Scale(
        embedders=usual.embedders if scale.embedders == AUTO else scale.embedders,
        hosts=usual.hosts if scale.hosts == AUTO else scale.hosts,
        replication=scale.replication,
        routers=usual.routers if scale.routers == AUTO else scale.routers,
    )


def _on_one(node: Node, demand: Demand, now: Placed) -> Layout:
    scale, limits = on_one_machine(demand.scale), demand.limits
    wanted: list[tuple[Kind, str, int, int, str, float]] = [
        (HOST, HOST, scale.hosts, limits.host, "", 0.0),
        (ROUTER, ROUTER, scale.routers, limits.control, "", 0.0),
    ]
    for pool in demand.pools:
        gpus = (demand.gpus or 0.0) if pool.takes_gpus else 0.0
        limit = pool.limit_bytes
        wanted.append((EMBEDDER, pool.prefix, scale.embedders, limit, pool.model, gpus))
    reason = "the only machine, whose memory is divided by the number of actors"
    places = [
        Place(name, kind, node.id, limit, reason, gpus, model, now.get(name, ""))
        for kind, prefix, count, limit, model, gpus in wanted
        for name in assigned(with_prefix(prefix, now), {node.id: count}, prefix)
    ]
    return Layout((node,), tuple(places), scale, limits.embedder)


class _Cluster:
    """Places actors one kind after another, and keeps book of what is left on each node."""

    def __init__(self, nodes: Sequence[Node], demand: Demand, now: Placed) -> None:
        self._nodes = sorted(nodes, key=lambda node: (node.is_head, node.id))
        self._demand = demand
        self._now = now
        self._left = {node.id: node.room for node in nodes}
        self._gpus_left = {node.id: node.gpus for node in nodes}
        self._places: list[Place] = []
        self._notes: list[str] = []

    def layout(self) -> Layout:
        """Place everybody."""
        steward_at = self._now.get(self._demand.steward, "")
        if steward_at:
            self._left[steward_at] -= self._demand.limits.control
        routers = self._routers()
        hosts = self._hosts()
        most = self._most_of_a_replica()
        counts = [self._replicas(pool) for pool in self._demand.pools]
        embedders = max(counts, default=0) or self._replicas_of_a_new_model()
        self._tell_unused()
        return Layout(
            tuple(self._nodes),
            tuple(self._places),
            Scale(embedders, hosts, self._demand.scale.replication, routers),
            most,
            tuple(self._notes),
        )

    def _room(self, limit: int) -> dict[str, int]:
        """Return how many actors of a limit each node could take now."""
        return {node: max(left, 0) // limit for node, left in self._left.items()}

    def _homes(self, kind: Kind, count: int, room: Mapping[str, int]) -> list[Node]:
        """Return the workers that have room; the head too, where too few to part what should be."""
        fit = [node for node in self._nodes if node.takes(kind) and room[node.id] > 0]
        workers = [node for node in fit if not node.is_head]
        replication = self._demand.scale.replication
        apart = replication if count == AUTO else min(replication, count)
        return workers if len(workers) >= apart else fit

    def _routers(self) -> int:
        """Place routers; one that runs stays where it is, on the head too: it holds little."""
        asked, limit = self._demand.scale.routers, self._demand.limits.control
        room = self._room(limit)
        homes = self._homes(ROUTER, asked, room)
        hosts = sum(map(_hosts_by_cpu, homes))
        count = max(_LEAST, -(-hosts // _HOSTS_OF_A_ROUTER)) if asked == AUTO else asked
        why = "one for each four hosts, at least two" if asked == AUTO else f"{asked} asked for"
        names = [f"{ROUTER}-{number}" for number in range(count)]
        load = Counter(self._now.get(name, "") for name in names)
        for number, name in enumerate(names):
            here = self._now.get(name, "")
            open_to_it = [node for node in homes if load[node.id] < room[node.id]]
            if not here and not open_to_it and number > 0:
                self._tell_missing(count - number, ROUTER, limit)
                count = number
                break
            at = here or min((n.id for n in open_to_it), key=load.__getitem__, default="")
            load[at] += not here
            reason = f"{why}; {limit // _MIB} MiB of control; stays where it runs"
            self._places.append(Place(name, ROUTER, at, limit, reason, now=here))
        # As much is kept back on all their nodes, so that one router more changes no host's limit.
        share = -(-count // max(len(homes), 1))
        for node in self._nodes:
            kept = min(share, room[node.id]) if node in homes else 0
            self._left[node.id] -= limit * max(kept, load[node.id])
        return count

    def _hosts(self) -> int:
        asked, limits = self._demand.scale.hosts, self._demand.limits
        chosen = limits.host if HOST in limits.chosen else 0
        parts = {node.id: self._part_of_hosts(node, bool(chosen)) for node in self._nodes}
        room = {node: max(part, 0) // (chosen or FLOOR) for node, part in parts.items()}
        homes = self._homes(HOST, asked, room)
        quotas = {node.id: min(room[node.id], _hosts_by_cpu(node)) for node in homes}
        why = f"one on each node, or for each {_CPUS_OF_A_HOST} of its CPUs"
        if asked != AUTO or sum(quotas.values()) < _LEAST:
            why = "at least two" if asked == AUTO else f"{asked} asked for, evenly spread"
            asked = _LEAST if asked == AUTO else asked
            quotas = self._divided(homes, asked, room, HOST)
        else:
            asked = sum(quotas.values())
        if not any(quotas.values()):
            quotas, why = {"": asked}, "waits for a node with room"
        for name, node in assigned(with_prefix(HOST, self._now), quotas, HOST).items():
            limit = chosen or (parts[node] // quotas[node] if node else FLOOR)
            self._add(name, HOST, node, limit, why)
        self._tell_missing(asked - sum(quotas.values()), HOST, chosen or FLOOR)
        return sum(quotas.values())

    def _part_of_hosts(self, node: Node, is_chosen: bool) -> int:
        """Return what hosts may take of a node: half of it where their limit is not a setting."""
        left = self._left[node.id]
        if not node.takes(HOST):
            return 0
        if not node.takes(EMBEDDER):
            return left
        return left - REPLICA_LEAST if is_chosen else left // 2

    def _replicas(self, pool: PoolDemand) -> int:
        """Place the replicas of a model, and return how many there are."""
        asked, limit = self._demand.scale.embedders, pool.limit_bytes
        gpus = self._gpus_of(pool)
        room = self._room(limit)
        if gpus:
            homes = [n for n in self._nodes if n.takes(EMBEDDER) and n.gpus >= gpus]
            if not homes:
                return self._to_come(pool, gpus)
            room = {n: min(r, int(self._gpus_left[n] // gpus)) for n, r in room.items()}
        else:
            homes = self._homes(EMBEDDER, asked, room)
        count, why = asked, f"{asked} asked for, evenly spread"
        if asked == AUTO:
            count = max(sum(room[n.id] if gpus else 1 for n in homes), 1)
            why = "one for each GPU" if gpus else "one of each model on each node"
        quotas = self._divided(homes, count, room, pool.prefix)
        existing = with_prefix(pool.prefix, self._now)
        for name, node in assigned(existing, quotas, pool.prefix).items():
            self._add(name, EMBEDDER, node, limit, why, gpus, pool.model)
        what = f"replica of {pool.model}" + (f" with {gpus:g} GPU(s)" if gpus else "")
        self._tell_missing(count - sum(quotas.values()), what, limit)
        return sum(quotas.values())

    def _gpus_of(self, pool: PoolDemand) -> float:
        if not pool.takes_gpus:
            return 0.0
        if self._demand.gpus is not None:
            return self._demand.gpus
        return 1.0 if any(node.gpus >= 1 for node in self._nodes) else 0.0

    def _to_come(self, pool: PoolDemand, gpus: float) -> int:
        """Have replicas wait for a node with a GPU, which an autoscaler starts for them."""
        asked = self._demand.scale.embedders
        count = 1 if asked == AUTO else asked
        why = f"waits for a node with {gpus:g} GPU(s), as SHOAL_EMBEDDER_GPUS wants it"
        for name in assigned(with_prefix(pool.prefix, self._now), {"": count}, pool.prefix):
            self._add(name, EMBEDDER, "", pool.limit_bytes, why, gpus, pool.model)
        return count

    def _most_of_a_replica(self) -> int:
        limits = self._demand.limits
        if EMBEDDER in limits.chosen:
            return limits.embedder
        room = self._room(REPLICA_LEAST)
        homes = self._homes(EMBEDDER, self._demand.scale.embedders, room)
        return max((self._left[node.id] for node in homes), default=REPLICA_LEAST)

    def _replicas_of_a_new_model(self) -> int:
        asked = self._demand.scale.embedders
        if asked != AUTO:
            return asked
        return len(self._homes(EMBEDDER, asked, self._room(REPLICA_LEAST))) or 1

    def _divided(
        self, homes: Iterable[Node], count: int, room: Mapping[str, int], prefix: str
    ) -> dict[str, int]:
        """Divide actors over their nodes; what these have no room for goes on a head, if it may."""
        here = Counter(with_prefix(prefix, self._now).values())
        quotas = divided([node.id for node in homes], count, room, here)
        kind = HOST if prefix == HOST else EMBEDDER
        heads = [n.id for n in self._nodes if n.is_head and n.takes(kind) and n.id not in quotas]
        more = divided(heads, count - sum(quotas.values()), room, {})
        return {**quotas, **more}

    def _add(
        self,
        name: str,
        kind: Kind,
        node: str,
        limit: int,
        why: str,
        gpus: float = 0.0,
        model: str = "",
    ) -> None:
        if node:  # else it is still to come
            self._left[node] -= limit
            self._gpus_left[node] -= gpus
        is_set = kind in self._demand.limits.chosen
        size = f"{limit // _MIB} MiB {'as set' if is_set else 'of what the node has'}"
        is_head = any(n.id == node and n.is_head for n in self._nodes)
        where = "; on the head, as workers are too few or too full" if is_head else ""
        here = self._now.get(name, "")
        reason = f"{why}{where}; {size}"
        self._places.append(Place(name, kind, node, limit, reason, gpus, model, here, not is_set))

    def _tell_missing(self, missing: int, what: str, limit: int) -> None:
        if missing > 0:
            self._notes.append(
                f"{missing} of {what} has no place: no node has room for {limit // _MIB} MiB more; "
                "add a node, or ask for fewer with `shoal scale`"
            )

    def _tell_unused(self) -> None:
        used = {place.node for place in self._places}
        for node in self._nodes:
            if node.id not in used:
                self._notes.append(f"{node.address} ({node.id[:8]}) has no actor: {_why_not(node)}")


def _why_not(node: Node) -> str:
    if node.is_head:
        return "the head is kept for Ray, the steward and the gateway while workers have room"
    if not node.takes(HOST):
        return f"its labels are {dict(node.labels)}"
    return f"its actors may hold {node.room // _MIB} MiB, which is too little or not needed"


def _hosts_by_cpu(node: Node) -> int:
    return max(1, int(node.cpus // _CPUS_OF_A_HOST))
