"""A batch job that is started on a machine of the cluster, past the gateway, as Ray's jobs are."""

import os
import signal
import subprocess
import sys

import pytest
from heads import UNLOCKED, Head
from own_gateway import own_gateway
from waiting import until

JOB_S = 180
pytestmark = pytest.mark.timeout(600)
"""Processes start time and again, which a busy machine takes minutes for."""


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    made = Head(tmp_path_factory.mktemp("h"))
    made.start()
    yield made
    made.kill()


@pytest.fixture(scope="module")
def shoal(head, tmp_path_factory):
    settings = {"SHOAL_RAY_ADDRESS": head.address, "SHOAL_EMBEDDER_MEMORY": "600MiB"}
    limits = {"SHOAL_HOST_MEMORY": "400MiB", "SHOAL_CONTROL_MEMORY": "300MiB"}
    root = tmp_path_factory.mktemp("cluster") / "root"
    with own_gateway(root, **settings, **limits, **UNLOCKED) as client:
        yield client


@pytest.fixture
def job(head):
    """Start the program as `ray job submit` does, with options."""

    def started(*options):
        command = [sys.executable, "-m", "cluster.reindex", *options]
        env = {**os.environ, "RAY_ADDRESS": head.address, **UNLOCKED}
        return subprocess.Popen(
            command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    return started


def test_it_tells_how_far_it_is_and_ends_with_the_job(shoal, job, tmp_path):
    (tmp_path / "a.md").write_text("# Harbour master\n")
    with job(str(tmp_path), "--collection", "harbour") as started:
        out, err = started.communicate(timeout=JOB_S)
    assert (started.returncode, err) == (0, "")
    assert out.splitlines()[-1] == "done: generation 1"
    assert shoal.search("harbour master").hits[0].path == "a.md"
    assert shoal.jobs()[0].kind == "reindex"


def test_one_that_cannot_be_started_says_why(shoal, job):
    with job("--collection", "nowhere") as started:
        _, err = started.communicate(timeout=JOB_S)
    assert started.returncode == 1
    assert err.startswith("error: no collection 'nowhere'")


def test_its_end_is_the_jobs_end(shoal, job, tmp_path):
    (tmp_path / "b.md").write_text("# Breakwater\n")
    with job(str(tmp_path), "--collection", "breakwater") as started:
        until(lambda: shoal.jobs()[0].collection == "breakwater", JOB_S)
        started.send_signal(signal.SIGTERM)
        started.communicate(timeout=JOB_S)
    assert started.returncode == 128 + signal.SIGTERM
    ended = until(lambda: (now := shoal.jobs()[0]).state != "running" and now, JOB_S)
    assert ended.state == "cancelled"
    assert not [c for c in shoal.collections() if c.name == "breakwater"]
