"""bm25s's side, run by its own environment: answers requests that come as JSON lines.

{"do": "index", "file": …, "backend": …}   indexes the terms in a file, a chunk's on each line
{"do": "search", "queries": […], "k": …}   asks each, one at a time; a query is a list of terms
{"do": "index_texts", "file": …}           indexes texts, a JSON array, by bm25s's own tokenizer
{"do": "search_texts", "queries": […], "k": …}   asks each, cut by that tokenizer too
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
        return self._index_terms([line.split(" ") for line in lines], backend)

    def index_texts(self, file: str) -> dict[str, float]:
        """Index texts."""
        texts = json.loads(Path(file).read_text(encoding="utf-8"))
        return self._index_terms(_terms(texts), "numba")

    def _index_terms(self, chunks: list[list[str]], backend: str) -> dict[str, float]:
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

    def search_texts(self, queries: list[str], k: int) -> dict[str, list]:
        """Ask every query; return milliseconds and the texts with a word of it, best first."""
        milliseconds, found = [], []
        for query in queries:
            started = time.perf_counter()
            chunks, scores = self._index.retrieve(_terms([query]), k=k, show_progress=False)
            milliseconds.append((time.perf_counter() - started) * 1e3)
            found.append(chunks[0][scores[0] > 0].tolist())
        return {"ms": milliseconds, "found": found}


def _terms(texts: list[str]) -> list[list[str]]:
    """Cut texts as bm25s does unasked: words of two letters or more, without English stop words."""
    return bm25s.tokenize(texts, return_ids=False, show_progress=False)


def main() -> None:
    """Answer until the pipe ends."""
    peer = Peer()
    for line in sys.stdin:
        request = json.loads(line)
        answer = getattr(peer, request.pop("do"))(**request)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
