"""How long indexing Python's standard library takes: Shoal beside semble, in pairs."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import report
from corpus import copy_standard_library
from sides import PeakMemory, SemblePeer, down, gateway, timed, tree_cpu_s, tree_mb

from cluster.client import ShoalClient

_WORKERS = {"semble_program": 4, "semble_library": 0}
"""semble's commands set four worker processes for themselves; its library uses none unasked."""

Run = dict[str, Any]


def main() -> None:
    """Measure and write."""
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("--out", type=Path, default=report.RESULTS / "index_stdlib.json")
    parse.add_argument("--pairs", type=int, default=5)
    given = parse.parse_args()
    report.require_peer()
    with tempfile.TemporaryDirectory(prefix="shoal-bench-") as folder:
        report.write(given.out, measure(Path(folder), given.pairs))


def measure(work: Path, pairs: int) -> dict[str, Any]:
    """Return all figures; `work` is an empty folder."""
    corpus, root = work / "corpus", work / "root"
    copied = copy_standard_library(corpus)
    with gateway(root) as client:
        memory = {"shoal": shoal_memory(client, corpus)}
        memory |= {name: semble_memory(corpus, work, n) for name, n in _WORKERS.items()}
        runs = in_turn(pairs, client, corpus, work)
        again = unchanged(client, corpus)
    cold = from_cold(root, corpus)
    return {
        "corpus": copied,
        "files": {"shoal": again["unchanged"], **{n: runs[n][0]["files"] for n in _WORKERS}},
        "pairs": pairs,
        **{name: figures(found) for name, found in runs.items()},
        "semble_over_shoal": compare(runs),
        "shoal_unchanged": again,
        "shoal_cold": cold,
        "memory_mb": memory,
    }


def in_turn(pairs: int, client: ShoalClient, corpus: Path, work: Path) -> dict[str, list[Run]]:
    """Run every side once a round; each round begins with another side."""
    sides: dict[str, Callable[[], Run]] = {"shoal": lambda: shoal(client, corpus)}
    for name, workers in _WORKERS.items():
        sides[name] = lambda workers=workers: semble(corpus, work, workers)  # type: ignore[misc]
    runs: dict[str, list[Run]] = {name: [] for name in sides}
    order = list(sides)
    for _ in range(pairs):
        for name in order:
            runs[name].append(sides[name]())
            print(name, runs[name][-1])
        order = [*order[1:], order[0]]
    return runs


def shoal(client: ShoalClient, corpus: Path, keep: str = "") -> Run:
    """Index into a fresh collection through a gateway that runs: from the call to the job's end."""
    name = keep or "fresh"
    pid = client.status().gateway_pid
    used = tree_cpu_s(pid)
    started = time.perf_counter()
    job = client.wait(client.index([str(corpus)], collection=name))
    seconds = timed(started)
    used = tree_cpu_s(pid) - used
    if not keep:
        client.delete(name)
    return {
        "index_s": seconds,
        "job_s": round(job.seconds, 3),
        "cpu_s": round(used, 2),
        "files_seen": job.files_done,
        "unchanged": job.files_unchanged,
        "skipped": job.skipped,
        "chunks": job.chunks,
    }


def semble(corpus: Path, work: Path, workers: int) -> Run:
    """Index in a fresh process with an empty cache; the index call is timed apart from the rest."""
    with tempfile.TemporaryDirectory(dir=work) as cache:
        started = time.perf_counter()
        with SemblePeer(Path(cache), workers) as peer:
            loaded = peer.ask(do="load")
            indexed = peer.ask(do="index", folder=str(corpus))
            seconds = timed(started)
            saved = peer.ask(do="save", folder=str(corpus))
            most = peer.ask(do="memory")
    rounded = {k: round(v, 3) for k, v in {**loaded, **indexed, **saved, **most}.items()}
    return {"process_s": seconds, **rounded}


def shoal_memory(client: ShoalClient, corpus: Path) -> dict[str, float]:
    """Index once untimed, which also warms up, and sample what gateway and Ray hold."""
    pid = client.status().gateway_pid
    before = tree_mb(pid)
    with PeakMemory(pid) as peak:
        shoal(client, corpus)
    return {"before": before, "peak": peak.mb, "after": tree_mb(pid)}


def semble_memory(corpus: Path, work: Path, workers: int) -> dict[str, float]:
    """Index once untimed, which also warms up, and sample what semble and its workers hold."""
    with (
        tempfile.TemporaryDirectory(dir=work) as cache,
        SemblePeer(Path(cache), workers) as peer,
        PeakMemory(peer.process.pid) as peak,
    ):
        peer.ask(do="load")
        before = tree_mb(peer.process.pid)
        peer.ask(do="index", folder=str(corpus))
        after = tree_mb(peer.process.pid)
    return {"before": before, "peak": peak.mb, "after": after}


def unchanged(client: ShoalClient, corpus: Path) -> Run:
    """Index, and index again where nothing has changed."""
    shoal(client, corpus, keep="kept")
    return shoal(client, corpus, keep="kept")


def from_cold(root: Path, corpus: Path) -> Run:
    """Index where no gateway runs: from the first call to the job's end."""
    down(root)
    started = time.perf_counter()
    with gateway(root) as client:
        ready = timed(started)
        shoal(client, corpus, keep="cold")
        return {"gateway_s": ready, "total_s": timed(started)}


def figures(runs: list[Run]) -> dict[str, Any]:
    """Return medians, and every run."""
    seconds = [name for name in runs[0] if name.endswith("_s")]
    return {f"median_{name}": report.median([r[name] for r in runs]) for name in seconds} | {
        "chunks": runs[0]["chunks"],
        "runs": runs,
    }


def compare(runs: dict[str, list[Run]]) -> dict[str, Any]:
    """Compare index calls alone, round by round; and name the faster of semble's two ways."""
    ours = [run["index_s"] for run in runs["shoal"]]
    theirs = {name: [run["index_s"] for run in runs[name]] for name in _WORKERS}
    fastest = min(theirs, key=lambda name: report.median(theirs[name]))
    return {
        "fastest": fastest,
        **{name: report.ratios(seconds, ours) for name, seconds in theirs.items()},
    }


if __name__ == "__main__":
    main()
