"""Sixteen callers search all the while, and one actor after the other is killed."""

import os
import signal
import time

import pytest
from own_gateway import own_gateway
from steady_load import DOCUMENTS, steady_load, write_documents
from waiting import until

FULL_WITHIN_S = 10
"""Of a kill, where another host has the shard too."""
TWO_OF_EACH = {
    "SHOAL_EMBEDDERS": "2",
    "SHOAL_HOSTS": "2",
    "SHOAL_REPLICATION": "2",
    "SHOAL_ROUTERS": "2",
    "SHOAL_HOST_MEMORY": "512MiB",
}


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    top = tmp_path_factory.mktemp("steady")
    write_documents(top / "docs")
    with own_gateway(top / "root", **TWO_OF_EACH) as shoal:
        shoal.wait(shoal.index([top / "docs"], collection="docs"))
        yield shoal


def kill_one(shoal, kind):
    """Kill an actor of a kind; return its name, its process and the moment."""
    victim = next(r for r in shoal.status().replicas if r.kind == kind)
    os.kill(victim.pid, signal.SIGKILL)
    return victim.name, victim.pid, time.monotonic()


def is_replaced(shoal, name, pid):
    return any(r.name == name and r.pid not in {0, pid} for r in shoal.status().replicas)


def test_with_two_of_each_no_request_fails_whatever_is_killed(own):
    with steady_load(own.settings.root, "docs") as load:
        load.full_since(0)
        for kind in ("Embedder", "ShardHost", "Router", "Steward"):
            name, pid, killed_at = kill_one(own, kind)
            assert load.full_since(killed_at) - killed_at < FULL_WITHIN_S
            until(lambda name=name, pid=pid: is_replaced(own, name, pid))
            load.full_since(time.monotonic())
    assert load.errors == []
    assert {len(answer.paths) for answer in load.answers if answer.coverage == 1} == {DOCUMENTS}


def test_with_one_host_for_each_shard_coverage_tells_the_truth_until_it_is_back(own):
    own.scale(replication=1)
    try:
        with steady_load(own.settings.root, "docs") as load:
            load.full_since(0)
            name, pid, killed_at = kill_one(own, "ShardHost")
            until(lambda: is_replaced(own, name, pid))
            load.full_since(killed_at)
    finally:
        own.scale(replication=2)
    assert load.errors == []
    for answer in load.answers:
        assert (len(answer.paths) == DOCUMENTS) == (answer.coverage == 1), answer
        assert (answer.problem == "") == (answer.coverage == 1), answer
