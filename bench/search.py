"""Searches over 200,000 vectors: two shards of Shoal beside Chroma's server, LanceDB and FAISS.

All get the same vectors and queries, one side after the other, in rounds that begin with another.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

import callers
import numpy as np
import one_hop
import psutil
import report
from numpy.typing import NDArray
from sides import timed_call, tree_mb
from stored import served
from vectors import Corpus, nearest, source_corpus

from actors.routing.place import in_turn
from cluster.client import ShoalClient
from cluster.protocol import IngestChunk

K = 10
SHARDS = 2
COLLECTION = "vectors"
_PEERS = ("chroma", "lancedb", "faiss")
_PEER = Path(__file__).with_name("vector_peer.py")
_SINGLE = ("faiss",)
"""A library in one process: what 32 callers would tell of it is Python's lock."""


class Side(Protocol):
    """What is measured of each."""

    pid: int

    def build(self) -> float:
        """Store and index the vectors; return seconds."""

    def one_by_one(self) -> dict[str, Any]:
        """Ask every query once; see `callers.one_by_one`."""

    def together(self, many: int, seconds: float) -> dict[str, Any]:
        """Ask by many callers at once; see `callers.together`."""


def main() -> None:
    """Measure and write."""
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("--out", type=Path, default=report.RESULTS / "search.json")
    parse.add_argument("--rows", type=int, default=200_000)
    parse.add_argument("--rounds", type=int, default=3)
    parse.add_argument("--callers", type=int, default=32)
    parse.add_argument("--seconds", type=float, default=8.0)
    given = parse.parse_args()
    report.require_peer()
    corpus = source_corpus(given.rows)
    with tempfile.TemporaryDirectory(prefix="shoal-bench-") as folder:
        figures = measure(Path(folder), corpus, given.rounds, given.callers, given.seconds)
    report.write(given.out, figures)


def measure(work: Path, corpus: Corpus, rounds: int, many: int, seconds: float) -> dict[str, Any]:
    """Return all figures; `work` is an empty folder."""
    truth = nearest(corpus, K)
    np.save(work / "vectors.npy", corpus.vectors)
    np.save(work / "queries.npy", corpus.queries)
    with ExitStack() as open_sides:
        sides: dict[str, Side] = {
            name: open_sides.enter_context(peer(name, work, truth)) for name in _PEERS
        }
        served = open_sides.enter_context(shoal(work / "root", corpus, truth))
        sides["shoal"] = served
        build_s = {name: side.build() for name, side in sides.items()}
        serial = _rounds(sides, rounds, lambda side: side.one_by_one())
        busy = {name: side for name, side in sides.items() if name not in _SINGLE}
        loaded = _rounds(busy, rounds, lambda side: side.together(many, seconds))
        pss_mb = {name: tree_mb(side.pid) for name, side in sides.items()}
    hops = one_hop.measure(work / "root", COLLECTION, corpus.queries, K)
    per_s = {name: [one["per_s"] for one in found] for name, found in loaded.items()}
    p50 = {name: [report.median(one["ms"]) for one in found] for name, found in serial.items()}
    return {
        "rows": len(corpus.vectors),
        "dimension": corpus.vectors.shape[1],
        "queries": len(corpus.queries),
        "shards": SHARDS,
        "build_s": build_s,
        "pss_mb": pss_mb,
        "recall_at_10": {name: found[-1]["recall"] for name, found in serial.items()},
        "one_by_one_ms": {name: _spread(found) for name, found in serial.items()},
        "one_by_one_p50_ms": p50,
        "one_hop": hops,
        "shoal_slowest_host_ms": served.slowest_host_ms,
        "together": {
            name: {"callers": many, "per_s": per_s[name], "ms": _spread(found)}
            for name, found in loaded.items()
        },
        "shoal_over_chroma_per_s": report.ratios(per_s["shoal"], per_s["chroma"]),
        "shoal_over_lancedb_per_s": report.ratios(per_s["shoal"], per_s["lancedb"]),
    }


@contextmanager
def shoal(root: Path, corpus: Corpus, truth: NDArray[np.int64]) -> Iterator[Shoal]:
    """Run a gateway of our own while the block lasts."""
    with served(root, shards=SHARDS) as client:
        yield Shoal(client, root, corpus, truth)


class Shoal:
    """Shoal through its client, gateway, router and shard hosts.

    Attributes:
        slowest_host_ms: Milliseconds in the host, of searches one by one.
    """

    def __init__(
        self, client: ShoalClient, root: Path, corpus: Corpus, truth: NDArray[np.int64]
    ) -> None:
        self._client, self._root, self._corpus, self._truth = client, root, corpus, truth
        self._rows = {
            place: row
            for row, place in enumerate(zip(corpus.paths, corpus.first_lines, strict=True))
        }
        self.pid = client.status().gateway_pid
        self.slowest_host_ms: list[float] = []

    def build(self) -> float:
        """Hand in the chunks with their vectors, until they are searchable."""
        corpus = self._corpus
        chunks = (
            IngestChunk(path=path, start_line=first, end_line=first + text.count("\n"), text=text)
            for path, first, text in zip(
                corpus.paths, corpus.first_lines, corpus.texts, strict=True
            )
        )
        return timed_call(
            lambda: self._client.ingest(chunks, corpus.vectors, collection=COLLECTION)
        )

    def one_by_one(self) -> dict[str, Any]:
        """Ask every query once; see `callers.one_by_one`."""
        return callers.one_by_one(lambda: self.new_caller(self.slowest_host_ms), self._truth)

    def together(self, many: int, seconds: float) -> dict[str, Any]:
        """Ask by many callers at once; see `callers.together`."""
        return callers.together(lambda: self.new_caller([]), len(self._truth), many, seconds)

    def new_caller(self, host_ms: list[float]) -> callers.Ask:
        """Return a caller with a connection of its own, which notes the time in the hosts."""
        client = ShoalClient(root=str(self._root))
        queries = self._corpus.queries

        def ask(number: int) -> Sequence[int]:
            reply = client.search(
                vector=queries[number], collections=[COLLECTION], mode="semantic", limit=K
            )
            host_ms.append(reply.timings_ms["slowest_host"])
            return [self._rows[hit.path, hit.start_line] for hit in reply.hits]

        return ask


@contextmanager
def peer(name: str, work: Path, truth: NDArray[np.int64]) -> Iterator[Peer]:
    """Run a peer in its environment while the block lasts."""
    process = psutil.Popen(
        [report.PEER_PYTHON, "-P", _PEER, name, work],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Peer(process, truth)
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()


class Peer:
    """A peer in a process of its own (`vector_peer.py`), asked over pipes, one JSON line each."""

    def __init__(self, process: psutil.Popen, truth: NDArray[np.int64]) -> None:
        self._process, self._truth = process, truth
        self.pid: int = process.pid

    def build(self) -> float:
        """Store and index the vectors; return seconds."""
        return float(self._ask(do="build")["build_s"])

    def one_by_one(self) -> dict[str, Any]:
        """Ask every query once; see `callers.one_by_one`."""
        return self._ask(do="one_by_one", truth=self._truth.tolist())

    def together(self, many: int, seconds: float) -> dict[str, Any]:
        """Ask by many callers at once; see `callers.together`."""
        return self._ask(do="together", callers=many, seconds=seconds)

    def _ask(self, **request: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


def _rounds(
    sides: dict[str, Side], rounds: int, work: Callable[[Side], dict[str, Any]]
) -> dict[str, list[dict[str, Any]]]:
    """Have each side do the work in every round; each round begins with another."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in sides}
    names = list(sides)
    for number in range(rounds):
        for name in in_turn(names, number):
            found[name].append(work(sides[name]))
    return found


def _spread(found: Sequence[dict[str, Any]]) -> dict[str, float]:
    return report.summary(ms for one in found for ms in one["ms"])


if __name__ == "__main__":
    main()
