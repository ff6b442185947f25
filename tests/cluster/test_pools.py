"""Pools of replicas: made when a collection needs them, shared, made again, ended when unused."""

import subprocess
import sys
import time

import psutil
import pytest
from own_gateway import LIAR, own_gateway
from tiny_onnx_model import write_model
from waiting import until

from actors.messages import POOL_LEASE_S
from cluster import daemon

KILL = """
import sys, ray
ray.init(address=sys.argv[1], namespace="shoal", log_to_driver=False)
ray.kill(ray.get_actor(sys.argv[2]), no_restart=True)
"""


@pytest.fixture(scope="module")
def top(tmp_path_factory):
    made = tmp_path_factory.mktemp("pools")
    (made / "docs").mkdir()
    (made / "docs" / "sea.md").write_text("parse json waves\n")
    write_model(made / "tiny")
    return made


@pytest.fixture(scope="module")
def own(top):
    with own_gateway(top / "root", PYTHONPATH=str(LIAR)) as shoal:
        yield shoal


@pytest.fixture(scope="module")
def tiny(own, top):
    """Two collections of one model; returns its name and when its pool was last asked for."""
    assert embedders(own) == {}
    for name in ("first", "second"):
        own.wait(own.index([top / "docs"], collection=name, model=str(top / "tiny")))
    own.search("wave", collections=["first", "second"])
    return f"onnx:{top / 'tiny' / 'model.onnx'}", time.monotonic()


def embedders(shoal):
    """Return the pid of each Embedder; 0 where it does not answer."""
    return {r.name: r.pid for r in shoal.status().replicas if r.name.startswith("embedder-")}


def kill_for_good(shoal, name):
    """End an actor in such a way that Ray does not restart it."""
    worker = psutil.Process(embedders(shoal)[name])
    family = daemon.find(shoal.settings).process.children(recursive=True)
    options = (option for process in family for option in process.cmdline())
    address = next(o for o in options if o.startswith("--gcs-address=")).partition("=")[2]
    env = {k: v for k, v in worker.environ().items() if k.startswith("RAY_AUTH")}
    command = [sys.executable, "-c", KILL, address, name]
    subprocess.run(command, env={"PATH": "", **env}, check=True, capture_output=True, timeout=60)


def test_collections_of_one_model_share_a_pool(own, tiny):
    assert len(embedders(own)) == 1
    (model,) = (m for m in own.models() if m.name == tiny[0])
    assert model.collections == ("first", "second")
    assert [r.replica for r in model.replicas] == list(embedders(own))


def test_a_replica_that_ray_gave_up_is_made_again(own, tiny):
    ((name, pid),) = embedders(own).items()
    kill_for_good(own, name)
    assert until(lambda: embedders(own)[name] not in {0, pid})


def test_another_model_gets_a_pool_of_its_own(own, top, tiny):
    before = embedders(own)
    own.wait(own.index([top / "docs"], collection="third"))
    assert len(embedders(own)) == 2
    assert before.items() <= embedders(own).items()


def test_pools_end_with_their_last_collection_and_not_while_a_job_runs(own, top, tiny):
    (pool,) = [r.replica for m in own.models() if m.name == tiny[0] for r in m.replicas]
    until(lambda: time.monotonic() > tiny[1] + POOL_LEASE_S)
    own.delete("first")
    assert pool in embedders(own)

    (top / "load-wait").touch()
    job = own.index([top / "docs"], collection="slow", model=f"lying:{top / 'load-wait'}")
    own.delete("second")
    assert own.job(job.id).state == "running"
    assert pool in embedders(own)
    (top / "proceed").touch()
    own.wait(job)
    others = set(embedders(own)) - {pool}
    until(lambda: pool not in embedders(own))
    assert set(embedders(own)) == others
    assert {c.name: c.coverage for c in own.search("wave").collections} == {
        "slow": 1.0,
        "third": 1.0,
    }
