"""Several gateways of one cluster, on one machine or on several, do not get in each other's way."""

import os
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from actors.errors import GatewayUnavailable
from actors.memory import Budgets
from cluster import session
from cluster.reaching import remove_left_over, temporary_folder
from cluster.settings import Settings

MIB = 1 << 20
PLAN = Budgets(600 * MIB, 500 * MIB, 400 * MIB, 4096 * MIB, "")
LARGER = replace(PLAN, embedder=900 * MIB, host=800 * MIB, control=700 * MIB)


@pytest.fixture
def meant(monkeypatch):
    """Return a function that takes what runs, and returns what another gateway makes of it."""

    def meant(running, settings, budgets=LARGER):
        steward = SimpleNamespace(configuration=SimpleNamespace(remote=lambda: running))
        monkeypatch.setattr(session, "find_actor", lambda _: steward)
        monkeypatch.setattr(session.ray, "get", lambda answer, timeout: answer)
        return session._as_it_runs(settings, budgets)

    return meant


def a_settings(**chosen):
    return Settings(root="s3://bucket/x", **chosen)


def test_what_one_planned_by_its_machine_another_keeps(meant, monkeypatch):
    running = session.steward_config(a_settings(), PLAN)
    monkeypatch.setattr(session.os, "cpu_count", lambda: 64)
    assert meant(running, a_settings()) == running


@pytest.mark.parametrize(
    "chosen", [{"hosts": 5}, {"host_memory": 300 * MIB}, {"threads": 63}, {"keep_alive_s": 1}]
)
def test_what_another_chose_otherwise_replaces_what_runs(meant, chosen):
    running = session.steward_config(a_settings(), PLAN)
    assert meant(running, a_settings(**chosen)) is None


def test_what_both_chose_stays(meant):
    chosen = {"host_memory": 300 * MIB, "threads": 3}
    running = session.steward_config(a_settings(**chosen), replace(PLAN, host=300 * MIB))
    assert meant(running, a_settings(**chosen)) == running


def test_actors_of_another_root_are_not_taken_over(meant):
    running = session.steward_config(a_settings(), PLAN)
    with pytest.raises(GatewayUnavailable, match="serves the root s3://bucket/x; use that"):
        meant(running, Settings(root="s3://bucket/y"))


def test_one_that_starts_removes_what_the_dead_left_and_nothing_else(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    for name in (f"{dead.pid}-a", f"{os.getpid()}-b", "tmpc", f"{os.getppid()}-d"):
        (tmp_path / name).mkdir()
    remove_left_over(tmp_path)
    assert os.listdir(tmp_path) == [f"{os.getppid()}-d"]
    remove_left_over(tmp_path / "absent")


async def test_a_temporary_folder_is_named_after_its_maker(tmp_path):
    async with temporary_folder(tmp_path) as folder:
        assert folder.name.startswith(f"{os.getpid()}-")
