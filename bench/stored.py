"""Collections of any size written straight to a root, as an indexing job would leave them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
from sides import gateway
from vectors import DIMENSION, Corpus

from actors.catalog import Catalog
from actors.index.writing import chunk_block, write_segment
from actors.messages import Chunk
from actors.routing.place import shard_of
from actors.storage import Storage
from cluster.client import ShoalClient
from cluster.upload import external

_BLOCK = 20_000


def store(
    root: Path, collection: str, corpus: Corpus, shards: int, languages: Sequence[str] = ()
) -> None:
    """Publish the corpus as a collection with one segment in each shard.

    Args:
        root: Where; no gateway needs to run.
        collection: Its name.
        corpus: What it holds.
        shards: How many shards it gets.
        languages: What the chunks are said to be written in; "text" where nothing is said.
    """
    root.mkdir(parents=True, exist_ok=True)
    storage = Storage(str(root))
    of_row = np.array([shard_of(path, shards) for path in corpus.paths])
    written = []
    for shard in range(shards):
        rows = np.flatnonzero(of_row == shard)
        parts = [rows[at : at + _BLOCK] for at in range(0, len(rows), _BLOCK)]
        blocks = [
            chunk_block(
                collection, [_chunk(corpus, row, languages) for row in part], [""] * len(part)
            )
            for part in parts
        ]
        vectors = [corpus.vectors[part] for part in parts]
        written.append((write_segment(storage, collection, blocks, vectors),))
    catalog = Catalog(storage)
    base = catalog.new(collection, external(DIMENSION), shards, "")
    catalog.publish(replace(base, shards=tuple(written)))


def _chunk(corpus: Corpus, row: int, languages: Sequence[str]) -> Chunk:
    first, text = corpus.first_lines[row], corpus.texts[row]
    language = languages[row] if languages else "text"
    return Chunk(corpus.paths[row], first, first + text.count("\n"), language, "", text)


@contextmanager
def served(root: Path, **settings: object) -> Iterator[ShoalClient]:
    """Run a gateway with settings of one's own, `hosts=4` as `SHOAL_HOSTS=4`."""
    given = {f"SHOAL_{name.upper()}": str(value) for name, value in settings.items()}
    with patch.dict("os.environ", given), gateway(root) as client:
        yield client
