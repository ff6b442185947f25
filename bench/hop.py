"""What one call to an empty actor costs here, by Ray and over the actor's own socket.

It is the floor under every hop of a search, which crosses three one after the other. While one
process works the others sleep, so the call is also timed after pauses of about a search's length.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from pathlib import Path
from typing import Any

os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - Ray's own spelling; as the gateway has it

import ray
from ray.actor import ActorHandle
from report import RESULTS, summary, write

from actors.direct import reached
from actors.direct_wire import Address
from actors.listening import Listener, listen_in_thread
from actors.process import started_threads

_CALLS = 300
_PAUSES_MS = (0, 5, 15)
_REACH_S = 10.0


_ECHO = frozenset({"echo"})


class Sync:
    """Serves calls as a ShardHost does."""

    def __init__(self) -> None:
        """Begin to listen."""
        self._listener = Listener(self, _ECHO, started_threads(1, "echo"))
        self._address = listen_in_thread(self._listener)

    def listens(self) -> Address:
        """Return where."""
        return self._address

    def echo(self, value: int) -> int:
        """Return the value."""
        return value


class Async:
    """Serves calls as a Router and an Embedder do."""

    def __init__(self) -> None:
        """Make what listens."""
        self._listener = Listener(self, _ECHO)

    async def listens(self) -> Address:
        """Return where."""
        return await self._listener.address()

    async def echo(self, value: int) -> int:
        """Return the value."""
        return value


def main() -> None:
    """Time both kinds of actors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS / "hop.json")
    out = parser.parse_args().out
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, configure_logging=False)
    made = {kind.__name__.lower(): _made(kind) for kind in (Sync, Async)}
    write(out, {name: asyncio.run(_timed(actor)) for name, actor in made.items()})


def _made(kind: type) -> ActorHandle[Any]:
    actor = ray.remote(num_cpus=0, concurrency_groups={"status": 4})(kind).remote()
    ray.get(actor.echo.remote(0))
    return actor


async def _timed(actor: ActorHandle[Any]) -> dict[str, Any]:
    direct = await reached("actor", actor, _REACH_S)
    return {
        f"{way}_after_{pause}_ms": summary(await _calls(handle, pause / 1e3))
        for pause in _PAUSES_MS
        for way, handle in (("ray", actor), ("direct", direct))
    }


async def _calls(actor: ActorHandle[Any], pause_s: float) -> list[float]:
    took = []
    for number in range(_CALLS):
        await asyncio.sleep(pause_s)
        started = time.perf_counter()
        await actor.echo.remote(number)
        took.append((time.perf_counter() - started) * 1e3)
    return took


if __name__ == "__main__":
    main()
