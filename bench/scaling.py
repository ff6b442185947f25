"""What more shards and more routers do on one machine: what scales there and what does not."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import report
from growth import until_settled
from numpy.typing import NDArray
from search import COLLECTION, K, Shoal
from stored import served, store
from vectors import Corpus, nearest, source_corpus

_SHARDS = (1, 2, 4, 8)
_ROUTERS = (1, 2, 3)
_USUAL_SHARDS, _USUAL_ROUTERS = 2, 1


def main() -> None:
    """Measure and write."""
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("--out", type=Path, default=report.RESULTS / "scaling.json")
    parse.add_argument("--rows", type=int, default=100_000)
    parse.add_argument("--callers", type=int, default=32)
    parse.add_argument("--seconds", type=float, default=8.0)
    given = parse.parse_args()
    corpus = source_corpus(given.rows)
    truth = nearest(corpus, K)
    cases = [(shards, _USUAL_ROUTERS) for shards in _SHARDS]
    cases += [(_USUAL_SHARDS, routers) for routers in _ROUTERS if routers != _USUAL_ROUTERS]
    found = []
    with tempfile.TemporaryDirectory(prefix="shoal-bench-") as folder:
        for shards, routers in cases:
            root = Path(folder) / f"{shards}"
            if not root.exists():
                store(root, COLLECTION, corpus, shards)
            figures = _measured(root, corpus, truth, shards, routers, given)
            found.append({"shards": shards, "hosts": shards, "routers": routers} | figures)
    report.write(given.out, {"rows": given.rows, "callers": given.callers, "cases": found})


def _measured(
    root: Path,
    corpus: Corpus,
    truth: NDArray[np.int64],
    shards: int,
    routers: int,
    given: argparse.Namespace,
) -> dict[str, Any]:
    with served(root, hosts=shards, routers=routers, host_memory="512MiB") as client:
        shoal = Shoal(client, root, corpus, truth)
        shoal.new_caller([])(0)
        until_settled(client)
        serial = shoal.one_by_one()
        busy = shoal.together(given.callers, given.seconds)
        memory = client.status().memory_bytes / report.MB
    return {
        "recall_at_10": serial["recall"],
        "one_by_one_ms": report.summary(serial["ms"]),
        "slowest_host_ms": report.summary(shoal.slowest_host_ms),
        "per_s": busy["per_s"],
        "together_ms": report.summary(busy["ms"]),
        "memory_mb": round(memory, 1),
    }


if __name__ == "__main__":
    main()
