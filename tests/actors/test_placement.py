"""Who runs where: within each node's memory, replicas apart, the head left alone, few moves."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.layout import ROLE, Demand, Limits, Node, PoolDemand
from actors.messages import AUTO, Scale
from actors.placement import lay_out

MIB, GIB = 1 << 20, 1 << 30
AS_MACHINES_ALLOW = Scale(embedders=AUTO, hosts=AUTO, replication=2, routers=AUTO)
LIMITS = Limits(host=4 * GIB, embedder=8 * GIB, control=512 * MIB)
BUILTIN = PoolDemand("embedder-aa", "static:builtin", 512 * MIB)
ON_GPUS = PoolDemand("embedder-bb", "vllm:/models/bge-m3", 4 * GIB, takes_gpus=True)


def node(name, gib=16, cpus=4, **more):
    total = gib * GIB
    return Node(name, f"10.0.0.{name}", False, cpus, total, total, 256 * MIB, **more)


def head(gib=16, cpus=0):
    return replace(node("head", gib, cpus), is_head=True)


def demand(scale=AS_MACHINES_ALLOW, limits=LIMITS, pools=(BUILTIN,), **more):
    return Demand(scale, limits, pools, **more)


def placed(layout):
    return {place.name: place.node for place in layout.places}


def by_node(layout, kind):
    return Counter(place.node for place in layout.places if place.kind == kind)


SIZES = st.tuples(st.integers(0, 64), st.sampled_from([0, 2, 8, 32]), st.sampled_from([0, 1, 4]))
CLUSTERS = st.lists(SIZES, min_size=2, max_size=6).map(
    lambda sizes: [
        head(sizes[0][0], sizes[0][1]),
        *(node(str(n), *size[:2], gpus=size[2]) for n, size in enumerate(sizes[1:])),
    ]
)
COUNTS = st.sampled_from([AUTO, 1, 2, 3, 7])
SCALES = st.builds(Scale, COUNTS, COUNTS, st.integers(1, 4), COUNTS)
DEMANDS = st.builds(
    Demand,
    SCALES,
    st.builds(
        Limits,
        st.sampled_from([300 * MIB, 4 * GIB]),
        st.sampled_from([512 * MIB, 8 * GIB]),
        st.sampled_from([256 * MIB, 512 * MIB]),
        st.sampled_from([frozenset(), frozenset({"host"}), frozenset({"host", "embedder"})]),
    ),
    st.sampled_from([(), (BUILTIN,), (BUILTIN, ON_GPUS)]),
    st.sampled_from([None, 0.5, 1.0]),
)


@given(CLUSTERS, DEMANDS)
def test_no_node_is_given_more_than_its_actors_may_hold(nodes, wanted):
    layout = lay_out(nodes, wanted, {"steward": "head"})
    held = Counter({"head": wanted.limits.control})
    gpus = Counter()
    for place in layout.places:
        held[place.node] += place.limit_bytes
        gpus[place.node] += place.gpus
    for machine in nodes:
        least = wanted.limits.control if machine.is_head else 0
        assert held[machine.id] <= max(machine.room, least)
        assert machine.room <= machine.total * 3 // 4
        assert gpus[machine.id] <= machine.gpus


@given(CLUSTERS, DEMANDS)
def test_who_has_a_place_keeps_it(nodes, wanted):
    first = lay_out(nodes, wanted, {"steward": "head"})
    again = lay_out(nodes, wanted, {"steward": "head", **placed(first)})
    assert placed(again) == placed(first)
    assert again.scale == first.scale


@given(st.integers(1, 6), st.integers(1, 4), st.sampled_from([AUTO, 1, 2, 5, 12]))
def test_hosts_are_on_as_many_nodes_as_a_shard_has_replicas_and_off_the_head(
    workers, replication, hosts
):
    nodes = [head(), *(node(str(n)) for n in range(workers))]
    scale = replace(AS_MACHINES_ALLOW, replication=replication, hosts=hosts)
    layout = lay_out(nodes, demand(scale), {"steward": "head"})
    count = layout.scale.hosts
    assert len(by_node(layout, "host")) >= min(replication, count, workers + 1)
    if workers >= replication:
        assert "head" not in by_node(layout, "host") | by_node(layout, "embedder")
    spread = by_node(layout, "host").values()
    assert max(spread) - min(spread) <= 1


@given(st.integers(2, 6), st.sampled_from([AUTO, 2, 5, 12]))
def test_a_node_that_joins_moves_no_more_than_its_share(workers, hosts):
    nodes = [head(), *(node(str(n)) for n in range(workers))]
    wanted = demand(replace(AS_MACHINES_ALLOW, hosts=hosts))
    before = placed(lay_out(nodes, wanted, {"steward": "head"}))
    layout = lay_out([*nodes, node("new")], wanted, {"steward": "head", **before})
    after = placed(layout)
    hosts_before = {name: at for name, at in before.items() if name.startswith("host")}
    gone = [name for name, at in hosts_before.items() if after.get(name) != at]
    come = [name for name, at in after.items() if name.startswith("host") and name not in before]
    assert {after[name] for name in come} <= {"new"}
    assert len(gone) <= by_node(layout, "host")["new"] == len(come)


def test_a_single_machine_has_what_the_settings_say():
    layout = lay_out([head()], demand(), {})
    assert layout.scale == Scale(embedders=1, hosts=2, replication=2, routers=1)
    assert [place.name for place in layout.places] == [
        "host-0",
        "host-1",
        "router-0",
        "embedder-aa-0",
    ]
    limits = {place.name: place.limit_bytes for place in layout.places}
    assert (limits["host-0"], limits["router-0"]) == (4 * GIB, 512 * MIB)
    assert layout.topology.nodes == ()
    assert not any(place.follows_node for place in layout.places)


def test_every_worker_has_a_host_and_a_replica_of_each_model():
    layout = lay_out([head(), node("a"), node("b"), node("c", cpus=16)], demand(), {})
    assert by_node(layout, "host") == {"a": 1, "b": 1, "c": 2}
    assert by_node(layout, "embedder") == {"a": 1, "b": 1, "c": 1}
    assert layout.scale == Scale(embedders=3, hosts=4, replication=2, routers=2)
    limits = {place.node: place.limit_bytes for place in layout.places if place.kind == "host"}
    half = (12 * GIB - 512 * MIB) // 2
    assert limits == {"a": half, "b": half, "c": half // 2}
    reasons = {place.reason for place in layout.places if place.node == "a"}
    assert any(f"{half // MIB} MiB of what the node has" in reason for reason in reasons)
    assert layout.notes == (
        "10.0.0.head (head) has no actor: the head is kept for Ray, the steward and the gateway "
        "while workers have room",
    )


def test_the_head_helps_out_while_there_are_fewer_workers_than_replicas_of_a_shard():
    alone = lay_out([head(), node("a")], demand(), {"steward": "head"})
    assert by_node(alone, "host") == {"a": 1, "head": 1}
    assert any("on the head, as workers are too few" in place.reason for place in alone.places)
    two = lay_out([head(), node("a"), node("b")], demand(), placed(alone))
    assert by_node(two, "host") == {"a": 1, "b": 1}
    assert placed(two)["host-0" if placed(alone)["host-0"] == "a" else "host-1"] == "a"


def test_what_no_node_has_room_for_is_told_and_not_made():
    scale = replace(AS_MACHINES_ALLOW, hosts=9)
    limits = replace(LIMITS, chosen=frozenset({"host"}))
    layout = lay_out([head(8), node("a"), node("b")], demand(scale, limits), {})
    assert by_node(layout, "host") == {"a": 2, "b": 2, "head": 1}
    assert layout.scale.hosts == 5
    assert layout.notes[0].startswith("4 of host has no place: no node has room for 4096 MiB more")


def test_where_no_node_has_room_yet_hosts_wait_for_one_under_the_names_that_they_keep():
    layout = lay_out([head(0), node("a", 0)], demand(), {"steward": "head"})
    waiting = {"host-0": "", "host-1": "", "router-0": ""}
    assert placed(layout) == waiting
    later = lay_out([head(0), node("a"), node("b")], demand(), waiting)
    assert {later.place("host-0").node, later.place("host-1").node} == {"a", "b"}


def test_replicas_that_can_use_gpus_have_them():
    nodes = [head(), node("a"), node("b"), node("g", 64, gpus=2.0)]
    layout = lay_out(nodes, demand(pools=(BUILTIN, ON_GPUS)), {})
    at = [(p.node, p.gpus) for p in layout.replicas("embedder-bb")]
    assert at == [("g", 1.0), ("g", 1.0)]
    assert {p.gpus for p in layout.replicas("embedder-aa")} == {0.0}
    shared = lay_out(nodes, demand(pools=(ON_GPUS,), gpus=0.5), {})
    assert len(shared.replicas("embedder-bb")) == 4


def test_a_replica_that_is_to_have_a_gpu_waits_for_a_node_with_one():
    nodes = [head(), node("a"), node("b")]
    layout = lay_out(nodes, demand(pools=(ON_GPUS,), gpus=1.0), {})
    (waiting,) = layout.replicas("embedder-bb")
    assert (waiting.node, waiting.gpus) == ("", 1.0)
    assert "waits for a node" in waiting.reason
    without = lay_out(nodes, demand(pools=(ON_GPUS,)), {})
    assert {p.gpus for p in without.replicas("embedder-bb")} == {0.0}


@pytest.mark.parametrize(
    ("role", "kinds"),
    [
        ("hosts", {"host", "router"}),
        ("embedders", {"embedder"}),
        ("batch", set()),
        ("", {"host", "router", "embedder"}),
    ],
)
def test_a_label_keeps_a_node_for_one_thing(role, kinds):
    labelled = [node(f"l{n}", labels={ROLE: role} if role else {}) for n in range(3)]
    layout = lay_out([head(), node("a"), node("b"), *labelled], demand(), {})
    routers = {place.node for place in layout.places if place.kind == "router"}
    found = {place.kind for place in layout.places if place.node.startswith("l")}
    assert found - {"router"} == kinds - {"router"}
    if "router" not in kinds:
        assert not any(at.startswith("l") for at in routers)


def test_of_a_node_that_is_lost_hosts_keep_their_names_until_others_have_the_places():
    nodes = [head(), node("a"), node("b"), node("c")]
    now = placed(lay_out(nodes, demand(), {}))
    lost = next(name for name, at in now.items() if name.startswith("host") and at == "c")
    restarted = {name: "" if at == "c" else at for name, at in now.items()}
    layout = lay_out(nodes[:3], demand(), restarted)
    assert by_node(layout, "host") == {"a": 1, "b": 1}
    assert lost not in placed(layout)
    assert lay_out([*nodes[:3], node("d")], demand(), restarted).place(lost).node == "d"
