"""A Ray cluster of three machines: gateways come and go, and one machine is lost."""

import os
import subprocess
import sys
import time
from contextlib import contextmanager

import psutil
import pytest
from own_gateway import own_gateway
from steady_load import DOCUMENTS, steady_load, write_documents
from waiting import until

from cluster import daemon

CLUSTER = """
import sys
from ray.cluster_utils import Cluster

size = {"num_cpus": 1, "memory": 4 << 30, "object_store_memory": 80 << 20}
cluster = Cluster(initialize_head=True, head_node_args={**size, "include_dashboard": False})
workers = [cluster.add_node(**size) for _ in range(2)]
raylets = [worker.all_processes["raylet"][0].process.pid for worker in workers]
print(cluster.address, *raylets, flush=True)
cluster.remove_node(workers[int(sys.stdin.readline())], allow_graceful=False)
print("removed", flush=True)
sys.stdin.readline()
cluster.shutdown()
"""
FULL_WITHIN_S = 10


@contextmanager
def cluster_of_three():
    """Yield a Ray cluster's process, its address and the raylets of its two workers."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-W", "ignore", "-c", CLUSTER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"},
    )
    with process:
        try:
            line = ""
            while "." not in line:  # Ray may say something of its own before
                line = process.stdout.readline()
                assert line, "the cluster did not start"
            address, *raylets = line.split()
            yield process, address, [int(raylet) for raylet in raylets]
        finally:
            process.stdin.close()
            process.wait(60)


def actors_below(shoal, raylet):
    """Return the actors of a kind each that run on a node, by name."""
    below = {child.pid for child in psutil.Process(raylet).children(recursive=True)}
    return {r.name: r.kind for r in shoal.status().replicas if r.pid in below}


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """A cluster's process, its workers' raylets, and a client of a gateway that is attached."""
    top = tmp_path_factory.mktemp("three")
    write_documents(top / "docs")
    two = {f"SHOAL_{kind}": "2" for kind in ("HOSTS", "ROUTERS", "EMBEDDERS")}
    limits = {f"SHOAL_{kind}_MEMORY": "512MiB" for kind in ("HOST", "CONTROL", "EMBEDDER")}
    with (
        cluster_of_three() as (cluster, address, raylets),
        own_gateway(top / "root", SHOAL_RAY_ADDRESS=address, **two, **limits) as shoal,
    ):
        shoal.wait(shoal.index([top / "docs"], collection="docs"))
        yield cluster, raylets, shoal


@pytest.mark.timeout(300)
def test_a_gateway_that_starts_again_finds_the_actors_of_the_scale_that_was_asked_for(three):
    _, _, shoal = three
    assert shoal.scale(hosts=3).hosts == 3
    before = {r.name: r.pid for r in shoal.status().replicas}
    shoal.close()
    assert daemon.stop(shoal.settings)
    assert shoal.search("zebra").coverage == 1.0
    assert {r.name: r.pid for r in shoal.status().replicas} == before


def test_every_node_is_examined_by_a_task_of_its_own(three):
    _, _, shoal = three
    found = shoal.doctor()
    assert [c for c in found.checks if c.severity == "error"] == []
    for area in ("storage", "ports", "enforcement", "limits"):
        told = [c for c in found.checks if c.area == area and c.where not in ("cluster", "gateway")]
        assert len({c.where for c in told}) in {1, 3}  # simulated nodes share an address
        assert len(told) >= 3, area


@pytest.mark.timeout(300)
def test_the_actors_of_a_lost_node_start_on_another_and_no_request_fails(three):
    cluster, raylets, shoal = three
    with steady_load(shoal.settings.root, "docs", callers=8) as load:
        load.full_since(0)
        there = {n: actors_below(shoal, raylet) for n, raylet in enumerate(raylets)}
        victim = next(n for n, kinds in there.items() if "ShardHost" in kinds.values())
        cluster.stdin.write(f"{victim}\n")
        cluster.stdin.flush()
        removed_at = time.monotonic()
        assert load.full_since(removed_at) - removed_at < FULL_WITHIN_S
        assert cluster.stdout.readline() == "removed\n"
        until(lambda: {r.name for r in shoal.status().replicas if r.pid} >= set(there[victim]))
        load.full_since(time.monotonic())
    assert not psutil.pid_exists(raylets[victim])
    until(lambda: shoal.status().nodes == 2)  # Ray takes its time to say so
    assert load.errors == []
    assert {len(answer.paths) for answer in load.answers if answer.coverage == 1} == {DOCUMENTS}
