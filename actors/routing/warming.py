"""Which host has to have what open before a generation is served."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from actors.catalog import Manifest
from actors.messages import ShardRef, Topology
from actors.routing.place import placement


def shards_by_host(
    manifests: Iterable[Manifest], topology: Topology
) -> dict[str, tuple[ShardRef, ...]]:
    """Return for each host the shards that it will be asked for first."""
    served: defaultdict[str, list[ShardRef]] = defaultdict(list)
    for manifest in manifests:
        shards = len(manifest.shards)
        places = placement(manifest.collection, shards, topology.hosts, topology.nodes)
        for number, hosts in enumerate(places):
            for host in hosts[: topology.replication]:
                served[host].append(manifest.shard(number))
    return {host: tuple(shards) for host, shards in served.items()}
