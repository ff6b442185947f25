"""The watchdog cleans up after an actor however that ends, and is itself replaced."""

import os
import re
import subprocess
import sys

import psutil
import pytest
from actor_process import KERNEL_LAYERS, ON_LINUX, Glutton, environment
from waiting import runs, until

from actors.memory.watchdog import portable, processes

pytestmark = ON_LINUX

LAYERS = [*KERNEL_LAYERS, "watchdog"]

REPLACED = """
import os, signal, sys
from actors.memory import ActorMemory
from waiting import until
memory = ActorMemory("orphan", "orphan", 1 << 30, enforcement=sys.argv[1])
first = memory._watchdog
first._process.kill()
until(lambda: memory._watchdog is not first and memory._watchdog.runs())
assert memory._watchdog._process.pid not in memory._tree.members()
memory.close()
print("replaced")
"""


@pytest.mark.parametrize("enforcement", LAYERS)
def test_what_an_actor_that_is_killed_leaves_is_removed(tmp_path, enforcement):
    glutton = Glutton(tmp_path, "idle", enforcement)
    glutton.hear("child")
    watchdog = glutton.watchdog
    assert not glutton.nothing_is_left()
    glutton.kill()
    assert until(glutton.nothing_is_left)
    assert until(lambda: not runs(watchdog))
    assert glutton.death_note is None


@pytest.mark.parametrize("enforcement", LAYERS)
def test_a_watchdog_that_dies_is_replaced(tmp_path, enforcement):
    variables = environment(tmp_path)
    variables["PYTHONPATH"] += os.pathsep + os.path.dirname(sys.modules["waiting"].__file__)
    done = subprocess.run(
        [sys.executable, "-c", REPLACED, enforcement],
        env=variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout == "replaced\n", done.stderr
    assert "has died and is replaced" in done.stderr


@pytest.mark.parametrize("enforcement", LAYERS)
def test_a_watchdog_is_small_and_outside(tmp_path, enforcement):
    glutton = Glutton(tmp_path, "idle", enforcement)
    watchdog = glutton.watchdog
    assert watchdog.memory_info().rss < 10_000_000
    assert watchdog.ppid() != glutton.process.pid
    assert os.getsid(watchdog.pid) not in (os.getsid(0), watchdog.ppid())
    with open(f"/proc/{watchdog.pid}/cgroup") as file:
        assert "shoal-" not in file.read()
    glutton.kill()


@pytest.mark.parametrize("system", [processes, portable])
def test_a_tree_remembers_grandchildren_whose_parent_is_gone(system):
    shell = "sleep 60 & echo $!; read line"
    with subprocess.Popen(
        ["sh", "-c", shell], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        grandchild = int(parent.stdout.readline())
        tree = system.Tree(parent.pid, None)
        assert sorted(tree.members()) == sorted([grandchild, parent.pid])
        assert tree.members()[-1] == parent.pid
        parent.stdin.close()
        parent.stdout.close()
    assert tree.members() == [grandchild]
    system.stop(grandchild)
    assert until(lambda: psutil.Process(grandchild).status() == psutil.STATUS_STOPPED)
    system.kill(grandchild)
    assert until(lambda: tree.members() == [])


def test_what_is_resident_bounds_what_is_held():
    exact = processes.held([os.getpid()], processes.pss, 0)
    assert 0 < exact <= processes.held([os.getpid()], processes.resident, 0)
    assert processes.held([0], processes.pss, 0) == 0


def test_the_watchdog_imports_only_what_is_cheap():
    code = "import sys; sys.path.insert(0, 'actors/memory'); import watchdog.watch"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"{code}; print(*sys.modules)"],
        cwd=re.sub(r"/tests/.*", "", __file__),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert not {"json", "re", "typing", "dataclasses", "pathlib"} & set(done.stdout.split())
