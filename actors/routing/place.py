"""Which host serves which shard."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence


def shard_of(path: str, shards: int) -> int:
    """Return the shard that holds a file's chunks."""
    return _weight(path) % shards


def placement(
    collection: str, shards: int, hosts: Sequence[str], nodes: Sequence[str] = ()
) -> list[list[str]]:
    """Return for each shard the hosts to ask, best first.

    Rendezvous hashing (Thaler and Ravishankar 1998), so that a host that comes or goes moves few
    shards, with a bound on each host's share, so that the shards of a small collection do not
    meet on one host. Of the hosts on one node the best alone comes before those on other nodes,
    so that a machine that fails takes one replica of a shard along, if any.

    Args:
        collection: Whose shards they are.
        shards: How many there are.
        hosts: Who may serve them.
        nodes: On which node each of the hosts runs; () where that makes no difference.
    """
    node_of = dict(zip(hosts, nodes, strict=True)) if nodes else {}
    share = -(-shards // len(hosts))
    taken: Counter[str] = Counter()
    placed = []
    for shard in range(shards):
        order = sorted(hosts, key=lambda host: _weight(f"{host}/{collection}/{shard}"))
        first = next(host for host in order if taken[host] < share)
        taken[first] += 1
        placed.append(_apart([first, *(host for host in order if host != first)], node_of))
    return placed


def _apart(order: list[str], node_of: Mapping[str, str]) -> list[str]:
    """Return the first host of each node in turn, then the second of each, and so on."""
    met: Counter[str] = Counter()
    turns = {}
    for host in order:
        node = node_of.get(host, "")
        turns[host] = met[node]
        met[node] += 1
    return sorted(order, key=turns.__getitem__) if node_of else order


def in_turn(names: Sequence[str], turn: int) -> tuple[str, ...]:
    """Return the names in a circle, the one whose turn it is first."""
    first = turn % len(names)
    return (*names[first:], *names[:first])


def _weight(text: str) -> int:
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big")
