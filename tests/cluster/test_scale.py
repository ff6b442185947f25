"""The cluster is scaled while it serves: nothing fails meanwhile, and the scale outlives it all."""

import json
import os
import signal
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from unittest.mock import patch

import pytest
from command import run_shoal
from own_gateway import own_gateway
from waiting import BOUND_S, runs, until

from actors.errors import InvalidRequest, MemoryLimitExceeded, ShoalError
from actors.memory import node_memory
from cluster import daemon
from cluster.client import ShoalClient
from cluster.protocol import Scale

SMALL = {"SHOAL_HOST_MEMORY": "400MiB", "SHOAL_CONTROL_MEMORY": "300MiB"}
START = Scale(embedders=1, hosts=2, replication=2, routers=1)
LARGE = Scale(embedders=2, hosts=3, replication=2, routers=2)


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A gateway of this file's own, with a collection of two shards."""
    top = tmp_path_factory.mktemp("scale")
    (top / "docs").mkdir()
    for n in range(20):
        (top / "docs" / f"f{n}.md").write_text(f"# Title {n}\n\nword{n} zebra crossing\n")
    with own_gateway(top / "root", **SMALL) as shoal:
        shoal.wait(shoal.index([top / "docs"], collection="docs"))
        yield shoal


@pytest.fixture
def shoal(own):
    """The same, as it was at first."""
    assert own.scale(**START.model_dump()) == START
    return own


def actors(shoal, kind=""):
    """Return the pid of each actor by name; 0 where it does not answer."""
    replicas = shoal.status().replicas
    return {r.name: r.pid for r in replicas if not kind or r.name.startswith(kind)}


def detail(shoal, name):
    """Return what is particular about an actor, once it answers; a count of nothing is absent."""
    told = until(lambda: next(r.detail for r in shoal.status().replicas if r.name == name))
    return Counter(told)


def kill(shoal, name):
    """Kill an actor and return once it answers again."""
    pid = actors(shoal)[name]
    os.kill(pid, signal.SIGKILL)
    until(lambda: actors(shoal)[name] not in {0, pid})


@contextmanager
def steady_load(root):
    """Search and embed all the while; yields the answers' coverage, and what failed."""
    stop, answers, errors = threading.Event(), [], []

    def caller(number):
        with ShoalClient(root=root) as own:
            while not stop.is_set():
                word = f"word{(len(answers) + number) % 20}"
                try:
                    found = own.search(word, collections=["docs"], limit=1)
                    assert found.hits[0].path == f"f{word[4:]}.md"
                    answers.append(found.coverage)
                    own.embed([word])
                except (ShoalError, AssertionError) as error:
                    errors.append(error)

    callers = [threading.Thread(target=caller, args=(n,)) for n in range(4)]
    for thread in callers:
        thread.start()
    try:
        yield answers, errors
    finally:
        stop.set()
        for thread in callers:
            thread.join(BOUND_S)


def test_everything_grows_and_shrinks_under_load_and_nothing_fails(shoal):
    with steady_load(shoal.settings.root) as (answers, errors):
        until(lambda: len(answers) > 20)
        before = actors(shoal)
        assert shoal.scale(**LARGE.model_dump()) == LARGE
        grown = actors(shoal)
        until(lambda: all(detail(shoal, r)["complete_answers"] for r in ("router-0", "router-1")))
        assert shoal.scale(embedders=1, hosts=1, routers=1).hosts == 1
        after, seen = actors(shoal), len(answers)
        until(lambda: len(answers) > seen + 20)
    assert errors == []
    assert set(answers) == {1.0}
    assert before.items() <= grown.items()  # none was made anew
    assert sorted(n.rpartition("-")[0] for n in grown.keys() - before.keys()) == [
        next(n for n in grown if n.startswith("embedder")).rpartition("-")[0],
        "host",
        "router",
    ]
    assert len(after) == 4
    assert after.items() <= grown.items()


def test_all_routers_answer_alike(shoal):
    shoal.scale(routers=3)
    answered = [f"router-{n}" for n in range(3)]
    wanted = shoal.search("zebra crossing", collections=["docs"]).hits

    def ask(_):
        with ShoalClient(root=shoal.settings.root) as own:
            return own.search("zebra crossing", collections=["docs"]).hits

    def all_were_asked():
        with ThreadPoolExecutor(8) as callers:
            assert all(hits == wanted for hits in callers.map(ask, range(16)))
        return all(detail(shoal, name)["complete_answers"] for name in answered)

    until(all_were_asked)


def test_what_does_not_fit_is_refused_with_figures_and_changes_nothing(shoal):
    before = actors(shoal)
    with pytest.raises(MemoryLimitExceeded, match=r"takes \d+ MiB more .*SHOAL_HOST_MEMORY.* left"):
        shoal.scale(hosts=256, routers=2)
    with pytest.raises(InvalidRequest, match="hosts"):
        shoal.scale(hosts=0)
    assert shoal.scale() == START
    assert actors(shoal) == before


def test_a_steward_that_is_killed_knows_the_scale_and_makes_nothing_anew(shoal):
    shoal.scale(**LARGE.model_dump())
    before = actors(shoal)
    kill(shoal, "steward")
    assert shoal.scale() == LARGE
    until(lambda: {**actors(shoal), "steward": 0} == {**before, "steward": 0})


def test_a_router_that_is_killed_learns_who_serves_now(shoal):
    """It is started as it was first made, with two hosts, of which one is gone."""
    shoal.scale(hosts=1)
    kill(shoal, "router-0")
    for _ in range(5):
        assert shoal.search("zebra", collections=["docs"]).coverage == 1.0
    told = detail(shoal, "router-0")
    assert (told["complete_answers"], told["retries"]) == (5, 0)


def test_the_command_line_tells_and_changes_the_scale(shoal):
    root = ("--root", shoal.settings.root)
    assert json.loads(run_shoal("scale", "--json", *root).stdout) == START.model_dump()
    done = run_shoal("scale", "--hosts", "3", "--replication", "1", *root)
    line = "scale routers 1, hosts 3 (replication 1), embedders 1 of each model\n"
    assert (done.returncode, done.stdout) == (0, line)
    assert line in run_shoal("status", *root).stdout
    assert run_shoal("scale", "--routers", "0", *root).returncode == 2
    followed = json.loads(run_shoal("scale", "--auto", "--json", *root).stdout)
    assert followed == {**START.model_dump(), "replication": 1}


def test_the_plan_of_a_single_machine_has_every_actor_where_it_runs(shoal):
    plan = shoal.plan()
    (machine,) = plan.nodes
    assert machine.total_bytes == node_memory().total
    assert {actor.name for actor in plan.actors} == actors(shoal).keys() - {"steward"}
    assert {(actor.node, actor.now) for actor in plan.actors} == {(machine.id, machine.id)}
    limits = {r.name: r.limit_bytes for r in shoal.status().replicas}
    assert all(actor.limit_bytes == limits[actor.name] for actor in plan.actors)


def test_a_generation_is_open_on_its_hosts_before_anybody_searches_it(shoal, tmp_path):
    (tmp_path / "new").mkdir()
    for n in range(10):
        (tmp_path / "new" / f"g{n}.md").write_text(f"# Other {n}\n")

    def segments():
        return sum(detail(shoal, name)["segments"] for name in ("host-0", "host-1"))

    before = segments()
    shoal.wait(shoal.index([tmp_path / "new"], collection="new"))
    assert segments() == before + 2 * 2  # two shards on two hosts each
    shoal.delete("new")
    assert segments() == before


def test_the_scale_outlives_the_gateway_and_its_cluster(shoal):
    shoal.scale(hosts=3, routers=2)
    gateway = daemon.find(shoal.settings).process
    shoal.close()
    assert daemon.stop(shoal.settings)
    until(lambda: not runs(gateway))
    assert shoal.scale() == Scale(embedders=1, hosts=3, replication=2, routers=2)
    assert all(actors(shoal).values())
    assert {"host-2", "router-1"} <= actors(shoal).keys()
    assert shoal.search("zebra", collections=["docs"]).coverage == 1.0


def test_a_scale_that_no_longer_fits_keeps_no_gateway_from_starting(shoal):
    shoal.scale(hosts=3)
    shoal.close()
    assert daemon.stop(shoal.settings)
    larger = str(
        int(node_memory().total * 0.3)
    )  # three are more than the three quarters for actors
    with (
        patch.dict(os.environ, SHOAL_HOST_MEMORY=larger),
        ShoalClient(root=shoal.settings.root) as other,
    ):
        assert other.scale() == START
        assert other.search("zebra", collections=["docs"]).coverage == 1.0
        assert daemon.stop(other.settings)
    assert shoal.scale().hosts == 3
