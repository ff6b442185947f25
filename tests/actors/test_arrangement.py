"""How actors come to their places: made, readied, asked, and only then is anybody ended."""

import threading

import pytest

from actors import arrangement
from actors.arrangement import Arrangement
from actors.errors import GatewayUnavailable, MemoryLimitExceeded
from actors.layout import Demand, Limits, Node, prefix_of
from actors.messages import AUTO, Scale
from actors.placement import lay_out

GIB = 1 << 30
FOLLOWS = Scale(embedders=AUTO, hosts=AUTO, replication=2, routers=2)


def node(name, is_head=False):
    return Node(name, name, is_head, 2, 8 * GIB, 8 * GIB, 0)


HEAD, A, B, C = node("head", is_head=True), node("a"), node("b"), node("c")


class Cluster:
    """Fleet, pools and machines of a cluster without any process; notes what is done."""

    def __init__(self):
        self.nodes = [HEAD]
        self.at = {}
        self.wanted = FOLLOWS
        self.meant = {}
        self.done = []
        self.fails = False

    def layout(self, pools, wanted=None):
        demand = Demand(wanted or self.wanted, Limits(GIB, GIB, GIB // 4), tuple(pools))
        return lay_out(self.nodes, demand, self.at)

    def missing(self, layout):
        return [place.name for place in layout.places if place.name not in self.at]

    def beyond(self, layout):
        return layout.left_over(self.at)

    def make(self, layout):
        self.at |= {name: layout.place(name).node for name in self.missing(layout)}

    def grow(self, layout):
        if missing := self.missing(layout):
            self.done.append(f"make {' '.join(missing)}")
        self.make(layout)
        if self.fails:
            raise GatewayUnavailable("it does not start")

    def warm(self, shards, within_s):
        self.done.append("warm")

    def arrange(self, layout):
        self.done.append(f"ask {' '.join(layout.topology.hosts)}")

    def forget(self, names):
        self.done.append(f"end {' '.join(names)}")
        self.at = {name: at for name, at in self.at.items() if name not in names}

    def adopt(self, names):
        self.done.append(f"adopt {' '.join(names)}")

    def hosts(self):
        return {name: at for name, at in self.at.items() if prefix_of(name) == "host"}


class NoPools:
    """The pools of a cluster that nobody asked for a vector yet."""

    def demands(self):
        return ()

    def needs(self, layout):
        return []

    missing = beyond = needs

    def grow(self, layout):
        pass

    take_over = grow

    def shrink(self, layout):
        return ()


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(arrangement.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def cluster(monkeypatch, clock):
    made = Cluster()
    monkeypatch.setattr(arrangement, "names_of_actors", lambda: list(made.at))
    monkeypatch.setattr(arrangement, "refuse_where_full", lambda places, layout: None)
    monkeypatch.setattr(arrangement, "end_actor", lambda name: None)
    monkeypatch.setattr(arrangement, "_GRACE_S", 0)
    return made


def arranged(cluster, *nodes):
    """Return the arrangement of a cluster of these nodes, once all is in its place."""
    cluster.nodes = list(nodes)
    made = Arrangement(cluster, NoPools(), cluster, list, lambda name: None, threading.Event())
    made.begin(FOLLOWS)
    made.take_over()
    cluster.done.clear()
    return made


def test_where_nothing_has_changed_nothing_is_done(cluster):
    made = arranged(cluster, HEAD, A, B)
    made.rebalance()
    assert cluster.done == []


def test_a_host_for_a_new_node_is_ready_before_it_is_asked_and_the_others_stay(cluster):
    made = arranged(cluster, HEAD, A, B)
    cluster.nodes.append(C)
    made.rebalance()
    assert cluster.done == ["make host-2", "warm", "ask host-0 host-1 host-2"]
    assert cluster.hosts() == {"host-0": "a", "host-1": "b", "host-2": "c"}
    assert made.layout.scale.hosts == 3


def test_a_host_leaves_the_head_once_another_is_asked_in_its_place(cluster):
    made = arranged(cluster, HEAD, A)
    on_head = next(name for name, at in cluster.hosts().items() if at == "head")
    other = ({"host-0", "host-1"} - {on_head}).pop()
    cluster.nodes.append(B)
    made.rebalance()
    assert cluster.done == ["make host-2", "warm", f"ask {other} host-2", f"end {on_head}"]
    assert set(cluster.hosts().values()) == {"a", "b"}


def test_of_a_node_that_is_lost_nobody_is_given_up_before_it_may_be_back(cluster, clock):
    made = arranged(cluster, HEAD, A, B, C)
    cluster.nodes.remove(C)
    cluster.at["host-2"] = "a"  # where Ray has started it again
    made.rebalance()
    assert len(cluster.hosts()) == 3
    assert not any(step.startswith("end") for step in cluster.done)
    clock[0] = 31.0
    made.rebalance()
    assert cluster.done[-2:] == ["ask host-0 host-1", "end host-2"]
    assert cluster.hosts() == {"host-0": "a", "host-1": "b"}


def test_what_does_not_start_is_ended_and_all_is_as_it_was(cluster):
    made = arranged(cluster, HEAD, A, B)
    before = made.layout
    cluster.nodes.append(C)
    cluster.fails = True
    with pytest.raises(GatewayUnavailable):
        made.rebalance()
    assert cluster.done == ["make host-2", "ask host-0 host-1", "end host-2"]
    assert made.layout == before


def test_a_host_that_ray_started_elsewhere_changes_who_serves_what(cluster):
    cluster.wanted = Scale(1, 4, 2, 2)
    made = arranged(cluster, HEAD, A, B)
    moved = next(name for name, at in cluster.hosts().items() if at == "a")
    other = next(name for name, at in cluster.hosts().items() if at == "b")
    cluster.at |= {moved: "b", other: "a"}
    made.rebalance()
    assert [step.split()[0] for step in cluster.done] == ["warm", "ask"]
    assert dict(zip(made.layout.topology.hosts, made.layout.topology.nodes, strict=True)) == (
        cluster.hosts()
    )


def test_more_than_the_nodes_have_room_for_is_refused_and_changes_nothing(cluster):
    made = arranged(cluster, HEAD, A, B)
    kept = []
    with pytest.raises(MemoryLimitExceeded, match="of host has no place: no node has room"):
        made.scale(lambda before: Scale(1, 256, 2, 2), kept.append)
    assert (kept, cluster.done, cluster.wanted) == ([], [], FOLLOWS)
    assert made.scale(lambda before: Scale(1, 4, 2, 2), kept.append).hosts == 4
    assert kept == [cluster.wanted] == [Scale(1, 4, 2, 2)]


def test_who_comes_after_a_steward_that_died_ends_what_it_left(cluster):
    made = arranged(cluster, HEAD, A, B)
    cluster.at |= {"host-7": "b", "router-9": "a"}
    made.take_over()
    assert cluster.done[0] == "adopt host-7 router-9"
    assert cluster.done[-2:] == ["ask host-0 host-1", "end host-7 router-9"]
