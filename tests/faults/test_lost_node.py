"""A Ray cluster of three machines: gateways come and go, and one machine is lost."""

import time

import psutil
import pytest
from own_gateway import own_gateway
from ray_cluster import ray_cluster
from steady_load import DOCUMENTS, steady_load, write_documents
from waiting import until

from cluster import daemon

FULL_WITHIN_S = 10


def actors_below(shoal, raylet):
    """Return the actors of a kind each that run on a node, by name."""
    below = {child.pid for child in psutil.Process(raylet).children(recursive=True)}
    return {r.name: r.kind for r in shoal.status().replicas if r.pid in below}


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """A cluster of a head and two workers, and a client of a gateway that is attached."""
    top = tmp_path_factory.mktemp("three")
    write_documents(top / "docs")
    two = {f"SHOAL_{kind}": "2" for kind in ("HOSTS", "ROUTERS", "EMBEDDERS")}
    limits = {f"SHOAL_{kind}_MEMORY": "512MiB" for kind in ("HOST", "CONTROL", "EMBEDDER")}
    with (
        ray_cluster(workers=2) as cluster,
        own_gateway(top / "root", SHOAL_RAY_ADDRESS=cluster.address, **two, **limits) as shoal,
    ):
        shoal.wait(shoal.index([top / "docs"], collection="docs"))
        yield cluster, shoal


@pytest.mark.timeout(300)
def test_a_gateway_that_starts_again_finds_the_actors_of_the_scale_that_was_asked_for(three):
    _, shoal = three
    assert shoal.scale(hosts=3).hosts == 3
    before = {r.name: r.pid for r in shoal.status().replicas}
    shoal.close()
    assert daemon.stop(shoal.settings)
    assert shoal.search("zebra").coverage == 1.0
    assert {r.name: r.pid for r in shoal.status().replicas} == before


def test_every_node_is_examined_by_a_task_of_its_own(three):
    _, shoal = three
    found = shoal.doctor()
    assert [c for c in found.checks if c.severity == "error"] == []
    for area in ("storage", "ports", "enforcement", "limits"):
        told = [c for c in found.checks if c.area == area and c.where not in ("cluster", "gateway")]
        assert len({c.where for c in told}) in {1, 3}  # simulated nodes share an address
        assert len(told) >= 3, area


@pytest.mark.timeout(300)
def test_the_actors_of_a_lost_node_start_on_another_and_no_request_fails(three):
    cluster, shoal = three
    with steady_load(shoal.settings.root, "docs", callers=8) as load:
        load.full_since(0)
        there = {n: actors_below(shoal, raylet) for n, raylet in enumerate(cluster.raylets)}
        victim = next(n for n, kinds in there.items() if "ShardHost" in kinds.values())
        cluster.begin_to_remove(victim)
        removed_at = time.monotonic()
        assert load.full_since(removed_at) - removed_at < FULL_WITHIN_S
        cluster.removed()
        until(lambda: {r.name for r in shoal.status().replicas if r.pid} >= set(there[victim]))
        load.full_since(time.monotonic())
    assert not psutil.pid_exists(cluster.raylets[victim])
    until(lambda: shoal.status().nodes == 2)  # Ray takes its time to say so
    assert load.errors == []
    assert {len(answer.paths) for answer in load.answers if answer.coverage == 1} == {DOCUMENTS}
