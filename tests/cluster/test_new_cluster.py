"""A new cluster whose nodes join one after the other."""

import pytest

from cluster import session


@pytest.fixture
def cluster(monkeypatch):
    """Let a node join at each look; set which actors there are."""
    joined = []

    def living():
        joined.append(f"node-{len(joined)}")
        return dict.fromkeys(joined, "10.0.0.1")

    actors = {}
    monkeypatch.setattr(session, "living_nodes", living)
    monkeypatch.setattr(session, "find_actor", actors.get)
    monkeypatch.setattr(session, "_PAUSE_S", 0)
    return actors


def test_it_says_how_many_have_joined_until_all_have(cluster):
    said = []
    session.wait_for_nodes(3, said.append)
    assert said == [
        "waiting for nodes: 1 of 3 have joined",
        "waiting for nodes: 2 of 3 have joined",
    ]


def test_nodes_that_do_not_come_are_given_up(cluster, monkeypatch, caplog):
    monkeypatch.setattr(session, "_JOINED_S", -1)
    session.wait_for_nodes(100, lambda _: None)
    assert "only 1 of 100 nodes have joined" in caplog.text


def test_a_cluster_that_serves_already_is_waited_for_no_more(cluster):
    cluster[session.STEWARD] = object()
    said = []
    session.wait_for_nodes(100, said.append)
    assert said == []
