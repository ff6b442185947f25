import numpy as np

from actors.routing.vector_cache import VectorCache


def vector(number):
    return np.full(8, number, np.float32)


def test_a_vector_is_found_by_its_space_and_its_text():
    cache = VectorCache()
    cache.put("one", "zebra", vector(1))
    cache.put("other", "zebra", vector(2))
    assert cache.get("one", "zebra").tolist() == vector(1).tolist()
    assert cache.get("other", "zebra").tolist() == vector(2).tolist()
    assert cache.get("one", "horse") is None


def test_the_one_that_was_not_asked_for_longest_goes_first():
    cache = VectorCache(most_bytes=1000)  # two
    for name in "ab":
        cache.put("s", name, vector(0))
    cache.get("s", "a")
    cache.put("s", "c", vector(0))
    assert [name for name in "abc" if cache.get("s", name) is not None] == ["a", "c"]


def test_what_is_larger_than_all_it_may_hold_is_not_kept():
    cache = VectorCache(most_bytes=1000)
    cache.put("s", "x" * 1000, vector(0))
    assert cache.get("s", "x" * 1000) is None
    cache.put("s", "small", vector(1))
    assert cache.get("s", "small") is not None


def test_a_row_is_remembered_without_its_batch():
    cache, batch = VectorCache(), np.ones((64, 8), np.float32)
    cache.put("s", "a", batch[3])
    assert cache.get("s", "a").base is None


def test_what_is_forgotten_leaves_room():
    cache = VectorCache(most_bytes=1000)
    cache.put("s", "a", vector(0))
    cache.clear()
    assert cache.get("s", "a") is None
    for name in "bc":
        cache.put("s", name, vector(0))
    assert cache.get("s", "b") is not None
