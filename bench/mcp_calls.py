"""How many calls of MCP's `search` are answered: over stdio and HTTP, plain HTTP, semble's stdio.

The client is threads that write bytes and read them, in this process; for one server that many
callers share, it is one thread that keeps so many calls under way.
"""

from __future__ import annotations

import argparse
import itertools
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import callers
import psutil
import report
from corpus import copy_standard_library, queries
from mcp_http import EVENTS, JSON, Connection, McpOverHttp
from mcp_start import COLLECTION, LIMIT, Server
from report import MB
from sides import SEMBLE, SHOAL, semble_environment, serving, tree_mb
from stdio import Session, checked, search_call

from cluster.client import ShoalClient
from cluster.daemon import Endpoint

_QUERIES = 2_000
_LIMIT_S = 3600.0
"""Servers stay open while all others are measured."""
_SPARE_MB = 3_000
"""No further server is started where less memory than this would be left."""

Run = Callable[[int, float], dict[str, Any]]
"""Callers and seconds → calls a second, and milliseconds of each."""


@dataclass(frozen=True, slots=True)
class Way:
    """A way to ask that is open.

    Attributes:
        run: Has so many callers ask for so long.
        most: Callers that it can have.
        pids: Of the servers that it has beside the gateway.
    """

    run: Run
    most: int
    pids: Sequence[int] = ()


def main() -> None:
    """Measure and write."""
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("--out", type=Path, default=report.RESULTS / "mcp_calls.json")
    parse.add_argument("--callers", type=int, nargs="+", default=[1, 8, 32])
    parse.add_argument("--rounds", type=int, default=3)
    parse.add_argument("--seconds", type=float, default=4.0)
    given = parse.parse_args()
    report.require_peer()
    with tempfile.TemporaryDirectory(prefix="shoal-bench-") as folder:
        figures = measure(Path(folder), given.callers, given.rounds, given.seconds)
    report.write(given.out, figures)


def measure(work: Path, many: Sequence[int], rounds: int, seconds: float) -> dict[str, Any]:
    """Return all figures; `work` is an empty folder."""
    corpus, root = work / "corpus", work / "root"
    copied = copy_standard_library(corpus)
    texts = itertools.cycle(query.text for query in queries(corpus, _QUERIES))
    with ExitStack() as stack:
        endpoint = stack.enter_context(serving(root, SHOAL_RATE_LIMIT="0"))
        with ShoalClient(endpoint.url, token=endpoint.token) as client:
            client.wait(client.index([str(corpus)], collection=COLLECTION))
            pid = client.status().gateway_pid
        ways = open_ways(stack, work, endpoint, max(many), texts)
        memory = {name: memory_of(way) for name, way in ways.items() if way.pids}
        memory["gateway_and_all_it_started"] = {"pss_mb": tree_mb(pid)}
        runs = {
            number: in_turn(ways, number, rounds, seconds, psutil.Process(pid)) for number in many
        }
    return {
        "corpus": copied,
        "limit": LIMIT,
        "rounds": rounds,
        "seconds": seconds,
        "memory": memory,
        "callers": {str(number): spread(found) for number, found in runs.items()},
        "per_s_over_v1_search": {str(n): over(found, "v1_search") for n, found in runs.items()},
        "per_s_over_semble": {str(n): over(found, "semble_own") for n, found in runs.items()},
    }


def open_ways(
    stack: ExitStack, work: Path, endpoint: Endpoint, most: int, texts: Iterator[str]
) -> dict[str, Way]:
    """Open every way for so many callers; each call has the next of the texts."""
    cache = work / "cache"
    cache.mkdir()
    scope = {"collections": [COLLECTION], "limit": LIMIT}
    shoal = Server((SHOAL, "mcp"), {**os.environ, "SHOAL_ROOT": str(work / "root")}, scope)
    semble = Server(
        (SEMBLE,),
        semble_environment(cache),
        {"repo": str(work / "corpus"), "top_k": LIMIT},
    )

    with ExitStack() as once:  # a server that made its index looks for changes less often
        opened(once, semble, texts)

    def http(path: str, accept: str) -> Way:
        sessions = [McpOverHttp(endpoint, path, accept) for _ in range(most)]
        for session in sessions:
            stack.callback(session.close)
        return Way(apart([partial(ask, session, texts, scope) for session in sessions]), most)

    return {
        "v1_search": plain(stack, endpoint, most, texts),
        "stdio_own": own_servers(stack, shoal, most, texts),
        "stdio_shared": shared_server(stack, shoal, most, texts),
        "mcp": http("/mcp", EVENTS),
        "mcp_stateless": http("/mcp/stateless", EVENTS),
        "mcp_stateless_json": http("/mcp/stateless", JSON),
        "semble_own": own_servers(stack, semble, most, texts),
    }


def own_servers(stack: ExitStack, server: Server, most: int, texts: Iterator[str]) -> Way:
    """Start a server for each caller, as many as there is memory for."""
    sessions = []
    while len(sessions) < most and psutil.virtual_memory().available / MB > _SPARE_MB:
        sessions.append(opened(stack, server, texts))
    asks = [partial(ask, session, texts, server.scope) for session in sessions]
    return Way(apart(asks), len(sessions), [session.pid for session in sessions])


def shared_server(stack: ExitStack, server: Server, most: int, texts: Iterator[str]) -> Way:
    """Start one server for all callers."""
    session = opened(stack, server, texts)
    return Way(partial(under_way, session, server.scope, texts), most, [session.pid])


def opened(stack: ExitStack, server: Server, texts: Iterator[str]) -> Session:
    """Start a server, and have it load what it puts off until the first search."""
    session = Session(server.command, server.environment, _LIMIT_S)
    stack.enter_context(session)
    session.initialize()
    session.search(next(texts), server.scope)
    return session


def plain(stack: ExitStack, endpoint: Endpoint, most: int, texts: Iterator[str]) -> Way:
    """Open connections for `POST /v1/search`."""

    def search(connection: Connection) -> None:
        body = {"query": next(texts), "collections": [COLLECTION], "limit": LIMIT}
        answer, _ = connection.post("/v1/search", body)
        if b'"hits":[{' not in answer:
            message = f"the search found nothing: {answer[:300]!r}"
            raise RuntimeError(message)

    connections = [Connection(endpoint) for _ in range(most)]
    for connection in connections:
        stack.callback(connection.close)
    return Way(apart([partial(search, connection) for connection in connections]), most)


def ask(session: Session | McpOverHttp, texts: Iterator[str], scope: dict[str, Any]) -> None:
    """Search once."""
    session.search(next(texts), scope)


def apart(asks: Sequence[Callable[[], None]]) -> Run:
    """Return a run in which each caller has a thread and one of these."""

    def new_callers() -> callers.NewCaller:
        free = iter(asks)

        def new_caller() -> callers.Ask:
            asking = next(free)

            def asked(_number: int) -> Sequence[int]:
                asking()
                return ()

            return asked

        return new_caller

    return lambda many, seconds: callers.together(new_callers(), many, many, seconds)


def under_way(
    session: Session, scope: dict[str, Any], texts: Iterator[str], many: int, seconds: float
) -> dict[str, Any]:
    """Keep so many calls under way at one server; see `callers.together`."""
    sent: dict[int | None, float] = {}
    ms: list[float] = []
    give_up = time.perf_counter() + seconds

    def begin() -> None:
        started = time.perf_counter()
        sent[session.begin("tools/call", **search_call(next(texts), scope))] = started

    for _ in range(many):
        begin()
    while sent:
        number, result = session.answer()
        started = sent.pop(number, 0.0)
        if not started:
            continue  # a notification
        checked(result)
        now = time.perf_counter()
        ms.append((now - started) * 1e3)
        if now < give_up:
            begin()
    return {"callers": many, "per_s": round(len(ms) / seconds, 1), "ms": ms}


def in_turn(
    ways: dict[str, Way], many: int, rounds: int, seconds: float, gateway: psutil.Process
) -> dict[str, list[dict[str, Any]]]:
    """Ask each way in every round, those that can have so many; each round begins with another."""
    names = [name for name, way in ways.items() if way.most >= many]
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for number in range(rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            spent = [used_s(psutil.Process()), used_s(gateway)]
            run = ways[name].run(many, seconds)
            run["client_cores"] = (used_s(psutil.Process()) - spent[0]) / seconds
            run["gateway_cores"] = (used_s(gateway) - spent[1]) / seconds
            print(name, many, run["per_s"])
            runs[name].append(run)
    return runs


def used_s(process: psutil.Process) -> float:
    """Return the processor seconds that a process itself has used."""
    used = process.cpu_times()
    return float(used.user + used.system)


def spread(runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Return calls a second and milliseconds of each way, and how busy client and gateway were."""
    return {
        name: {
            "per_s": report.median([run["per_s"] for run in found]),
            "per_s_by_round": [run["per_s"] for run in found],
            "ms": report.summary(ms for run in found for ms in run["ms"]),
            **{
                cores: report.median([run[cores] for run in found])
                for cores in ("client_cores", "gateway_cores")
            },
        }
        for name, found in runs.items()
    }


def over(runs: dict[str, list[dict[str, Any]]], other: str) -> dict[str, Any]:
    """Return each way's calls a second over another's, round by round: above 1, it answers more."""
    if other not in runs:
        return {}
    theirs = [run["per_s"] for run in runs[other]]
    return {
        name: report.ratios([run["per_s"] for run in found], theirs)
        for name, found in runs.items()
        if name != other
    }


def memory_of(way: Way) -> dict[str, float]:
    """Return the proportional set size of a way's servers and all they started."""
    each = [tree_mb(pid) for pid in way.pids]
    return {"servers": len(each), "pss_mb": round(sum(each), 1), "each_pss_mb": report.median(each)}


if __name__ == "__main__":
    main()
