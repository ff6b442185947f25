from collections import Counter

from actors.routing.place import placement, shard_of


def test_every_shard_has_every_host_as_a_candidate_once():
    hosts = ["a", "b", "c"]
    for candidates in placement("docs", 8, hosts):
        assert sorted(candidates) == hosts


def test_first_choices_are_spread_evenly():
    for collection in map(str, range(50)):
        firsts = Counter(candidates[0] for candidates in placement(collection, 2, ["a", "b"]))
        assert firsts == {"a": 1, "b": 1}


def test_a_host_that_joins_takes_shards_and_moves_few_others():
    hosts = [f"host-{n}" for n in range(8)]
    before = placement("docs", 64, hosts)
    after = placement("docs", 64, [*hosts, "host-8"])
    moved = [a[0] for b, a in zip(before, after, strict=True) if a[0] != b[0]]
    assert 0 < len(moved) < 32


def test_paths_are_spread_over_shards():
    counts = Counter(shard_of(f"src/file{n}.py", 8) for n in range(8000))
    assert set(counts) == set(range(8))
    assert min(counts.values()) > 800
