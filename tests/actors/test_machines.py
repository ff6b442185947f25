"""What Ray tells of nodes and actors, as places are found by it."""

import pytest

from actors import machines
from actors.errors import MemoryLimitExceeded
from actors.layout import Limits
from actors.machines import Machines, placed_at, refuse_where_full
from actors.messages import AUTO, Scale

GIB = 1 << 30
HEAD, A, LABELLED, GONE = (digit * 56 for digit in "0abc")
FOLLOWS = Scale(embedders=AUTO, hosts=AUTO, replication=2, routers=AUTO)


def told(name, head=False, alive=True, gpus=0):
    """Return what `ray.nodes()` says of a node; of one that is gone, no resources."""
    resources = {"CPU": 2.0, "memory": 6.0 * GIB, "object_store_memory": 1.0 * GIB}
    resources |= {"node:__internal_head__": 1.0} if head else {}
    resources |= {"GPU": gpus} if gpus else {}
    labels = {"ray.io/node-id": name, "shoal-role": "hosts"}
    return {
        "NodeID": name,
        "NodeManagerAddress": "10.0.0.1",
        "Alive": alive,
        "Resources": resources if alive else {},
        "Labels": labels if name == LABELLED else {},
    }


@pytest.fixture
def cluster(monkeypatch):
    """Nodes and actors that may be changed."""
    nodes = [told(HEAD, head=True), told(A), told(LABELLED), told(GONE, alive=False)]
    actors = {}
    monkeypatch.setattr(machines.ray, "nodes", lambda: nodes)
    monkeypatch.setattr(machines, "nodes_of_actors", lambda: dict(actors))
    monkeypatch.setattr(Machines, "_measure", lambda self, new: self._totals.update(totals))
    totals = {HEAD: 8 * GIB, A: 8 * GIB}
    return nodes, actors


def layout():
    return Machines(FOLLOWS, Limits(GIB, GIB, GIB // 2), None, "steward", 16 * GIB).layout(())


def test_nodes_are_those_that_live_with_what_ray_and_they_say(cluster):
    found = {node.id: node for node in layout().nodes}
    assert found.keys() == {HEAD, A, LABELLED}
    assert [node.id for node in found.values() if node.is_head] == [HEAD]
    assert (found[A].memory, found[A].total, found[A].object_store) == (
        6 * GIB,
        8 * GIB,
        GIB,
    )
    assert found[A].room == 6 * GIB - GIB + GIB // 4  # of the store, a quarter is in the reserve
    assert found[LABELLED].labels == {"shoal-role": "hosts"}


def test_a_node_that_did_not_say_how_large_it_is_counts_as_what_ray_gives_away(cluster):
    found = {node.id: node for node in layout().nodes}
    assert found[LABELLED].total == 7 * GIB
    assert found[LABELLED].room < found[A].room


def test_a_single_machine_is_as_large_as_it_was_before_the_steward_was_limited(cluster):
    nodes, _ = cluster
    nodes[:] = [told(HEAD, head=True)]
    (machine,) = layout().nodes
    assert machine.total == 16 * GIB


def test_an_actor_that_starts_is_where_it_was_meant_to_be(cluster):
    _, actors = cluster
    actors |= {"host-0": "", "host-1": ""}
    known = Machines(FOLLOWS, Limits(GIB, GIB, GIB // 2), None, "steward", 16 * GIB)
    known.meant = {"host-0": LABELLED, "host-1": A}
    found = known.layout(())
    assert {place.name: place.node for place in found.places if place.kind == "host"} == known.meant


def test_an_actor_may_start_again_elsewhere_where_its_node_is_gone(cluster):
    found = layout()
    strategy = placed_at(found.place("host-0"), found)["scheduling_strategy"]
    assert (strategy.node_id, strategy.soft) == (found.place("host-0").node, True)
    assert placed_at(None, found) == {"scheduling_strategy": "SPREAD"}


def test_on_a_single_machine_ray_finds_the_place_as_ever(cluster):
    nodes, _ = cluster
    nodes[:] = [told(HEAD, head=True)]
    found = layout()
    assert placed_at(found.place("host-0"), found) == {"scheduling_strategy": "SPREAD"}


def test_an_actor_is_not_left_waiting_for_memory_that_a_job_holds(cluster, monkeypatch):
    found = layout()
    place = found.place("host-0")
    free = {place.node: place.limit_bytes}
    monkeypatch.setattr(machines, "memory_free_by_node", lambda: dict(free))
    refuse_where_full([place], found)
    free[place.node] -= 1
    with pytest.raises(MemoryLimitExceeded, match=f"host-0 may hold .* node {place.node[:8]} "):
        refuse_where_full([place], found)
