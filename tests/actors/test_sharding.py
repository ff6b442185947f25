"""However the chunks are spread over shards and segments, the answer is the same."""

from dataclasses import replace

import numpy as np
import pytest

from actors.catalog import Catalog
from actors.engines.registry import describe, open_engine
from actors.index.fusion import Mode
from actors.index.question import wish_of
from actors.index.shards import Shards
from actors.index.writing import chunk_block, write_segment
from actors.messages import Chunk, Filter, SearchRequest, ShardQuery
from actors.routing.corpus import Corpora, make_plan
from actors.routing.gather import best_of, depth_for
from actors.routing.place import shard_of
from actors.routing.weighing import weigh_query
from actors.storage import Storage

QUERIES = [
    "open a file and read its lines",
    "getUserById",
    "while",
    "parse the date from a header",
    "handler handler handler",
]
WORDS = [
    "open",
    "read",
    "file",
    "user",
    "get",
    "parse",
    "date",
    "header",
    "while",
    "handler",
    "close",
    "line",
    "cache",
    "lock",
]


def corpus():
    """Return chunks with many ties: short texts over few words, some of them equal."""
    random = np.random.default_rng(3)
    return [
        Chunk(f"src/f{n % 40}.py", n, n, "python", "", " ".join(random.choice(WORDS, 5)))
        for n in range(1, 601)
    ]


def by_hash(shards):
    return lambda chunk: shard_of(chunk.path, shards)


def skewed(chunk):
    """Nearly all in the first shard; the second holds what is rare."""
    return int("cache" in chunk.text and chunk.start_line % 7 == 0)


@pytest.fixture(scope="module")
def engine():
    return open_engine(describe("static:builtin"))


def build(folder, engine, shards, place, segments_per_shard=1):
    storage = Storage(str(folder))
    refs = [[] for _ in range(shards)]
    for number in range(shards):
        chunks = [c for c in corpus() if place(c) == number]
        for part in range(segments_per_shard):
            taken = chunks[part::segments_per_shard]
            block = chunk_block("c", taken, ["h"] * len(taken))
            if taken:
                vectors = [engine.embed(block.texts, "document")]
                refs[number].append(write_segment(storage, "c", [block], vectors))
    catalog = Catalog(storage)
    base = catalog.new("c", describe("static:builtin").fingerprint, shards, "")
    catalog.publish(replace(base, shards=tuple(map(tuple, refs))))
    return storage


def answers(storage, engine, mode, wanted):
    corpora, host = Corpora(storage), Shards(storage)
    found = []
    for text in QUERIES:
        request = SearchRequest(text, mode, 20, (), wanted, None, 10.0)
        plan = make_plan(corpora, request)
        terms = None if mode is Mode.SEMANTIC else weigh_query(text, plan.generations)
        vector = None if mode is Mode.LEXICAL else engine.embed([text], "query")[0]
        wish = wish_of(text)
        asked = wish if mode is Mode.HYBRID else None
        query = ShardQuery(vector, terms, wanted, depth_for(20), 20, 0, wish=asked)
        manifest = plan.generations[0].manifest
        shards = [manifest.shard(n) for n in range(len(manifest.shards))]
        sides = [("", host.search(shard, (query,))[0]) for shard in shards]
        best = best_of(mode, sides, 20, wish).ranking
        found.append((best.ids.tolist(), best.scores.tolist()))
    return found


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("wanted", [Filter(), Filter(paths=("f1*.py",))], ids=["all", "filtered"])
def test_the_ranking_is_the_same_for_any_number_of_shards(tmp_path, engine, mode, wanted):
    layouts = {
        "1 shard": build(tmp_path / "1", engine, 1, by_hash(1)),
        "2 shards": build(tmp_path / "2", engine, 2, by_hash(2)),
        "8 shards": build(tmp_path / "8", engine, 8, by_hash(8)),
        "2 shards, skewed": build(tmp_path / "skewed", engine, 2, skewed),
        "2 shards of 3 segments": build(tmp_path / "segments", engine, 2, by_hash(2), 3),
    }
    found = {name: answers(storage, engine, mode, wanted) for name, storage in layouts.items()}
    assert all(ids for ids, _ in found["1 shard"])
    for name, other in found.items():
        assert other == found["1 shard"], name
