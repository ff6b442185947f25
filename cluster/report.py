"""What a gateway tells of its cluster: actors, memory, collections."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable
from dataclasses import asdict

import psutil
import ray
from ray.exceptions import RayError

from actors.asking import ask_head, first_answer
from actors.catalog import Catalog
from actors.errors import CorruptData, ReplicaLost
from actors.messages import ActorStatus, Histogram
from cluster.protocol import Collection, Replica

_STATUS_S = 2.0
_LOADING_S = 0.02
"""For a replica that is known to load: most of that is done without holding the interpreter."""


async def replicas(
    names: Iterable[str], loading: Iterable[ActorStatus] = ()
) -> tuple[Replica, ...]:
    """Return how each of the named actors is; one that does not answer is not waited for.

    Args:
        names: The actors to ask.
        loading: What those of them that load a model last said, for where they are held up by it.
    """
    last = {status.name: status for status in loading}
    return tuple(await asyncio.gather(*(_replica(name, last.get(name)) for name in names)))


async def histograms(names: Iterable[str]) -> dict[str, tuple[Histogram, ...]]:
    """Return what each of the named routers has measured; one that does not answer is left out."""
    asked = {name: _histograms(name) for name in names}
    answers = await asyncio.gather(*asked.values())
    return {name: answer for name, answer in zip(asked, answers, strict=True) if answer}


async def nodes() -> int:
    """Return how many machines of the cluster are alive; 0 where its head does not answer."""
    try:
        found = await ask_head("nodes", ray.nodes, _STATUS_S)
    except (TimeoutError, RayError, RuntimeError, OSError):
        return 0
    return sum(node["Alive"] for node in found)


def collections(catalog: Catalog) -> tuple[Collection, ...]:
    """Return all collections; one that cannot be read says why."""
    found = (_collection(catalog, name) for name in catalog.names())
    return tuple(collection for collection in found if collection)


def process_sizes() -> list[int]:
    """Return the proportional set size, in bytes, of this process and each that it started."""
    me = psutil.Process()
    sizes = []
    for process in (me, *me.children(recursive=True)):
        with contextlib.suppress(psutil.Error):
            info = process.memory_full_info()
            sizes.append(int(getattr(info, "pss", info.rss)))  # PSS is known on Linux alone
    return sizes


async def _histograms(name: str) -> tuple[Histogram, ...]:
    give_up = time.monotonic() + _STATUS_S
    try:
        answer: tuple[Histogram, ...] = await first_answer(
            [name], lambda actor: actor.histograms.remote(), lambda: give_up - time.monotonic()
        )
    except (TimeoutError, RayError, ReplicaLost):
        return ()
    return answer


async def _replica(name: str, last: ActorStatus | None) -> Replica:
    patience_s = _STATUS_S if last is None else _LOADING_S
    give_up = time.monotonic() + patience_s
    try:
        answer = await first_answer(
            [name], lambda actor: actor.status.remote(), lambda: give_up - time.monotonic()
        )
    except (TimeoutError, RayError, ReplicaLost):
        if last is not None:
            return Replica(**asdict(last))
        return Replica(name=name, problem="does not answer; it may be restarting")
    return Replica(**asdict(answer))


def _collection(catalog: Catalog, name: str) -> Collection | None:
    """Describe a collection; None where it was deleted since it was listed."""
    try:
        manifest = catalog.find(name)
    except CorruptData as error:
        return Collection(name=name, problem=str(error))
    if manifest is None:
        return None
    return Collection(
        name=name,
        generation=manifest.generation,
        chunks=manifest.chunks,
        shards=len(manifest.shards),
        segments=sum(1 for _ in manifest.segments),
        model=str(manifest.model),
        source=manifest.source,
        include=manifest.choice.include,
        exclude=manifest.choice.exclude,
        updated_at=manifest.created_at.isoformat(timespec="seconds"),
    )
