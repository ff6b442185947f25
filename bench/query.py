"""How long a search takes, and where: Shoal through its gateway beside semble in process."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, get_args

import report
from corpus import Query, copy_standard_library, queries
from sides import SemblePeer, gateway

from cluster.client import ShoalClient
from cluster.protocol import Mode, SearchReply

T = TypeVar("T")

COLLECTION = "stdlib"
LIMIT = 10
_BLOCK = 20
_WARM_UP = 40
_OTHER_MODES = tuple(mode for mode in get_args(Mode) if mode != "hybrid")


@dataclass
class Searches:
    """What came of one side's searches, in order."""

    ms: list[float] = field(default_factory=list)
    found: list[bool] = field(default_factory=list)
    hops: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def figures(self) -> dict[str, Any]:
        """Return the distribution of times, the share that found their file, and the hops."""
        hops = {f"{name}_ms": report.median(times) for name, times in self.hops.items()}
        told = {"ms": report.summary(self.ms), "found_share": report.share(self.found)}
        return told | ({"hops": hops} if hops else {})


def main() -> None:
    """Measure and write."""
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("--out", type=Path, default=report.RESULTS / "query.json")
    parse.add_argument("--queries", type=int, default=300)
    given = parse.parse_args()
    report.require_peer()
    with tempfile.TemporaryDirectory(prefix="shoal-bench-") as folder:
        report.write(given.out, measure(Path(folder), given.queries))


def measure(work: Path, number: int) -> dict[str, Any]:
    """Return all figures; `work` is an empty folder."""
    corpus = work / "corpus"
    copied = copy_standard_library(corpus)
    asked = queries(corpus, number + _WARM_UP)
    (work / "cache").mkdir()
    with gateway(work / "root") as client, SemblePeer(work / "cache", workers=0) as peer:
        client.wait(client.index([str(corpus)], collection=COLLECTION))
        peer.ask(do="load")
        peer.ask(do="index", folder=str(corpus))
        in_turn(client, peer, asked[:_WARM_UP])
        sides = in_turn(client, peer, asked[_WARM_UP:])
    theirs, ours = (_block_medians(sides[name].ms) for name in ("semble hybrid", "shoal hybrid"))
    return {
        "corpus": copied,
        "queries": {"number": number, "examples": [q.text for q in asked[:6]], "limit": LIMIT},
        **{name.replace(" ", "_"): side.figures() for name, side in sides.items()},
        "block_p50_ms": {"shoal_hybrid": ours, "semble_hybrid": theirs},
        "semble_over_shoal": report.ratios(theirs, ours),
        "shoal_less_semble_ms": report.differences(ours, theirs),
    }


def in_turn(client: ShoalClient, peer: SemblePeer, asked: Sequence[Query]) -> dict[str, Searches]:
    """Ask both sides the same queries, block by block; the side that begins alternates."""
    sides: defaultdict[str, Searches] = defaultdict(Searches)
    for number, block in enumerate(_blocks(asked)):
        if number % 2:
            ask_semble(peer, block, sides["semble hybrid"])
        ask_shoal(client, block, "hybrid", sides["shoal hybrid"])
        if not number % 2:
            ask_semble(peer, block, sides["semble hybrid"])
        for mode in _OTHER_MODES:
            ask_shoal(client, block, mode, sides[f"shoal {mode}"])
    return dict(sides)


def ask_semble(peer: SemblePeer, block: Sequence[Query], to: Searches) -> None:
    """Ask semble, which times each search within its own process."""
    answer = peer.ask(do="search", queries=[query.text for query in block])
    to.ms += answer["ms"]
    to.found += [q.path in paths for q, paths in zip(block, answer["found"], strict=True)]


def ask_shoal(client: ShoalClient, block: Sequence[Query], mode: Mode, to: Searches) -> None:
    """Ask Shoal, timed as its client sees it: request, gateway, actors, answer."""
    for query in block:
        started = time.perf_counter()
        reply = client.search(query.text, collections=[COLLECTION], mode=mode, limit=LIMIT)
        wall = (time.perf_counter() - started) * 1e3
        to.ms.append(wall)
        to.found.append(any(hit.path == query.path for hit in reply.hits))
        for name, spent in hops(reply, wall).items():
            to.hops[name].append(spent)


def hops(reply: SearchReply, wall: float) -> dict[str, float]:
    """Return milliseconds as the reply has them, and those between its stages."""
    told = reply.timings_ms
    before = max(told.get("plan", 0.0), told.get("embed", 0.0))
    return told | {
        "client": wall,
        "client_less_gateway": wall - told["gateway"],
        "gateway_less_router": told["gateway"] - told["router"],
        "router_less_stages": told["router"] - before - told["shards"] - told["merge"],
        "shards_less_slowest_host": told["shards"] - told["slowest_host"],
    }


def _blocks(values: Sequence[T]) -> Iterator[Sequence[T]]:
    for first in range(0, len(values), _BLOCK):
        yield values[first : first + _BLOCK]


def _block_medians(milliseconds: Sequence[float]) -> list[float]:
    return [report.median(block) for block in _blocks(milliseconds)]


if __name__ == "__main__":
    main()
