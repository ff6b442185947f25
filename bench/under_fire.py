"""What a search costs while a host stutters or hangs, and while ten times too many ask."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import report
from corpus import copy_standard_library, queries
from sides import gateway

from actors.errors import Overloaded
from actors.routing.admission import AT_WORK
from cluster.client import ShoalClient
from cluster.daemon import Endpoint, find_or_start
from cluster.protocol import CALLER_HEADER, Replica

COLLECTION = "stdlib"
_CALLERS_OF_A_QUIET_DAY = 2
"""Few enough that the other host alone could serve them: what is measured is the wait."""
_CLIENTS = 8
"""Whom the gateway takes the callers for; they take turns."""
_EVERY_S, _STOPPED_S = 1.0, 0.25
"""How a stuttering host stutters."""
_SAMPLE_S = 0.5
_WARM_UP_S = 3.0


@dataclass
class Outcome:
    """What came of one load."""

    ms: list[float] = field(default_factory=list)
    gateway_ms: list[float] = field(default_factory=list)
    partial: int = 0
    overloaded: int = 0
    failed: int = 0
    seconds: float = 0.0

    def note(self, started: float, reply: dict[str, Any]) -> None:
        """Count an answer."""
        self.ms.append((time.perf_counter() - started) * 1e3)
        self.gateway_ms.append(reply["timings_ms"]["gateway"])
        self.partial += reply["coverage"] < 1

    def figures(self) -> dict[str, Any]:
        """Return all of it."""
        return {
            "ms": report.summary(self.ms),
            "gateway_ms": report.summary(self.gateway_ms),
            "answers_per_s": round(len(self.ms) / self.seconds, 1),
            "partial": self.partial,
            "overloaded": self.overloaded,
            "failed": self.failed,
        }


def main() -> None:
    """Measure and write."""
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("--out", type=Path, default=report.RESULTS / "under_fire.json")
    parse.add_argument("--rounds", type=int, default=3)
    parse.add_argument("--seconds", type=float, default=8.0, help="of each round")
    parse.add_argument("--overload-seconds", type=float, default=20.0)
    given = parse.parse_args()
    with tempfile.TemporaryDirectory(prefix="shoal-bench-") as folder:
        report.write(
            given.out,
            measure(Path(folder), given.rounds, given.seconds, given.overload_seconds),
        )


def measure(work: Path, rounds: int, seconds: float, overload_s: float) -> dict[str, Any]:
    """Return all figures; `work` is an empty folder."""
    corpus = work / "corpus"
    copied = copy_standard_library(corpus)
    asked = [query.text for query in queries(corpus, 400)]
    with gateway(work / "root") as client:
        client.wait(client.index([str(corpus)], collection=COLLECTION))
        load = Load(find_or_start(client.settings), asked)
        load.run(_CALLERS_OF_A_QUIET_DAY, _WARM_UP_S)
        slow = slow_host(client, load, rounds, seconds)
        over = overload(client, load, seconds, overload_s)
    return {"corpus": copied, "slow_host": slow, "overload": over}


class Load:
    """Callers that ask one query after the other, each over a connection of its own.

    They speak HTTP themselves, as a client that makes objects of every answer would be what is
    measured: it shares the cores with what it asks.

    Args:
        endpoint: The gateway, at a Unix socket.
        texts: What they ask, in turn.
    """

    def __init__(self, endpoint: Endpoint, texts: Sequence[str]) -> None:
        self._endpoint = endpoint
        self._texts = texts

    def run(self, callers: int, seconds: float) -> Outcome:
        """Have so many ask for so long; who is sent away comes back when told to."""
        return asyncio.run(self._run(callers, seconds))

    async def _run(self, callers: int, seconds: float) -> Outcome:
        outcome = Outcome(seconds=seconds)
        give_up = time.perf_counter() + seconds
        await asyncio.gather(
            *(self._ask(number, callers, give_up, outcome) for number in range(callers))
        )
        return outcome

    async def _ask(self, number: int, step: int, give_up: float, to: Outcome) -> None:
        reader, writer = await asyncio.open_unix_connection(self._endpoint.socket)
        while (started := time.perf_counter()) < give_up:
            writer.write(self._request(self._texts[number % len(self._texts)], number % _CLIENTS))
            number += step
            status, body = await _answer(reader)
            if status == Overloaded.status:
                to.overloaded += 1
                await asyncio.sleep(json.loads(body)["retry_after_s"])
            elif status == HTTPStatus.OK:
                to.note(started, json.loads(body))
            else:
                to.failed += 1
        writer.close()

    def _request(self, text: str, caller: int) -> bytes:
        body = json.dumps({"query": text, "collections": [COLLECTION]}).encode()
        headers = {
            **self._endpoint.headers,
            "Host": "shoal",
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            CALLER_HEADER: str(caller),
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"POST /v1/search HTTP/1.1\r\n{lines}\r\n".encode() + body


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = head.partition("content-length: ")[2].partition("\r\n")[0]
    return int(head.split(" ", 2)[1]), await reader.readexactly(int(length))


def slow_host(client: ShoalClient, load: Load, rounds: int, seconds: float) -> dict[str, Any]:
    """Compare the tail with all hosts well, with one that stutters and with one that hangs."""
    host = next(r for r in client.status().replicas if r.kind == "ShardHost")
    sides: dict[str, list[dict[str, Any]]] = {"well": [], "stutters": [], "hangs": []}
    for _ in range(rounds):
        for name, rounds_of_it in sides.items():
            before = _router(client).detail
            trouble = {"well": nullcontext, "stutters": _stuttering, "hangs": _hanging}[name]
            with trouble(*([] if name == "well" else [host.pid])):
                figures = load.run(_CALLERS_OF_A_QUIET_DAY, seconds).figures()
                after = _router(client).detail
            rounds_of_it.append(figures | _hedges(before, after))
    p99 = {name: [one["ms"]["p99"] for one in side] for name, side in sides.items()}
    return {
        "callers": _CALLERS_OF_A_QUIET_DAY,
        "stopped": f"{_STOPPED_S} of every {_EVERY_S} s",
        **sides,
        "stutters_p99_over_well": report.ratios(p99["stutters"], p99["well"]),
        "hangs_p99_over_well": report.ratios(p99["hangs"], p99["well"]),
    }


def overload(client: ShoalClient, load: Load, seconds: float, overload_s: float) -> dict[str, Any]:
    """Compare what is answered at full load with what is answered at ten times that."""
    load.run(AT_WORK, _WARM_UP_S)
    full = load.run(AT_WORK, seconds).figures()
    before = _router(client)
    with _memory({"router": before.pid, "gateway": client.status().gateway_pid}) as seen:
        ten = load.run(10 * AT_WORK, overload_s).figures()
    after = _router(client)
    return {
        "callers": AT_WORK,
        "at_capacity": full,
        "ten_times": ten,
        "p50_over_capacity": report.ratios([ten["ms"]["p50"]], [full["ms"]["p50"]])["median"],
        "p99_over_capacity": report.ratios([ten["ms"]["p99"]], [full["ms"]["p99"]])["median"],
        "same_router_process": before.pid == after.pid,
        "rss_mb": {name: _growth(sizes) for name, sizes in seen.items()},
    }


def _router(client: ShoalClient) -> Replica:
    return next(r for r in client.status().replicas if r.kind == "Router")


def _hedges(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    def grew(name: str) -> int:
        return int(after.get(name, 0) - before.get(name, 0))

    calls, hedges = grew("shard_calls"), grew("hedges")
    return {
        "shard_calls": calls,
        "hedges": hedges,
        "hedge_wins": grew("hedge_wins"),
        "hedges_share": round(hedges / max(calls, 1), 4),
    }


@contextmanager
def _hanging(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def _stuttering(pid: int) -> Iterator[None]:
    ended = threading.Event()

    def stutter() -> None:
        while not ended.wait(_EVERY_S - _STOPPED_S):
            with _hanging(pid):
                time.sleep(_STOPPED_S)

    thread = threading.Thread(target=stutter)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def _memory(pids: dict[str, int]) -> Iterator[dict[str, list[float]]]:
    """Sample the resident memory of processes, in MB, while the block lasts."""
    processes = {name: psutil.Process(pid) for name, pid in pids.items()}
    seen: dict[str, list[float]] = {name: [] for name in pids}
    ended = threading.Event()

    def sample() -> None:
        while not ended.wait(_SAMPLE_S):
            for name, process in processes.items():
                seen[name].append(process.memory_info().rss / report.MB)

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


def _growth(sizes: Sequence[float]) -> dict[str, float]:
    """Return the most, and how much more the last quarter holds than the second."""
    quarter = max(len(sizes) // 4, 1)
    later = np.mean(sizes[-quarter:]) - np.mean(sizes[quarter : 2 * quarter])
    return {"most": round(max(sizes), 1), "grew": round(float(later), 1)}


if __name__ == "__main__":
    main()
