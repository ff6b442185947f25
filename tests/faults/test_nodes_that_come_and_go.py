"""A cluster that nobody told how many actors to have: they follow its nodes, and nothing fails."""

import json
import time

import psutil
import pytest
from command import run_shoal
from own_gateway import own_gateway
from ray_cluster import ray_cluster
from steady_load import DOCUMENTS, steady_load, write_documents
from waiting import until

FULL_WITHIN_S = 10
SMALL = {"SHOAL_CONTROL_MEMORY": "300MiB", "SHOAL_SHARDS": "8"}


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A cluster of a head and two workers, and a client of a gateway that is attached."""
    top = tmp_path_factory.mktemp("nodes")
    write_documents(top / "docs")
    with (
        ray_cluster(workers=2) as cluster,
        own_gateway(top / "root", SHOAL_RAY_ADDRESS=cluster.address, **SMALL) as shoal,
    ):
        shoal.wait(shoal.index([top / "docs"], collection="docs"))
        yield cluster, shoal


def running(shoal, kind):
    """Return the actors of a kind that answer, by name."""
    return {r.name: r for r in shoal.status().replicas if r.kind == kind and r.pid}


def nodes_of(shoal, kind):
    return {r.node for r in running(shoal, kind).values()}


def head_of(shoal):
    return next(node.id for node in shoal.plan().nodes if node.is_head)


def test_hosts_and_replicas_are_on_workers_of_their_own_and_the_plan_says_why(own):
    _, shoal = own
    head = head_of(shoal)
    for kind in ("ShardHost", "Embedder"):
        assert len(running(shoal, kind)) == len(nodes_of(shoal, kind) - {head}) == 2
    plan = shoal.plan()
    assert all(actor.now == actor.node for actor in plan.actors)
    for node in plan.nodes:
        planned = sum(actor.limit_bytes for actor in plan.actors if actor.node == node.id)
        assert planned <= node.room_bytes <= 4 << 30
    limits = {actor.name: actor.limit_bytes for actor in plan.actors}
    assert {r.limit_bytes == limits[r.name] for r in running(shoal, "ShardHost").values()} == {True}
    root = ("--root", shoal.settings.root)
    assert json.loads(run_shoal("plan", "--json", *root).stdout) == plan.model_dump(mode="json")
    said = run_shoal("plan", *root).stdout
    assert "host-1" in said
    assert "of what the node has" in said
    assert "the head is kept for Ray" in said


@pytest.mark.timeout(300)
def test_a_node_that_joins_takes_shards_and_no_request_fails(own):
    cluster, shoal = own
    before = running(shoal, "ShardHost")
    with steady_load(shoal.settings.root, "docs", callers=2) as load:
        load.full_since(0)
        cluster.add()
        until(lambda: len(nodes_of(shoal, "ShardHost")) == 3)
        (new,) = running(shoal, "ShardHost").keys() - before.keys()
        until(lambda: running(shoal, "ShardHost")[new].detail["segments"])
        until(lambda: len(nodes_of(shoal, "Embedder")) == 3)
        load.full_since(time.monotonic())
    assert load.errors == []
    assert {answer.coverage for answer in load.answers} == {1.0}
    assert {len(answer.paths) for answer in load.answers} == {DOCUMENTS}
    after = running(shoal, "ShardHost")
    assert {name: after[name].pid for name in before} == {n: r.pid for n, r in before.items()}
    assert head_of(shoal) not in nodes_of(shoal, "ShardHost")


@pytest.mark.timeout(300)
def test_of_a_node_that_is_lost_every_shard_has_a_replica_elsewhere(own):
    cluster, shoal = own
    with steady_load(shoal.settings.root, "docs", callers=4) as load:
        load.full_since(0)
        lost = cluster.raylets[-1]
        cluster.begin_to_remove(len(cluster.raylets) - 1)
        removed_at = time.monotonic()
        assert load.full_since(removed_at) - removed_at < FULL_WITHIN_S
        cluster.removed()
        load.full_since(time.monotonic())
    assert not psutil.pid_exists(lost)
    assert load.errors == []
    assert {len(answer.paths) for answer in load.answers if answer.coverage == 1} == {DOCUMENTS}
