"""Which host serves which shard."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence


def shard_of(path: str, shards: int) -> int:
    """Return the shard that holds a file's chunks."""
    return _weight(path) % shards


def placement(collection: str, shards: int, hosts: Sequence[str]) -> list[list[str]]:
    """Return for each shard the hosts to ask, best first.

    Rendezvous hashing (Thaler and Ravishankar 1998), so that a host that comes or goes moves few
    shards, with a bound on each host's share, so that the shards of a small collection do not
    meet on one host.
    """
    share = -(-shards // len(hosts))
    taken: Counter[str] = Counter()
    placed = []
    for shard in range(shards):
        order = sorted(hosts, key=lambda host: _weight(f"{host}/{collection}/{shard}"))
        first = next(host for host in order if taken[host] < share)
        taken[first] += 1
        placed.append([first, *(host for host in order if host != first)])
    return placed


def in_turn(names: Sequence[str], turn: int) -> tuple[str, ...]:
    """Return the names in a circle, the one whose turn it is first."""
    first = turn % len(names)
    return (*names[first:], *names[:first])


def _weight(text: str) -> int:
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big")
