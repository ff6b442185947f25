"""BM25 over 200,000 chunks of source: Shoal's postings beside Lance's full-text index and bm25s."""

from __future__ import annotations

import argparse
import sysconfig
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pyarrow as pa
import report
from corpus import copy_standard_library, queries
from sides import Peer

from actors.catalog import Catalog
from actors.engines.base import EXTERNAL, Fingerprint
from actors.index.checksums import FolderWriter
from actors.index.lexical import (
    LexicalIndex,
    TermStatistics,
    WeightedTerms,
    files_of,
    weigh,
)
from actors.index.postings import count_terms, merge
from actors.index.stored import NO_TOMBSTONES
from actors.index.tokens import terms
from actors.messages import SegmentRef
from actors.routing.corpus import Generation
from actors.routing.weighing import weigh_query
from actors.storage import Storage

_LINES = 12
"""Of a chunk."""
_BLOCK = 20
_WARM_UP = 40
_CHUNKS_AT_ONCE = 2000
_LIMITS = (10, 100)
"""What a user sees, and the candidates that a shard gives to be fused."""
_PEER = Path(__file__).with_name("bm25s_peer.py")

_BACKENDS = ("numba", "numpy")

Found = tuple[list[float], list[list[int]]]
Side = Callable[[Sequence[str], int], Found]
"""Takes queries and how many hits; returns milliseconds and the chunks found for each."""


def main() -> None:
    """Measure and write."""
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("--out", type=Path, default=report.RESULTS / "lexical.json")
    parse.add_argument("--chunks", type=int, default=200_000)
    parse.add_argument("--queries", type=int, default=300)
    given = parse.parse_args()
    report.require_peer()
    with tempfile.TemporaryDirectory(prefix="shoal-bench-") as folder:
        report.write(given.out, measure(Path(folder), given.chunks, given.queries))


def measure(work: Path, number: int, asked: int) -> dict[str, Any]:
    """Return all figures; `work` is an empty folder."""
    copy_standard_library(work / "corpus")
    texts = [query.text for query in queries(work / "corpus", asked + _WARM_UP)]
    chunks = list(islice(source_chunks(), number))
    words = work / "terms.txt"
    words.write_text("\n".join(" ".join(terms(text)) for text in chunks), encoding="utf-8")
    shoal, rows = Shoal(work / "shoal", chunks), Lance(work / "lance", chunks)
    sides: dict[str, Side] = {"shoal": shoal.search, "lance": rows.search}
    built = {"shoal": shoal.index_s, "lance": rows.index_s}
    with ExitStack() as stack:
        for backend in _BACKENDS:
            peer = stack.enter_context(Bm25s())
            built[f"bm25s_{backend}"] = peer.index(words, backend)
            sides[f"bm25s_{backend}"] = peer.search
        figures = {f"limit_{limit}": compare(sides, texts, limit) for limit in _LIMITS}
    asked_of = texts[_WARM_UP:]
    as_users, _ = shoal.search_as_users_do(asked_of, _LIMITS[0])
    misspelt_texts = [misspelt(text) for text in asked_of]
    typos, _ = shoal.search_as_users_do(misspelt_texts, _LIMITS[0], typos=True)
    return {
        "corpus": {"chunks": len(chunks), "lines": _LINES},
        "queries": {
            "number": asked,
            "examples": texts[:6],
            "terms_p50": report.median([len(set(terms(text))) for text in asked_of]),
        },
        "index_s": {name: round(seconds, 2) for name, seconds in built.items()},
        **figures,
        "shoal_as_users_ms": report.summary(as_users),
        "shoal_typos_ms": report.summary(typos),
    }


def source_chunks() -> Iterator[str]:
    """Return the Python files of the standard library and what is installed, cut into chunks."""
    standard, installed = (Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib"))
    own = (file for file in standard.rglob("*.py") if "site-packages" not in file.parts)
    for file in [*sorted(own), *sorted(installed.rglob("*.py"))]:
        lines = file.read_text(encoding="utf-8", errors="replace").split("\n")
        for first in range(0, len(lines), _LINES):
            text = "\n".join(lines[first : first + _LINES])
            if text.strip() and terms(text):
                yield text


class Shoal:
    """One segment, asked as a router and a host do it together: words weighed, rows scored.

    Args:
        folder: Where its files go.
        chunks: What it holds.

    Attributes:
        index_s: Seconds to make it.
    """

    def __init__(self, folder: Path, chunks: Sequence[str]) -> None:
        storage, lexical = Storage(str(folder)), "segment/lexical"
        started = time.perf_counter()
        postings = merge([count_terms(part) for part in _parts(chunks)])
        FolderWriter(storage, lexical).put_arrays(files_of(postings))
        self.index_s = time.perf_counter() - started
        where = storage.folder(lexical)
        self._index = LexicalIndex(where, np.arange(len(chunks), dtype=np.uint64))
        length = int(postings.lengths.sum(dtype=np.int64))
        segment = SegmentRef("segment", len(chunks), length)
        model = Fingerprint(EXTERNAL, "own", "float32", "none", "", "", 1)
        manifest = replace(Catalog(storage).new("c", model, 1, ""), shards=((segment,),))
        self._generation = Generation(manifest, ((TermStatistics(where), NO_TOMBSTONES),))

    def search(self, asked: Sequence[str], limit: int) -> Found:
        """See `Side`: the very terms that the others get."""
        return self._found(asked, limit, self._as_it_stands)

    def search_as_users_do(self, asked: Sequence[str], limit: int, typos: bool = False) -> Found:
        """Leave function words out, and take other forms of the rest along."""
        return self._found(asked, limit, lambda text: weigh_query(text, [self._generation], typos))

    def _as_it_stands(self, text: str) -> WeightedTerms:
        manifest = self._generation.manifest
        return weigh(terms(text), self._frequency, manifest.chunks, manifest.total_length)

    def _frequency(self, term: bytes) -> int:
        (held,) = self._generation.frequencies([term])
        return held

    def _found(
        self, asked: Sequence[str], limit: int, weighed: Callable[[str], WeightedTerms]
    ) -> Found:
        milliseconds, found = [], []
        for text in asked:
            started = time.perf_counter()
            best = self._index.search(weighed(text), limit, None)
            milliseconds.append((time.perf_counter() - started) * 1e3)
            found.append(best.ids.tolist())
        return milliseconds, found


class Lance:
    """A dataset with a full-text index over the same terms.

    Args:
        folder: Where it goes.
        chunks: What it holds.

    Attributes:
        index_s: Seconds to make it, cutting texts into terms left out.
    """

    def __init__(self, folder: Path, chunks: Sequence[str]) -> None:
        table = pa.table({"text": [" ".join(terms(text)) for text in chunks]})
        started = time.perf_counter()
        self._rows = lance.write_dataset(table, str(folder))
        self._rows.create_scalar_index(
            "text",
            "INVERTED",
            base_tokenizer="whitespace",
            max_token_length=None,
            stem=False,
            remove_stop_words=False,
            ascii_folding=False,
            num_workers=1,  # one partition: less to search
        )
        self.index_s = time.perf_counter() - started
        self._rows.prewarm_index("text_idx")

    def search(self, asked: Sequence[str], limit: int) -> Found:
        """See `Side`."""
        milliseconds, found = [], []
        for text in asked:
            started = time.perf_counter()
            words = " ".join(terms(text))
            table = self._rows.to_table(
                columns=["_score"], full_text_query=words, limit=limit, with_row_id=True
            )
            milliseconds.append((time.perf_counter() - started) * 1e3)
            found.append(table["_rowid"].to_pylist())
        return milliseconds, found


class Bm25s(Peer):
    """bm25s (`bm25s_peer.py`), which takes the time itself."""

    def __init__(self) -> None:
        super().__init__(_PEER)

    def index(self, file: Path, backend: str) -> float:
        """Index the terms in a file; return seconds."""
        seconds: float = self.ask(do="index", file=str(file), backend=backend)["index_s"]
        return seconds

    def search(self, asked: Sequence[str], limit: int) -> Found:
        """See `Side`."""
        answer = self.ask(do="search", queries=[terms(text) for text in asked], k=limit)
        return answer["ms"], answer["found"]


def compare(sides: Mapping[str, Side], asked: Sequence[str], limit: int) -> dict[str, Any]:
    """Ask all sides the same, block by block; each block begins with another side."""
    for ask in sides.values():
        ask(asked[:_WARM_UP], limit)
    blocks = _parts(asked[_WARM_UP:], _BLOCK)
    spent: defaultdict[str, list[list[float]]] = defaultdict(list)
    found: defaultdict[str, list[list[int]]] = defaultdict(list)
    names = list(sides)
    for number, block in enumerate(blocks):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            milliseconds, chunks = sides[name](block, limit)
            spent[name].append(milliseconds)
            found[name] += chunks
    ours = [report.median(block) for block in spent["shoal"]]
    return {
        name: {
            "ms": report.summary(chain.from_iterable(spent[name])),
            "over_shoal": report.ratios([report.median(block) for block in spent[name]], ours),
            "hits_in_common": report.median(
                [
                    len(set(a) & set(b)) / max(len(a), 1)
                    for a, b in zip(found["shoal"], found[name], strict=True)
                ]
            ),
        }
        for name in names
    }


def misspelt(text: str) -> str:
    """Leave a letter out of the middle of the longest word."""
    word = max(text.split(), key=len)
    half = len(word) // 2
    return text.replace(word, word[:half] + word[half + 1 :], 1)


def _parts(values: Sequence[str], size: int = _CHUNKS_AT_ONCE) -> list[Sequence[str]]:
    return [values[first : first + size] for first in range(0, len(values), size)]


if __name__ == "__main__":
    main()
