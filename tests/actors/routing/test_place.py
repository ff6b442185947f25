from collections import Counter

import pytest

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


@pytest.mark.parametrize("at", [["a", "b"] * 3, list("aaabbc"), list("aaaaab"), list("abcdef")])
@pytest.mark.parametrize("replication", [2, 3])
def test_replicas_of_a_shard_are_on_as_many_nodes_as_there_are(at, replication):
    hosts = [f"host-{n}" for n in range(6)]
    node_of = dict(zip(hosts, at, strict=True))
    places = placement("docs", 64, hosts, at)
    for candidates in places:
        nodes = {node_of[host] for host in candidates[:replication]}
        assert len(nodes) == min(replication, len(set(at)))
        assert sorted(candidates) == hosts
    firsts = [candidates[0] for candidates in placement("docs", 64, hosts)]
    assert [candidates[0] for candidates in places] == firsts


def test_hosts_on_one_node_are_asked_in_the_order_of_their_hashes():
    hosts = [f"host-{n}" for n in range(4)]
    assert placement("docs", 16, hosts, ["a"] * 4) == placement("docs", 16, hosts)


def test_a_node_that_joins_with_a_host_moves_few_replicas():
    hosts, at = [f"host-{n}" for n in range(4)], list("abcd")
    before = placement("docs", 64, hosts, at)
    after = placement("docs", 64, [*hosts, "host-4"], [*at, "e"])
    kept = [len(set(b[:2]) & set(a[:2])) for b, a in zip(before, after, strict=True)]
    assert sum(kept) > 2 * 64 * 0.6
    assert any("host-4" in candidates[:2] for candidates in after)


def test_paths_are_spread_over_shards():
    counts = Counter(shard_of(f"src/file{n}.py", 8) for n in range(8000))
    assert set(counts) == set(range(8))
    assert min(counts.values()) > 800
