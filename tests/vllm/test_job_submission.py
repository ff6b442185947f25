"""`ray job submit` of a batch job, for real.

It needs Ray's dashboard, whose packages vLLM needs as well: so it is tested in this environment.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from heads import UNLOCKED, Head
from own_gateway import own_gateway

RAY = Path(sys.executable).with_name("ray")
SUBMIT_S = 300
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    made = Head(tmp_path_factory.mktemp("h"), dashboard=True)
    made.start()
    yield made
    made.kill()


@pytest.fixture(scope="module")
def shoal(head, tmp_path_factory):
    limits = {"SHOAL_HOST_MEMORY": "400MiB", "SHOAL_CONTROL_MEMORY": "400MiB"}
    limits["SHOAL_EMBEDDER_MEMORY"] = "600MiB"
    root = tmp_path_factory.mktemp("cluster") / "root"
    with own_gateway(root, SHOAL_RAY_ADDRESS=head.address, **limits, **UNLOCKED) as client:
        yield client


@pytest.fixture
def submitted(head):
    """Submit the program with options, and return how it ended."""

    def run(*options):
        job = [sys.executable, "-m", "cluster.reindex", *options]
        return subprocess.run(
            [RAY, "job", "submit", "--address", head.dashboard, "--", *job],
            capture_output=True,
            text=True,
            check=False,
            timeout=SUBMIT_S,
            env={**os.environ, **UNLOCKED},
        )

    return run


def test_it_publishes_and_its_log_tells_how_far_it_is(shoal, submitted, tmp_path):
    (tmp_path / "a.md").write_text("# Harbour master\n")
    done = submitted(str(tmp_path), "--collection", "harbour")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "done: generation 1" in done.stdout
    assert "succeeded" in done.stdout
    assert shoal.search("harbour master").hits[0].path == "a.md"
    assert shoal.jobs()[0].state == "done"


def test_one_that_cannot_be_started_fails_and_says_why(shoal, submitted):
    done = submitted("--collection", "nowhere")
    assert done.returncode != 0
    assert "no collection 'nowhere'" in done.stdout + done.stderr
