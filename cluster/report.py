"""What a gateway tells of its cluster: actors, memory, collections."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import psutil
from ray.exceptions import RayError

from actors.catalog import Catalog
from actors.errors import CorruptData
from actors.process import result_of
from cluster.protocol import Collection, Replica

_STATUS_S = 2.0


async def replicas(actors: Mapping[str, Any]) -> tuple[Replica, ...]:
    """Return how each of the named actors is; one that does not answer is not waited for."""
    return tuple(await asyncio.gather(*(_replica(*named) for named in actors.items())))


def collections(catalog: Catalog) -> tuple[Collection, ...]:
    """Return all collections; one that cannot be read says why."""
    return tuple(_collection(catalog, name) for name in catalog.names())


def process_sizes() -> list[int]:
    """Return the proportional set size, in bytes, of this process and each that it started."""
    me = psutil.Process()
    sizes = []
    for process in (me, *me.children(recursive=True)):
        with contextlib.suppress(psutil.Error):
            info = process.memory_full_info()
            sizes.append(int(getattr(info, "pss", info.rss)))  # PSS is known on Linux alone
    return sizes


async def _replica(name: str, actor: Any) -> Replica:  # noqa: ANN401 - an untyped Ray handle
    try:
        return Replica(**asdict(await result_of(actor.status.remote(), _STATUS_S)))
    except (TimeoutError, RayError) as error:
        problem = "does not answer" if isinstance(error, TimeoutError) else "is being restarted"
        return Replica(name=name, kind="", pid=0, rss_bytes=0, detail={}, problem=problem)


def _collection(catalog: Catalog, name: str) -> Collection:
    try:
        manifest = catalog.get(name)
    except CorruptData as error:
        return Collection(name=name, problem=str(error))
    return Collection(
        name=name,
        generation=manifest.generation,
        chunks=manifest.chunks,
        shards=len(manifest.shards),
        segments=sum(1 for _ in manifest.segments),
        model=str(manifest.model),
        source=manifest.source,
        updated_at=manifest.created_at.isoformat(timespec="seconds"),
    )
