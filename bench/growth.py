"""How the cost of a search grows with the number of vectors, and what a small budget does to it."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import report
from search import COLLECTION, K, Shoal
from sides import timed
from stored import served, store
from vectors import Corpus, nearest, source_corpus

from cluster.client import ShoalClient

_SIZES = (10_000, 100_000, 1_000_000)
_SHARDS = 2
_SMALL = 512
"""MiB that a host may use where it is."""
_READY_S = 900.0
_LOOK_S = 1.0


def main() -> None:
    """Measure and write."""
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("--out", type=Path, default=report.RESULTS / "growth.json")
    parse.add_argument("--rows", type=int, nargs="+", default=_SIZES)
    parse.add_argument("--host-mib", type=int, default=4096)
    parse.add_argument("--seconds", type=float, default=8.0)
    given = parse.parse_args()
    largest = source_corpus(max(given.rows))
    with tempfile.TemporaryDirectory(prefix="shoal-bench-") as folder:
        found = list(_measured(Path(folder), largest, given.rows, given.host_mib, given.seconds))
    report.write(given.out, {"shards": _SHARDS, "dimension": 384, "sizes": found})


def _measured(
    work: Path, largest: Corpus, sizes: list[int], host_mib: int, seconds: float
) -> Iterator[dict[str, Any]]:
    for rows in sizes:
        corpus = _first(largest, rows)
        truth = nearest(corpus, K)
        root = work / str(rows)
        store(root, COLLECTION, corpus, _SHARDS)
        budgets = (host_mib, _SMALL) if rows == max(sizes) else (host_mib,)
        for budget in budgets:
            with served(root, host_memory=f"{budget}MiB") as client:
                yield {
                    "rows": rows,
                    "host_budget_mib": budget,
                    **_figures(client, root, corpus, truth, seconds),
                }


def _figures(
    client: ShoalClient, root: Path, corpus: Corpus, truth: np.ndarray[Any, Any], seconds: float
) -> dict[str, Any]:
    shoal = Shoal(client, root, corpus, truth)
    started = time.perf_counter()
    shoal.new_caller([])(0)
    first_answer_s = timed(started)
    until_settled(client)
    settled_s = timed(started)
    serial = shoal.one_by_one()
    busy = shoal.together(32, seconds)
    hosts = [r for r in client.status().replicas if r.kind == "ShardHost"]
    return {
        "first_answer_s": first_answer_s,
        "settled_s": settled_s,
        "recall_at_10": serial["recall"],
        "one_by_one_ms": report.summary(serial["ms"]),
        "in_hosts_ms": report.summary(shoal.slowest_host_ms),
        "together": {"callers": 32, "per_s": busy["per_s"], "ms": report.summary(busy["ms"])},
        "hosts_pss_mb": [round(host.pss_bytes / report.MB, 1) for host in hosts],
        "hosts_peak_mb": [round(host.peak_bytes / report.MB, 1) for host in hosts],
        "hosts": [host.detail for host in hosts],
    }


def until_settled(client: ShoalClient) -> None:
    """Wait until no host builds anything that makes searches quicker."""
    give_up = time.monotonic() + _READY_S
    while any(h.detail.get("unfinished") for h in client.status().replicas):
        if time.monotonic() > give_up:
            message = "the hosts have not finished their indexes"
            raise TimeoutError(message)
        time.sleep(_LOOK_S)


def _first(corpus: Corpus, rows: int) -> Corpus:
    """Return the first `rows` chunks with the same queries."""
    return replace(
        corpus,
        paths=corpus.paths[:rows],
        first_lines=corpus.first_lines[:rows],
        texts=corpus.texts[:rows],
        vectors=corpus.vectors[:rows],
    )


if __name__ == "__main__":
    main()
