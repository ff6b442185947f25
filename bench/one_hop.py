"""A search asked of the router as a gateway asks it, beside Ray's hops between empty actors."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import ray
import report
from numpy.typing import NDArray
from ray.actor import ActorHandle

from actors.direct import reached
from actors.index.fusion import Mode
from actors.messages import Filter, SearchAnswer, SearchRequest
from cluster.session import attach, detach, plan_memory
from cluster.settings import Settings

_PAYLOAD = bytes(6_000)
"""An answer of ten chunks' text is about so large."""
_BLOCK = 100
_ROUTER = "router-0"
_REACH_S = 10.0


class Host:
    """Answers as a ShardHost does, and does nothing for it."""

    def search(self, vector: NDArray[np.float32], busy_s: float) -> tuple[int, bytes]:
        """Return as many bytes as an answer has, once so many seconds are spent."""
        until = time.perf_counter() + busy_s
        while time.perf_counter() < until:
            pass
        return len(vector), _PAYLOAD


class Router:
    """Asks the host of one shard as a Router does, and does nothing else."""

    def __init__(self, host: ActorHandle[Any]) -> None:
        self._host = host

    async def search(self, vector: NDArray[np.float32], busy_s: float) -> bytes:
        """Ask the host."""
        answer: tuple[int, bytes] = await self._host.search.remote(vector, busy_s)
        return answer[1]


def measure(root: Path, collection: str, queries: NDArray[np.float32], k: int) -> dict[str, Any]:
    """Return milliseconds of all, asked in turn, with a root that no gateway serves.

    A `busy` host spends as long as a ShardHost needs: while it computes, the other processes fall
    asleep and lose their caches, which empty hops do not show.
    """
    settings = Settings(root=str(root))
    attach(settings, plan_memory(settings), lambda _phase: None)
    try:
        return asyncio.run(_measured(collection, queries, k))
    finally:
        detach()


async def _measured(collection: str, queries: NDArray[np.float32], k: int) -> dict[str, Any]:
    host, made = ray.remote(num_cpus=0)(Host), ray.remote(num_cpus=0)(Router)
    empty = made.remote(host.remote())
    router = await reached(_ROUTER, ray.get_actor(_ROUTER), _REACH_S)

    def search(vector: NDArray[np.float32]) -> Awaitable[SearchAnswer]:
        request = SearchRequest("", Mode.SEMANTIC, k, (collection,), Filter(), vector, 10.0)
        return router.search.remote(request)  # type: ignore[no-any-return]

    in_host_ms = [(await search(query)).timings_ms["slowest_host"] for query in queries[:_BLOCK]]
    busy_ms = report.median(in_host_ms[_BLOCK // 2 :])
    sides: dict[str, Callable[[NDArray[np.float32]], Awaitable[object]]] = {
        "empty": lambda vector: empty.search.remote(vector, 0.0),
        "busy": lambda vector: empty.search.remote(vector, busy_ms / 1e3),
        "router": search,
    }
    ms: dict[str, list[float]] = {name: [] for name in sides}
    for ask in sides.values():
        await _timed(ask, queries[:_BLOCK])
    for first in range(0, len(queries), _BLOCK):
        for name, ask in sides.items():
            ms[name] += await _timed(ask, queries[first : first + _BLOCK])
    p50 = {name: report.median(found) for name, found in ms.items()}
    return {
        "ms": {name: report.summary(found) for name, found in ms.items()},
        "busy_host_ms": busy_ms,
        "router_less_empty_p50_ms": round(p50["router"] - p50["empty"], 3),
        "router_less_busy_p50_ms": round(p50["router"] - p50["busy"], 3),
    }


async def _timed(
    ask: Callable[[NDArray[np.float32]], Awaitable[object]], queries: NDArray[np.float32]
) -> list[float]:
    ms = []
    for query in queries:
        started = time.perf_counter()
        await ask(query)
        ms.append((time.perf_counter() - started) * 1e3)
    return ms
