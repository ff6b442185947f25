"""Jobs are things: they are followed and cancelled, and outlive the gateway that ran them."""

import contextlib
import json
import os
import signal

import pytest
from command import run_shoal
from own_gateway import LIAR, own_gateway
from waiting import runs, until

from actors.errors import GatewayUnavailable, ShoalError
from actors.storage import Storage
from cluster import daemon

HOUR = 3600
pytestmark = pytest.mark.timeout(600)
"""Processes start time and again, which a busy machine takes minutes for."""


@pytest.fixture(scope="module")
def top(tmp_path_factory):
    made = tmp_path_factory.mktemp("jobs")
    (made / "pond").mkdir()
    (made / "pond" / "frog.md").write_text("# Frog\n\nzebra frogs sit in ponds\n")
    return made


@pytest.fixture(scope="module")
def own(top):
    with own_gateway(top / "root", PYTHONPATH=str(LIAR)) as shoal:
        yield shoal


@pytest.fixture
def held(own, tmp_path):
    """A job that waits for its model, over a collection of one document that is published."""
    docs, name = tmp_path / "docs", tmp_path.name.lower()
    docs.mkdir()
    (docs / "toad.md").write_text("zebra toads\n")
    (tmp_path / "embed-wait").touch()
    model = f"lying:{tmp_path / 'embed-wait'}"
    own.wait(own.index([docs], collection=name, model=model))
    (docs / "newt.md").write_text("wait\n")
    job = own.index([docs], collection=name)
    until((tmp_path / "waiting").exists)
    assert found(own, name) == (["toad.md"], 1)
    yield job
    (tmp_path / "proceed").touch()


def found(shoal, collection):
    """Return the paths that a search finds, and the generation it searched."""
    words = "zebra wait"
    answer = shoal.search(words, mode="lexical", collections=[collection])
    return [hit.path for hit in answer.hits], answer.collections[0].generation


def run(shoal, *args):
    return run_shoal(*args, "--root", shoal.settings.root)


def test_a_cancelled_job_leaves_its_collection_as_it_was(own, held):
    job = own.cancel(held.id)
    assert (job.state, job.phase, job.kind) == ("cancelled", "reading and embedding", "index")
    assert own.job(held.id) == own.cancel(held.id) == job
    assert found(own, held.collection) == (["toad.md"], 1)
    with pytest.raises(ShoalError, match=r"was cancelled; collection .* is as it was"):
        own.wait(held)


def test_the_command_line_lists_shows_and_cancels(own, held):
    lines = [line.split() for line in run(own, "jobs").stdout.splitlines()]
    head, running, *ended = lines
    assert " ".join(head) == "id kind collection state phase files chunks files/s left age"
    assert running[:4] == [held.id, "index", held.collection, "running"]
    assert not [line for line in ended if "running" in line]
    done = run(own, "jobs", held.id, "--cancel", "--json")
    assert (done.returncode, json.loads(done.stdout)["state"]) == (0, "cancelled")
    said = run(own, "jobs", held.id).stdout
    assert said.startswith(f"job {held.id} (index): cancelled, reading and embedding\n")
    assert held.source in said
    listed = json.loads(run(own, "jobs", "--json").stdout)
    assert (listed[0]["id"], listed[0]["state"]) == (held.id, "cancelled")
    assert found(own, held.collection) == (["toad.md"], 1)


def test_one_that_is_followed_is_shown_until_it_ends(own, held, tmp_path):
    (tmp_path / "proceed").touch()
    done = run(own, "jobs", held.id, "--follow")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"job {held.id} (index): done, done\n")
    assert found(own, held.collection)[1] == 2


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["unknown"], 1, "no job 'unknown' is known; `shoal jobs` names"),
        (["unknown", "--cancel"], 1, "no job 'unknown' is known"),
        (["--cancel"], 2, "name the job"),
        (["--follow"], 2, "name the job"),
        (["unknown", "--follow", "--cancel"], 2, "either --follow or --cancel"),
    ],
)
def test_what_cannot_be_is_said(own, args, code, said):
    done = run(own, "jobs", *args)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr


def test_what_was_done_and_what_was_interrupted_is_known_to_the_next_gateway(own, top, held):
    done = own.wait(own.index([top / "pond"], collection="pond"))
    assert run(own, "down").returncode == 0
    assert own.job(done.id) == done
    stopped = own.job(held.id)
    assert (stopped.state, stopped.error_kind) == ("interrupted", "GatewayUnavailable")
    assert own.cancel(held.id).state == "cancelled"


def test_a_job_whose_gateway_was_killed_is_interrupted_and_can_be_cancelled(own, held):
    lose_power(own)
    pass_an_hour(own, held.id)
    own.status()  # starts the next gateway
    job = until(lambda: interrupted(own, held.id))
    assert "ended over this job; the collection is as it was; the same command" in job.error
    with pytest.raises(GatewayUnavailable, match="ended over this job"):
        own.wait(held)
    assert found(own, held.collection) == (["toad.md"], 1)
    assert own.cancel(held.id).state == "cancelled"


def lose_power(shoal):
    """Kill the gateway and all it started, so that none of them can write a last word."""
    process = daemon.find(shoal.settings).process
    family = [process, *process.children(recursive=True)]
    for one in family:
        with contextlib.suppress(ProcessLookupError):
            os.kill(one.pid, signal.SIGKILL)
    until(lambda: not [one for one in family if runs(one)])


def pass_an_hour(shoal, job_id):
    """Make a record an hour older, as if nobody had started a gateway for so long."""
    storage, name = Storage(shoal.settings.root), f"jobs/{job_id}.json"
    record = json.loads(storage.read(name))
    assert record["state"] == "running"
    storage.put(name, json.dumps(record | {"started_at": record["started_at"] - HOUR}).encode())


def interrupted(shoal, job_id):
    job = shoal.job(job_id)
    return job if job.state == "interrupted" else None
