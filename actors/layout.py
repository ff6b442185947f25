"""Layout: the machines of a cluster, what is wanted of them, and who is to run where."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from actors.memory import room_for_actors
from actors.message import Message
from actors.messages import Scale, Topology

Kind = Literal["host", "router", "embedder"]
HOST: Kind = "host"
ROUTER: Kind = "router"
EMBEDDER: Kind = "embedder"
ROLE = "shoal-role"
"""Label of nodes that are kept for one thing: "hosts", "embedders", or "batch" for jobs alone."""

Placed = Mapping[str, str]
"""Actor name → id of its node, "" while nobody knows."""


@dataclass(frozen=True, slots=True)
class Node(Message):
    """A machine of the cluster.

    Attributes:
        id: Ray's.
        address: Where it is.
        is_head: It runs the cluster's own services.
        cpus: Cores that Ray may give away; a head often has none.
        memory: Bytes that Ray may give to actors.
        total: Bytes of the machine, or of its container.
        object_store: Bytes of Ray's shared memory on it.
        gpus: Accelerators that Ray may give away.
        labels: Ray's labels.
    """

    id: str
    address: str
    is_head: bool
    cpus: float
    memory: int
    total: int
    object_store: int
    gpus: float = 0.0
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def room(self) -> int:
        """Bytes that actors may hold together, with headroom for the system and Ray."""
        return min(self.memory, room_for_actors(self.total, self.object_store))

    def takes(self, kind: Kind) -> bool:
        """Tell whether its role allows actors of a kind."""
        role = self.labels.get(ROLE, "")
        return role in {"", f"{kind}s"} or (kind == ROUTER and role == "hosts")


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes that one actor of each kind may hold.

    Attributes:
        host: Of a ShardHost on a single machine, or what was chosen.
        embedder: Likewise, the most of an Embedder.
        control: Of a router, and of the steward, everywhere.
        chosen: Kinds whose limit is a setting; in a cluster that of the others follows the node.
    """

    host: int
    embedder: int
    control: int
    chosen: frozenset[Kind] = frozenset()


@dataclass(frozen=True, slots=True)
class PoolDemand:
    """Replicas of one model.

    Attributes:
        prefix: Of their actor names.
        model: The model's name.
        limit_bytes: What one may hold.
        takes_gpus: Its engine can use a GPU.
    """

    prefix: str
    model: str
    limit_bytes: int
    takes_gpus: bool = False


@dataclass(frozen=True, slots=True)
class Demand:
    """What is wanted of the machines.

    Attributes:
        scale: How many of each kind.
        limits: What they may hold.
        pools: The models in use, those that have a place first.
        gpus: GPUs of a replica that can use them; None for one in a cluster where a node has any.
        steward: Actor name of the steward, which has its place already.
    """

    scale: Scale
    limits: Limits
    pools: tuple[PoolDemand, ...] = ()
    gpus: float | None = None
    steward: str = "steward"


@dataclass(frozen=True, slots=True)
class Place(Message):
    """Where one actor is to run.

    Attributes:
        name: Its actor name.
        kind: "host", "router" or "embedder".
        node: Id of the node, or "" for one that is still to come.
        limit_bytes: What it may hold.
        reason: Why there and so much, for people.
        gpus: GPUs that it has for itself.
        model: Of a replica.
        now: Id of the node where it runs, or "".
        follows_node: Its limit was found out from the node, and not set.
    """

    name: str
    kind: Kind
    node: str
    limit_bytes: int
    reason: str
    gpus: float = 0.0
    model: str = ""
    now: str = ""
    follows_node: bool = False


@dataclass(frozen=True, slots=True)
class Layout(Message):
    """Who is to run where.

    Attributes:
        nodes: The machines.
        places: The actors.
        scale: How many of each kind that is.
        replica_most: The most that a replica of a further model may hold, in bytes.
        notes: What has no place, and which nodes are left out, for people.
    """

    nodes: tuple[Node, ...]
    places: tuple[Place, ...]
    scale: Scale
    replica_most: int
    notes: tuple[str, ...] = ()

    @property
    def topology(self) -> Topology:
        """Who serves searches."""
        hosts = [place for place in self.places if place.kind == HOST]
        names = tuple(host.name for host in hosts)
        nodes = tuple(host.node for host in hosts) if len(self.nodes) > 1 else ()
        return Topology(names, min(self.scale.replication, len(names)), nodes)

    def names(self, kind: Kind) -> tuple[str, ...]:
        """Return the actor names of a kind."""
        return tuple(place.name for place in self.places if place.kind == kind)

    def place(self, name: str) -> Place | None:
        """Return an actor's place, or None where it has none."""
        return next((place for place in self.places if place.name == name), None)

    def replicas(self, prefix: str) -> tuple[Place, ...]:
        """Return the replicas of one model, by the prefix of their names."""
        return tuple(place for place in self.places if prefix_of(place.name) == prefix)

    def left_over(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return those of the names that are hosts or routers and have no place."""
        kept = {place.name for place in self.places}
        return tuple(n for n in names if prefix_of(n) in {HOST, ROUTER} and n not in kept)


def prefix_of(name: str) -> str:
    """Return an actor's name without its number."""
    return name.rpartition("-")[0]


def with_prefix(prefix: str, now: Placed) -> dict[str, str]:
    """Return those whose names are the prefix and a number."""
    return {name: node for name, node in now.items() if prefix_of(name) == prefix}
