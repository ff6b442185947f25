"""How soon a handful of edited files can be searched: five files of the standard library."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import report
from corpus import copy_standard_library
from sides import gateway

from cluster.client import ShoalClient

COLLECTION = "stdlib"
FILES = 5
_STEPS = ("accepted", "done", "found")


def main() -> None:
    """Measure and write."""
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("--out", type=Path, default=report.RESULTS / "small_change.json")
    parse.add_argument("--rounds", type=int, default=20)
    given = parse.parse_args()
    with tempfile.TemporaryDirectory(prefix="shoal-bench-") as folder:
        report.write(given.out, measure(Path(folder), given.rounds))


def measure(work: Path, rounds: int) -> dict[str, Any]:
    """Return all figures; `work` is an empty folder."""
    corpus = work / "corpus"
    copied = copy_standard_library(corpus)
    files = sorted(corpus.glob("*.py"))
    with gateway(work / "root") as client:
        client.wait(client.index([str(corpus)], collection=COLLECTION))
        spent = [change(client, files, number) for number in range(-1, rounds)][1:]
    return {
        "corpus": copied,
        "files_changed": FILES,
        "ms_from_the_call": {
            step: report.summary(round_[step] * 1e3 for round_ in spent) for step in _STEPS
        },
        "under_a_second": report.share([round_["found"] < 1 for round_ in spent]),
        "rounds_s": [{step: round(round_[step], 4) for step in _STEPS} for round_ in spent],
    }


def change(client: ShoalClient, files: Sequence[Path], number: int) -> dict[str, float]:
    """Edit files and return the seconds from the call to each step, until a search finds them."""
    word = f"zebra{number + 1:03}mark"
    edited = [files[(number * FILES + each) % len(files)] for each in range(FILES)]
    for file in edited:
        with file.open("a", encoding="utf-8") as text:
            text.write(f"\n\ndef {word}():\n    return {number}\n")
    called = time.perf_counter()
    spent = {}
    job = client.index([str(file) for file in edited], collection=COLLECTION)
    spent["accepted"] = time.perf_counter() - called
    client.wait(job)
    spent["done"] = time.perf_counter() - called
    while len(found(client, word)) < FILES:
        pass
    spent["found"] = time.perf_counter() - called
    return spent


def found(client: ShoalClient, word: str) -> set[str]:
    """Return the paths in which a search finds a word."""
    hits = client.search(word, mode="lexical", collections=[COLLECTION], limit=50).hits
    return {hit.path for hit in hits}


if __name__ == "__main__":
    main()
