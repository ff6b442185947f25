"""Who may hold how much: pure arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from actors.errors import InvalidRequest

MIB = 1 << 20
_RESERVED_SHARE = 4
"""One part in four stays for the system, Ray's own processes (about 600 MiB) and the gateway."""
_RESERVED_LEAST = 1024 * MIB
_CONTROL = 512 * MIB
"""A router holds the term tables of what it searches, mapped; a steward next to nothing."""
FLOOR = 256 * MIB
"""An idle worker holds about 100 MiB."""
_BASELINE = 192 * MIB
"""A worker with NumPy, tokenizers and an engine's library imported, before any weights."""
_NEED = 2
"""Times the model's footprint: weights are copied while they load, and batches need room."""
REPLICA_LEAST = 512 * MIB
_STORE = 256 * MIB
"""Of Ray's shared memory: so much of it is in what is kept back."""


@dataclass(frozen=True, slots=True)
class NodeMemory:
    """What a node has, in bytes.

    Attributes:
        total: Physical memory, or the limit of an enclosing cgroup where that is lower.
        available: What can be taken now without swapping, below every such limit.
        source: What set `total`, in words.
    """

    total: int
    available: int
    source: str


@dataclass(frozen=True, slots=True)
class Budgets:
    """The most bytes that one actor of each kind may hold.

    Attributes:
        embedder: Of one Embedder.
        host: Of one ShardHost.
        control: Of one router, and of the steward.
        actors: All that actors may hold together, pools of further models included.
        explanation: How they came about, in a few sentences with figures.
    """

    embedder: int
    host: int
    control: int
    actors: int
    explanation: str


def plan_budgets(
    node: NodeMemory,
    *,
    hosts: int,
    embedders: int,
    routers: int,
    chosen: Mapping[str, int],
    is_alone: bool = True,
) -> Budgets:
    """Divide a node's memory.

    A part is kept back and the control actors take theirs; of the rest half goes to the hosts and
    half to the embedders. What is chosen is kept, and where it is more than half, the other kind
    has what that leaves.

    Args:
        node: What there is.
        hosts: Number of shard hosts on it, at least 1.
        embedders: Number of embedders on it, at least 1.
        routers: Number of routers on it, at least 1; each is a control actor, as the steward is.
        chosen: Bytes per actor from settings, for "embedder", "host" or "control".
        is_alone: Whether there are no other nodes, which may have more than this one.

    Raises:
        InvalidRequest: A chosen limit is more than the only node has.
    """
    for kind, limit in chosen.items() if is_alone else ():
        _check_chosen(kind, limit, node)
    reserved = _reserved(node.total)
    control = chosen.get("control", _CONTROL)
    of_control = (routers + 1) * control
    spare = node.total - reserved - of_control
    numbers = {"host": hosts, "embedder": embedders}
    limits = {kind: _share(kind, numbers, spare, chosen) for kind in numbers}
    needed = reserved + of_control
    needed += sum(limits[kind] * number for kind, number in numbers.items())
    explanation = _explain(node, reserved, control, limits, numbers)
    if needed > node.total:
        explanation += (
            f" Together that is {_mib(needed - node.total)} more than there is: limits were chosen "
            f"or are the least ({_mib(FLOOR)}) that an actor can work with; take fewer actors."
        )
    actors = max(needed, node.total) - reserved
    return Budgets(limits["embedder"], limits["host"], control, actors, explanation)


def room_for_actors(total: int, object_store: int) -> int:
    """Return what actors may hold together on a node of a cluster, in bytes.

    Args:
        total: The node's memory, or the limit of its container.
        object_store: Ray's shared memory on it, which fills up with what jobs pass on.
    """
    return max(total - _reserved(total) - max(object_store - _STORE, 0), 0)


def limit_for(footprint_bytes: int, most: int) -> int:
    """Return one replica's limit in bytes: what its model needs, not the node's whole share."""
    return min(most, max(REPLICA_LEAST, _BASELINE + _NEED * footprint_bytes))


def _reserved(total: int) -> int:
    return max(total // _RESERVED_SHARE, _RESERVED_LEAST)


def _share(kind: str, numbers: Mapping[str, int], spare: int, chosen: Mapping[str, int]) -> int:
    if kind in chosen:
        return chosen[kind]
    taken = sum(chosen[other] * number for other, number in numbers.items() if other in chosen)
    left = min(spare - taken, spare // 2)
    return max(FLOOR, left // numbers[kind])


def _check_chosen(kind: str, limit: int, node: NodeMemory) -> None:
    if limit > node.total:
        message = (
            f"SHOAL_{kind.upper()}_MEMORY is {_mib(limit)}, and this node has {_mib(node.total)} "
            f"({node.source}); choose less, or leave it out to have it divided"
        )
        raise InvalidRequest(message)


def _explain(
    node: NodeMemory,
    reserved: int,
    control: int,
    limits: Mapping[str, int],
    numbers: Mapping[str, int],
) -> str:
    parts = [f"{_mib(limits[kind])} for each {kind} ({number})" for kind, number in numbers.items()]
    return (
        f"Of {_mib(node.total)} ({node.source}), {_mib(reserved)} stay for the system, Ray and the "
        f"gateway. Actors may hold {', '.join(parts)}, "
        f"{_mib(control)} for the steward and each router."
    )


def _mib(size: int) -> str:
    return f"{size // MIB} MiB"
