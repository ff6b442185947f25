"""Whatever dies is replaced; until then the answer is what came, and says so."""

import os
import signal
import threading

import pytest
from waiting import BOUND_S, until

from actors.errors import ShoalError
from cluster.client import ShoalClient


def replicas(shoal, kind):
    return [r for r in shoal.status().replicas if r.kind == kind]


@pytest.fixture
def indexed(shoal, folder):
    name = f"faults-{folder.parent.name[-30:]}".lower()
    shoal.wait(shoal.index([folder], collection=name))
    shoal.search("evict", collections=[name])
    return name


@pytest.mark.parametrize("kind", ["Embedder", "ShardHost", "Router", "Steward"])
def test_a_killed_actor_is_replaced_and_searches_go_on(shoal, indexed, kind):
    victim = replicas(shoal, kind)[0]
    os.kill(victim.pid, signal.SIGKILL)
    answer = shoal.search("evict", collections=[indexed])
    assert answer.hits[0].path == "src/cache.py"
    assert answer.coverage == 1.0
    until(
        lambda: [r for r in replicas(shoal, kind) if r.name == victim.name and r.pid != victim.pid]
    )


def test_searches_under_way_survive_a_killed_host(shoal, gateway, indexed):
    """Eight callers search while a host dies: every search is answered, with truthful coverage."""
    stop, answers, errors = threading.Event(), [], []

    def caller():
        with ShoalClient(root=gateway.root) as own:
            while not stop.is_set():
                try:
                    answers.append(own.search("evict", collections=[indexed]).coverage)
                except ShoalError as error:
                    errors.append(error)

    callers = [threading.Thread(target=caller) for _ in range(8)]
    for thread in callers:
        thread.start()
    until(lambda: len(answers) > 50)
    os.kill(replicas(shoal, "ShardHost")[0].pid, signal.SIGKILL)
    seen = len(answers)
    until(lambda: len(answers) > seen + 200)
    stop.set()
    for thread in callers:
        thread.join(BOUND_S)
    assert not errors
    assert answers[-1] == 1.0


def test_a_killed_embedder_in_mid_job_costs_no_document(shoal, tmp_path):
    top = tmp_path / "many"
    top.mkdir()
    for n in range(3000):
        (top / f"f{n}.md").write_text(f"# Title {n}\n" + f"word{n} common text\n" * 30)
    job = shoal.index([top], collection="mid-job")
    until(lambda: shoal.job(job.id).files_done > 300)
    os.kill(replicas(shoal, "Embedder")[0].pid, signal.SIGKILL)
    job = shoal.wait(job)
    assert (job.state, job.files_done) == ("done", 3000)
    found = shoal.search("word2999", mode="lexical", collections=["mid-job"])
    assert [hit.path for hit in found.hits] == ["f2999.md"]


def test_a_host_that_does_not_come_back_in_time_is_left_out_and_named(shoal, indexed):
    """Both hosts are stopped, not dead: calls to them hang until the deadline."""
    hosts = replicas(shoal, "ShardHost")
    for host in hosts:
        os.kill(host.pid, signal.SIGSTOP)
    try:
        answer = shoal.search("evict", collections=[indexed], deadline_s=1)
    finally:
        for host in hosts:
            os.kill(host.pid, signal.SIGCONT)
    assert answer.hits == ()
    assert answer.coverage == 0.0
    assert "did not answer in time" in answer.collections[0].problem
    assert shoal.search("evict", collections=[indexed]).coverage == 1.0
