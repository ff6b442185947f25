"""What the best candidates' places and texts tell of them, for a query that asks for such."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from zlib import crc32

import numpy as np

from actors.index.beginnings import beginnings
from actors.index.definitions import fit, names_of, normalised
from actors.index.nearness import near_share
from actors.index.question import Wish, stems_of
from actors.index.signals import SHARES, Signals
from actors.messages import Chunk

_LINES = 16
"""Hashes of lines that are kept of a chunk, the smallest: a sketch of them all (Broder 1997, "On
the resemblance and containment of documents")."""
_SHORTEST_LINE = 3
"""Bytes: braces alone say nothing."""
_WHOLE_NAME = 1
"""`fit` of a symbol that is a name or ends in it, letters alike."""
_CACHED = 1 << 13

_ASIDE = re.compile(
    r"(?:^|/)(?:tests?|testing|__tests__|specs?|testdata|fixtures|examples?|samples?|demos?"
    r"|benchmarks?|vendor|third_party|node_modules|generated)/"
    r"|(?:^|/)(?:test_[^/]*|conftest\.py|[^/]*[._-](?:tests?|spec|generated|pb|pb2|min)\.[^/]*"
    r"|[^/]*_pb2(?:_grpc)?\.pyi?|[^/]*\.d\.ts)$",
    re.IGNORECASE,
)
"""Paths of what a reader looks for last: tests, examples, generated and foreign code."""


def signals_of(ids: Sequence[int], chunks: Sequence[Chunk], wish: Wish) -> Signals:
    """Return what some chunks' places and texts tell.

    Args:
        ids: Theirs, ascending.
        chunks: The chunks.
        wish: What the query asks for.
    """
    return Signals(
        np.array(ids, np.uint64),
        np.array([_shares(chunk, wish) for chunk in chunks]).reshape(-1, len(SHARES)),
        tuple(_sketch(chunk.text) for chunk in chunks),
    )


def _shares(chunk: Chunk, wish: Wish) -> tuple[float, ...]:
    file, folders = _stems_of_path(chunk.path)
    asked = wish.stems
    return (
        len(file & asked) / max(len(file), 1),
        len(folders & asked) / max(len(asked), 1),
        any(_defines(chunk, name) for name in wish.names),
        bool(wish.phrases) and _quotes(chunk.text, wish.phrases),
        near_share(chunk.text, wish.neighbours),
        not wish.aside and _stands_aside(chunk.path),
    )


@lru_cache(_CACHED)
def _stems_of_path(path: str) -> tuple[frozenset[str], frozenset[str]]:
    """Return the stems of a file's name, without its suffix, and of its folders."""
    folders, _, file = path.rpartition("/")
    return stems_of(file.rpartition(".")[0] or file), stems_of(folders)


@lru_cache(_CACHED)
def _stands_aside(path: str) -> bool:
    return _ASIDE.search(path) is not None


def _defines(chunk: Chunk, name: str) -> bool:
    wanted = normalised(name)
    fits = (fit(symbol, wanted) for symbol in names_of(chunk.symbol))
    if any(how is not None and how <= _WHOLE_NAME for how in fits):
        return True
    *_, last = re.split(r"[.:#>]+", wanted)
    return last in chunk.text and bool(beginnings(chunk.language, chunk.text, last))


def _quotes(text: str, phrases: Sequence[str]) -> bool:
    flat = " ".join(text.lower().split())
    return all(phrase in flat for phrase in phrases)


def _sketch(text: str) -> frozenset[int]:
    lines = map(bytes.strip, text.encode().split(b"\n"))
    hashes = {crc32(line) for line in lines if len(line) >= _SHORTEST_LINE}
    return frozenset(sorted(hashes)[:_LINES])
