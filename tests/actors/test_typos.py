"""Mistyped words: found when asked for, below exact matches, the same for any number of shards."""

from dataclasses import replace

import numpy as np
import pytest

from actors.catalog import Catalog
from actors.engines.base import Fingerprint
from actors.index.ranking import merge
from actors.index.shards import Shards
from actors.index.writing import bury, chunk_block, write_segment
from actors.messages import Chunk, Filter, ShardQuery
from actors.routing.corpus import Corpora
from actors.routing.place import shard_of
from actors.routing.weighing import weigh_query
from actors.storage import Storage

MODEL = Fingerprint("static", "0" * 16, "int8", "mean", "", "", 8)
TEXTS = [
    "receive the parcel",
    "relieve pressure",
    "deceive",
    "believe what you receive",
    "parse it",
]


def build(folder, shards, dead=()):
    storage = Storage(str(folder))
    chunks = [Chunk(f"f{n}", 1, 1, "text", "", text) for n, text in enumerate(TEXTS * 3)]
    refs = [[] for _ in range(shards)]
    for number in range(shards):
        here = [c for c in chunks if shard_of(c.path, shards) == number]
        if here:
            block = chunk_block("c", here, ["h"] * len(here))
            ref = write_segment(storage, "c", [block], [np.ones((len(here), 8), np.float32)])
            rows = [row for row, chunk in enumerate(here) if chunk.text in dead]
            refs[number].append(bury(storage, "c", ref, np.array(rows)) if rows else ref)
    catalog = Catalog(storage)
    catalog.publish(replace(catalog.new("c", MODEL, shards, ""), shards=tuple(map(tuple, refs))))
    return storage


def found(storage, text, typos=True):
    (generation,) = [Corpora(storage).get("c")]
    query = ShardQuery(None, weigh_query(text, [generation], typos), Filter(), 50, 50, 0)
    host, manifest = Shards(storage), generation.manifest
    answers = [
        host.search(manifest.shard(number), (query,))[0] for number in range(len(manifest.shards))
    ]
    best = merge((answer.lexical for answer in answers), 50)
    texts = {i: Chunk.of(record).text for answer in answers for i, record in answer.records.items()}
    return [texts[i] for i in best.ids.tolist()], best.scores.tolist()


@pytest.mark.parametrize("word", ["receiev", "receve", "receivve", "receivo"])
def test_a_mistyped_word_finds_the_one_that_was_meant(tmp_path, word):
    storage = build(tmp_path, 1)
    texts, _ = found(storage, word)
    assert set(texts) == {"receive the parcel", "believe what you receive"}
    assert found(storage, word, typos=False) == ([], [])


def test_a_word_that_is_there_stands_for_itself_alone(tmp_path):
    storage = build(tmp_path, 1)
    assert found(storage, "deceive") == found(storage, "deceive", typos=False)


def test_a_word_that_was_meant_weighs_less_than_one_that_was_said(tmp_path):
    storage = build(tmp_path, 1)
    _, meant = found(storage, "parcle")
    _, said = found(storage, "parcel")
    assert meant == pytest.approx([score / 2 for score in said])


@pytest.mark.parametrize("text", ["receiev parsl", "releive the delieve", "xyzzy"])
def test_the_answer_is_the_same_for_any_number_of_shards(tmp_path, text):
    one = found(build(tmp_path / "1", 1), text)
    for shards in (2, 8):
        assert found(build(tmp_path / str(shards), shards), text) == one


def test_words_of_dead_chunks_stand_for_nothing(tmp_path):
    storage = build(tmp_path, 2, dead={"deceive"})
    assert found(storage, "decieve") == ([], [])
