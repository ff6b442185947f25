"""What an actor is told and refused as its memory runs out."""

import subprocess
import sys

import pytest
from actor_process import ON_LINUX, environment

from actors.memory import Pressure, Watermarks

pytestmark = ON_LINUX

PREAMBLE = """
import logging, os, threading
import numpy as np
from actors.errors import MemoryLimitExceeded
from actors.memory import ActorMemory, Pressure, give_back_files, node_memory
MIB = 1 << 20
memory = ActorMemory("shoal/embedder", "key", 400 * MIB, enforcement="watchdog")
"""

WATERMARKS = """
seen, told = [], threading.Condition()
def hear(pressure):
    with told:
        seen.append(pressure)
        told.notify()
def hears(pressure):
    with told:
        assert told.wait_for(lambda: seen and seen[-1] is pressure, timeout=30)
memory.on_pressure(lambda pressure: 1 / 0)
memory.on_pressure(hear)
memory.admit("a batch")
give_back_files()  # as is done where memory is out
held = np.ones((340 * MIB - memory.sample().pss) >> 3)
hears(Pressure.SOFT)
memory.admit("a batch")
more = np.ones(45 * MIB >> 3)
hears(Pressure.HARD)
try:
    memory.admit("a batch of 3 texts")
except MemoryLimitExceeded as error:
    assert "a batch of 3 texts" in str(error) and "of its limit of 400 MiB" in str(error)
    assert error.retry_after_s > 0 and memory.refusals == 1
else:
    raise AssertionError("it was admitted")
del held, more
memory.admit("a batch")
hears(Pressure.OK)
assert seen.count(Pressure.OK) == 1
"""

FILES = """
import mmap, tempfile, time
file = tempfile.TemporaryFile()
file.write(bytes(300 * MIB))
file.flush()
pages = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
held = np.ones((100 * MIB - memory.sample().pss) >> 3)
sum(pages[:285 * MIB:mmap.PAGESIZE])
assert memory.sample().peak > 380 * MIB
while memory.sample().pressure is not Pressure.OK:
    time.sleep(0.1)
memory.admit("a batch")
assert memory.sample().pss < 200 * MIB and pages[0] == 0
"""

ROOM = """
node = node_memory()
for footprint in (1 << 30, node.total):
    try:
        memory.check_room(footprint, "onnx:nomic")
    except MemoryLimitExceeded as error:
        print(error)
memory._limit = 2 * node.total
try:
    memory.check_room(node.total, "onnx:nomic")
except MemoryLimitExceeded as error:
    print(error)
memory.check_room(100 * MIB, "onnx:small")
assert memory.refusals == 3
"""

TRACKED = """
logging.basicConfig(level=logging.INFO, format="%(message)s")
with memory.track("load nomic"):
    np.ones(200 * MIB >> 3)
    held = np.ones(100 * MIB >> 3)
with memory.track("a batch", logging.DEBUG):
    label = memory._ledger.doing_path.read_text()
assert '"a batch"' in label
assert '""' in memory._ledger.doing_path.read_text().splitlines()[0]
"""

TOO_SMALL = """
memory.close()
try:
    ActorMemory("shoal/embedder", "key", 1 * MIB)
except MemoryLimitExceeded as error:
    assert "before any work" in str(error) and "its limit is 1 MiB" in str(error)
else:
    raise AssertionError("it started")
"""


def run(folder, code):
    done = subprocess.run(
        [sys.executable, "-c", PREAMBLE + code],
        env=environment(folder),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.parametrize(
    ("pss", "pressure"),
    [(0, "ok"), (799, "ok"), (800, "soft"), (949, "soft"), (950, "hard"), (2000, "hard")],
)
def test_pressure_is_a_share_of_the_limit(pss, pressure):
    assert Watermarks().pressure(pss, 1000) is Pressure(pressure)


def test_pressure_is_told_and_new_work_refused_only_while_it_is_hard(tmp_path):
    assert "ZeroDivisionError" in run(tmp_path, WATERMARKS).stderr


def test_where_memory_is_out_pages_of_files_are_given_back_and_work_is_admitted_again(tmp_path):
    run(tmp_path, FILES)


def test_what_does_not_fit_is_refused_before_it_is_loaded_with_figures(tmp_path):
    first, second, third = run(tmp_path, ROOM).stdout.splitlines()
    assert first.startswith("onnx:nomic needs 1024 MiB, and shoal/embedder may take 3")
    assert "of its limit of 400 MiB; raise the limit" in first
    assert "may take 3" in second
    assert "and this node has" in third


def test_a_tracked_block_logs_what_it_kept_and_its_peak(tmp_path):
    words = run(tmp_path, TRACKED).stderr.split()
    assert words[:2] == ["load", "nomic:"]
    assert 100 < float(words[2]) < 115
    assert 225 < float(words[5]) < 300
    assert "batch:" not in words


def test_a_limit_below_what_a_bare_process_holds_is_refused(tmp_path):
    run(tmp_path, TOO_SMALL)
