"""Codes are kept beside their segment, and made again where they are not what they should be."""

import numpy as np
import pytest
from clustered import clustered, near, recall

from actors.index import coarse
from actors.index.dense import normalised
from actors.index.ranking import merge
from actors.index.resident import ResidentDense

ROWS, DIMENSION = 3000, 16


@pytest.fixture(scope="module")
def vectors():
    return clustered(ROWS, DIMENSION)


@pytest.fixture(scope="module")
def ids():
    return np.arange(ROWS, dtype=np.uint64)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "segment" / "dense.codes"


def opened(vectors, ids):
    return ResidentDense([vectors], ids, vectors.shape[1])


def test_codes_that_were_kept_are_taken_at_the_next_start(vectors, ids, path):
    first, second = opened(vectors, ids), opened(vectors, ids)
    first.build(path, "s")
    second.load(path, "s")
    assert second.has_codes
    queries = near(vectors)
    found = [dense.search(queries, 10, None) for dense in (first, second)]
    assert [r.ids.tolist() for r in found[0]] == [r.ids.tolist() for r in found[1]]


def test_without_kept_codes_a_segment_opens_all_the_same(vectors, ids, path):
    dense = opened(vectors, ids)
    dense.load(path, "s")
    assert not dense.has_codes


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-1],
        lambda content: content[:40],
        lambda content: b"",
        lambda content: content[:-5] + bytes([content[-5] ^ 1]) + content[-4:],
    ],
    ids=["cut", "beheaded", "empty", "one bit"],
)
def test_damaged_codes_are_built_again(vectors, ids, path, damage):
    opened(vectors, ids).build(path, "s")
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    dense = opened(vectors, ids)
    dense.load(path, "s")
    assert not dense.has_codes
    dense.build(path, "s")
    assert dense.has_codes
    assert coarse.load(path, "s", ROWS, DIMENSION) is not None


def test_codes_of_another_segment_are_not_taken(vectors, ids, path):
    opened(vectors, ids).build(path, "another")
    dense = opened(vectors, ids)
    dense.load(path, "s")
    assert not dense.has_codes


def test_of_several_builders_the_first_one_builds_and_the_rest_read(vectors, ids, path):
    opened(vectors, ids).build(path, "s")
    written = path.stat().st_mtime_ns
    opened(vectors, ids).build(path, "s")
    assert path.stat().st_mtime_ns == written


def test_nothing_half_written_is_left_behind(vectors, ids, path):
    opened(vectors, ids).build(path, "s")
    assert {file.suffix for file in path.parent.iterdir()} == {".codes", ".lock"}


@pytest.mark.parametrize(
    ("aside", "least"), [(0.0, 0.98), (3.0, 0.95)], ids=["around the origin", "all to one side"]
)
def test_a_few_directions_may_hold_most_of_what_tells_vectors_apart(tmp_path, aside, least):
    random = np.random.default_rng(4)
    rows, dimension = 20_000, 192
    spread = np.arange(1, dimension + 1) ** -0.7  # as in vectors of models; noise would be even
    apart = random.normal(size=(rows, dimension)) * spread
    apart /= np.linalg.norm(apart, axis=1, keepdims=True)
    vectors = normalised((apart + aside * np.eye(dimension)[1]).astype(np.float32))
    ids = np.arange(rows, dtype=np.uint64)
    dense = ResidentDense([vectors], ids, dimension)
    dense.build(tmp_path / "dense.codes", "s")
    queries = vectors[:100]
    assert recall(dense.search(queries, 10, None), vectors, ids, queries, 10) >= least


@pytest.mark.parametrize("strewn", [True, False], ids=["strewn", "clusters whole"])
def test_segments_that_share_a_collection_find_its_best_together(tmp_path, strewn):
    rows, dimension, parts, k = 20_000, 64, 4, 10
    vectors = clustered(rows, dimension)
    ids, queries = np.arange(rows, dtype=np.uint64), near(vectors)
    places = [np.arange(n, rows, parts) for n in range(parts)]
    found = []
    for number, own in enumerate(places if strewn else np.array_split(np.arange(rows), parts)):
        dense = opened(vectors[own], ids[own])
        dense.build(tmp_path / f"{number}.codes", str(number))
        found.append(dense.search(queries, k, None, 1 / parts))
    best = [merge(rankings, k) for rankings in zip(*found, strict=True)]
    assert recall(best, vectors, ids, queries, k) >= 0.97
