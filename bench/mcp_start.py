"""How soon a host has an MCP server over stdio, and what it holds: `shoal mcp` beside semble's."""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import report
from corpus import copy_standard_library, queries
from sides import SEMBLE, SHOAL, down, gateway, semble_environment
from stdio import Session

COLLECTION = "stdlib"
LIMIT = 8
_SETTLE_S = 3.0
"""semble loads its model after it has answered; what a server holds is read once that is done."""
_STEPS = ("initialize", "tools_list", "first_search")


@dataclass(frozen=True, slots=True)
class Server:
    """A server as a host is configured to start it.

    Attributes:
        command: The program and its arguments.
        environment: All of its environment.
        scope: What a search says beside its query: where to look, and how many hits.
    """

    command: Sequence[str | Path]
    environment: dict[str, str]
    scope: dict[str, Any]


def main() -> None:
    """Measure and write."""
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("--out", type=Path, default=report.RESULTS / "mcp_start.json")
    parse.add_argument("--rounds", type=int, default=15)
    parse.add_argument("--searches", type=int, default=100)
    parse.add_argument("--cold", type=int, default=5, help="starts where no gateway runs")
    given = parse.parse_args()
    report.require_peer()
    with tempfile.TemporaryDirectory(prefix="shoal-bench-") as folder:
        report.write(given.out, measure(Path(folder), given.rounds, given.searches, given.cold))


def measure(work: Path, rounds: int, searches: int, cold: int) -> dict[str, Any]:
    """Return all figures; `work` is an empty folder."""
    corpus, root, cache = work / "corpus", work / "root", work / "cache"
    cache.mkdir()
    copied = copy_standard_library(corpus)
    asked = [query.text for query in queries(corpus, searches)]
    servers = {
        "shoal": Server(
            (SHOAL, "mcp"),
            {**os.environ, "SHOAL_ROOT": str(root)},
            {"collections": [COLLECTION], "limit": LIMIT},
        ),
        "semble": Server(
            (SEMBLE,), semble_environment(cache), {"repo": str(corpus), "top_k": LIMIT}
        ),
    }
    with gateway(root) as client:
        client.wait(client.index([str(corpus)], collection=COLLECTION))
        for server in servers.values():
            start(server, asked[0])  # warms the file cache, and semble's cache of its index
        starts = in_turn(servers, rounds, asked[0])
        memory, searched = held(servers, asked)
        from_nothing = [nothing_running(servers["shoal"], root, asked[0]) for _ in range(cold)]
    return {
        "corpus": copied,
        "rounds": rounds,
        **{
            name: figures(found) | memory[name] | {"search_ms": report.summary(searched[name])}
            for name, found in starts.items()
        },
        "shoal_nothing_running": figures(from_nothing),
        "semble_over_shoal": {step: compare(starts, step) for step in _STEPS},
    }


def in_turn(
    servers: dict[str, Server], rounds: int, query: str
) -> dict[str, list[dict[str, float]]]:
    """Start each server once a round; who begins alternates."""
    starts: dict[str, list[dict[str, float]]] = {name: [] for name in servers}
    order = list(servers)
    for _ in range(rounds):
        for name in order:
            starts[name].append(start(servers[name], query))
        order.reverse()
    return starts


def start(server: Server, query: str) -> dict[str, float]:
    """Return the seconds from the spawn to each answer; the index and its gateway exist already."""
    started = time.perf_counter()
    with Session(server.command, server.environment) as session:
        spent = {}
        session.initialize()
        spent["initialize"] = time.perf_counter() - started
        session.request("tools/list")
        spent["tools_list"] = time.perf_counter() - started
        session.search(query, server.scope)
        spent["first_search"] = time.perf_counter() - started
    return spent


def nothing_running(server: Server, root: Path, query: str) -> dict[str, float]:
    """Return the seconds to each answer where the first search has to start the gateway."""
    down(root)
    return start(server, query)


def held(
    servers: dict[str, Server], asked: Sequence[str]
) -> tuple[dict[str, dict[str, float]], dict[str, list[float]]]:
    """Return what servers hold before and after searches, and the milliseconds of each search.

    Both stay open and get each query one after the other, so that load from elsewhere hits both.
    """
    with ExitStack() as stack:
        sessions = {
            name: stack.enter_context(Session(server.command, server.environment))
            for name, server in servers.items()
        }
        memory = {name: listed(session) for name, session in sessions.items()}
        time.sleep(_SETTLE_S)
        for name, session in sessions.items():
            memory[name]["rss_mb_settled"] = session.rss_mb()
            session.search(asked[0], servers[name].scope)  # what is put off until the first
        milliseconds: dict[str, list[float]] = {name: [] for name in sessions}
        order = list(sessions)
        for query in asked:
            for name in order:
                spent = timed_search(sessions[name], query, servers[name].scope)
                milliseconds[name].append(spent)
            order.reverse()
        for name, session in sessions.items():
            memory[name]["rss_mb_after_searches"] = session.rss_mb()
    return memory, milliseconds


def listed(session: Session) -> dict[str, float]:
    """Open a session, list its tools and return what the server holds then."""
    session.initialize()
    session.request("tools/list")
    return {"rss_mb_at_tools_list": session.rss_mb()}


def timed_search(session: Session, query: str, scope: dict[str, Any]) -> float:
    """Return the milliseconds that a search takes as a host sees it."""
    started = time.perf_counter()
    session.search(query, scope)
    return (time.perf_counter() - started) * 1e3


def figures(starts: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Return medians, and every start."""
    seconds = {step: [round(spent[step], 4) for spent in starts] for step in _STEPS}
    medians = {f"median_{step}_s": report.median(found) for step, found in seconds.items()}
    return medians | {"starts_s": seconds}


def compare(starts: dict[str, list[dict[str, float]]], step: str) -> dict[str, Any]:
    """Return semble's time over Shoal's until one step."""
    theirs, ours = ([spent[step] for spent in starts[name]] for name in ("semble", "shoal"))
    return report.ratios(theirs, ours)


if __name__ == "__main__":
    main()
