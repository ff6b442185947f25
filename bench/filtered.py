"""Searches that few chunks may answer: whether filters keep the recall, in memory and on disk."""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import report
from growth import until_settled
from numpy.typing import NDArray
from search import COLLECTION, K
from stored import served, store
from vectors import Corpus, nearest, source_corpus

from cluster.client import ShoalClient

_SHARES = {"half": 0.5, "tenth": 0.1, "hundredth": 0.01, "thousandth": 0.001}
_SHARDS = 2
_BUDGETS = {"resident": "2GiB", "paged": "230MiB"}
"""What a host may use, so that its vectors lie in memory or on disk."""
_QUERIES = 300


def main() -> None:
    """Measure and write."""
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("--out", type=Path, default=report.RESULTS / "filtered.json")
    parse.add_argument("--rows", type=int, default=200_000)
    given = parse.parse_args()
    corpus = source_corpus(given.rows)
    labels = _labels(given.rows)
    figures: dict[str, Any] = {"rows": given.rows, "shards": _SHARDS, "queries": _QUERIES}
    with tempfile.TemporaryDirectory(prefix="shoal-bench-") as folder:
        root = Path(folder) / "root"
        store(root, COLLECTION, corpus, _SHARDS, labels)
        for tier, budget in _BUDGETS.items():
            with served(root, host_memory=budget) as client:
                figures[tier] = _measured(client, corpus, np.array(labels))
    report.write(given.out, figures)


def _labels(rows: int) -> list[str]:
    """Give each chunk a language at random, in the shares that are filtered by."""
    left = 1 - sum(_SHARES.values())
    names, shares = [*_SHARES, "text"], [*_SHARES.values(), left]
    labels: list[str] = np.random.default_rng(1).choice(names, rows, p=shares).tolist()
    return labels


def _measured(client: ShoalClient, corpus: Corpus, labels: NDArray[np.str_]) -> dict[str, Any]:
    found = {}
    _ask(client, corpus, 0, ())
    until_settled(client)
    for name, share in (("all", 1.0), *_SHARES.items()):
        allowed = np.arange(len(labels)) if name == "all" else np.flatnonzero(labels == name)
        languages = () if name == "all" else (name,)
        found[name] = {"share": share, "rows": len(allowed)} | _searched(
            client, corpus, allowed, languages
        )
    hosts = [r.detail for r in client.status().replicas if r.kind == "ShardHost"]
    return {"searches": found, "hosts": hosts}


def _searched(
    client: ShoalClient, corpus: Corpus, allowed: NDArray[np.intp], languages: tuple[str, ...]
) -> dict[str, Any]:
    queries, among = corpus.queries[:_QUERIES], corpus.vectors[allowed]
    truth = allowed[nearest(replace(corpus, vectors=among, queries=queries), K)]
    hits, ms = 0, []
    for number in range(_QUERIES):
        started = time.perf_counter()
        places = _ask(client, corpus, number, languages)
        ms.append((time.perf_counter() - started) * 1e3)
        hits += len(
            {(corpus.paths[row], corpus.first_lines[row]) for row in truth[number]} & places
        )
    return {"recall_at_10": round(hits / (_QUERIES * K), 4), "ms": report.summary(ms)}


def _ask(
    client: ShoalClient, corpus: Corpus, number: int, languages: tuple[str, ...]
) -> set[tuple[str, int]]:
    reply = client.search(
        vector=corpus.queries[number],
        collections=[COLLECTION],
        mode="semantic",
        limit=K,
        languages=languages,
        require_full_coverage=True,
        deadline_s=60,
    )
    return {(hit.path, hit.start_line) for hit in reply.hits}


if __name__ == "__main__":
    main()
