"""What goes over HTTP of a cluster's layout: its machines, and which actors belong on them."""

from __future__ import annotations

from pydantic import Field

from cluster.protocol import Message, Scale


class Machine(Message):
    """A node of the cluster, memory in bytes.

    `total_bytes` is what the machine or its container has, `room_bytes` what actors may hold
    together; what lies between is for Ray, its shared memory and the system.
    """

    id: str
    address: str
    is_head: bool = False
    cpus: float = 0.0
    gpus: float = 0.0
    total_bytes: int = 0
    room_bytes: int = 0
    object_store_bytes: int = 0
    labels: dict[str, str] = Field(default_factory=dict)


class PlannedActor(Message):
    """An actor, the node that it belongs on, the one that it runs on (`now`), and why.

    Either is empty where there is none: a node that is still to come, an actor that starts.
    """

    name: str
    kind: str
    node: str
    now: str = ""
    limit_bytes: int
    gpus: float = 0.0
    model: str = ""
    reason: str = ""


class Plan(Message):
    """Who is to run where. `notes` tell what has no place, and which nodes have no actor."""

    nodes: tuple[Machine, ...]
    actors: tuple[PlannedActor, ...]
    scale: Scale
    notes: tuple[str, ...] = ()
