"""bm25s's side, run by its own environment: answers requests that come as JSON lines.

{"do": "index", "file": …, "backend": …}   indexes the terms in a file, a chunk's on each line
{"do": "search", "queries": […], "k": …}   asks each, one at a time; a query is a list of terms
"""

import json
import sys
import time
from pathlib import Path

import bm25s

K1, B = 1.2, 0.75


class Peer:
    """One index, kept in memory."""

    def index(self, file: str, backend: str) -> dict[str, float]:
        """Index chunks; every score is computed here, and a search adds them up."""
        lines = Path(file).read_text(encoding="utf-8").split("\n")
        chunks = [line.split(" ") for line in lines]
        started = time.perf_counter()
        self._index = bm25s.BM25(k1=K1, b=B, method="lucene", backend=backend)
        self._index.index(chunks, show_progress=False)
        return {"index_s": time.perf_counter() - started}

    def search(self, queries: list[list[str]], k: int) -> dict[str, list]:
        """Ask every query; return milliseconds and the chunks found, best first."""
        milliseconds, found = [], []
        for query in queries:
            started = time.perf_counter()
            chunks, _ = self._index.retrieve([query], k=k, show_progress=False)
            milliseconds.append((time.perf_counter() - started) * 1e3)
            found.append(chunks[0].tolist())
        return {"ms": milliseconds, "found": found}


def main() -> None:
    """Answer until the pipe ends."""
    peer = Peer()
    for line in sys.stdin:
        request = json.loads(line)
        answer = getattr(peer, request.pop("do"))(**request)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
