"""Whatever a process outgrows its limit by, it ends there, alone, and its successor knows why."""

import os
import subprocess
import sys

import pytest
from actor_process import KERNEL_LAYERS, NEEDS_GROUPS, ON_LINUX, Glutton
from glutton import APPETITE, LIMIT
from waiting import until

pytestmark = ON_LINUX

OVERSHOOT = 192 << 20
"""What a process may touch between two looks of a watchdog on a busy machine."""
COPY = "import sys, shutil; shutil.copyfileobj(open(sys.argv[1], 'rb'), open('/dev/null', 'wb'))"


@pytest.fixture
def bystander():
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE
    ) as process:
        yield process
        assert process.poll() is None
        process.stdin.close()


@pytest.fixture
def file(tmp_path):
    """A file of which nothing is in the page cache."""
    path = tmp_path / "weights"
    with path.open("wb") as weights:
        for _ in range(APPETITE >> 20):
            weights.write(bytes(1 << 20))
        os.fsync(weights.fileno())
        os.posix_fadvise(weights.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    yield path
    path.unlink()


def assert_stopped(glutton, deed, overshoot=OVERSHOOT):
    said, note = glutton.end(), glutton.death_note
    assert "lives" not in said
    assert note["reason"] in ("limit", "kernel")
    assert note["doing"] == f"eating {deed}"
    assert note["limit"] == LIMIT
    assert LIMIT / 2 < note["peak"] < LIMIT + overshoot
    assert until(glutton.nothing_is_left)


@NEEDS_GROUPS
@pytest.mark.parametrize("deed", ["arrays", "objects"])
def test_a_group_ends_a_process_that_allocates_past_its_limit(tmp_path, bystander, deed):
    glutton = Glutton(tmp_path, deed, "cgroup")
    assert_stopped(glutton, deed)
    assert glutton.death_note["peak"] <= LIMIT + (1 << 20)


@pytest.mark.parametrize("deed", ["arrays", "objects"])
def test_under_a_cap_allocations_fail_and_the_process_goes_on(tmp_path, bystander, deed):
    glutton = Glutton(tmp_path, deed, "rlimit")
    said = glutton.end()
    assert "MemoryError" in said
    assert int(said["peak"]) <= LIMIT
    assert "lives" in said
    assert glutton.death_note is None


@pytest.mark.parametrize("deed", ["arrays", "objects"])
def test_a_watchdog_alone_is_enough(tmp_path, bystander, deed):
    assert_stopped(Glutton(tmp_path, deed, "watchdog"), deed)


@pytest.mark.parametrize("enforcement", KERNEL_LAYERS)
@pytest.mark.parametrize("deed", ["subprocesses", "forks", "shared"])
def test_children_and_shared_memory_count(tmp_path, bystander, deed, enforcement):
    glutton = Glutton(tmp_path, deed, enforcement)
    assert_stopped(glutton, deed)
    assert len(glutton.children) == (0 if deed == "shared" else 4)


@pytest.mark.parametrize("enforcement", KERNEL_LAYERS)
def test_files_that_others_have_read_count_once_mapped(tmp_path, bystander, file, enforcement):
    subprocess.run([sys.executable, "-c", COPY, str(file)], check=True, timeout=60)
    glutton = Glutton(tmp_path, "mapped", enforcement, MAPPED_FILE=str(file))
    assert_stopped(glutton, "mapped", APPETITE)  # mapping what is in memory takes next to no time


def test_files_read_by_mapping_them_count(tmp_path, bystander, file):
    assert_stopped(Glutton(tmp_path, "mapped", "rlimit", MAPPED_FILE=str(file)), "mapped")


@NEEDS_GROUPS
def test_a_group_reclaims_mapped_files_or_the_process_ends(tmp_path, bystander, file):
    glutton = Glutton(tmp_path, "mapped", "cgroup", MAPPED_FILE=str(file))
    said = glutton.end()
    if "lives" in said:
        assert int(said["peak"]) <= LIMIT
        assert glutton.death_note is None
    else:
        assert glutton.death_note["peak"] < LIMIT + OVERSHOOT
    assert until(glutton.nothing_is_left)


@pytest.mark.parametrize("enforcement", KERNEL_LAYERS)
def test_the_nodes_object_store_does_not_count(tmp_path, enforcement):
    glutton = Glutton(tmp_path, "store", enforcement, 2 * LIMIT)
    said = glutton.end()
    assert "lives" in said
    assert int(said["peak"]) < LIMIT
    assert glutton.death_note is None


def test_deaths_in_a_row_are_counted_until_one_is_survived(tmp_path):
    for before in ("None", "1"):
        glutton = Glutton(tmp_path, "forks", "watchdog")
        assert glutton.end()["predecessor"] == before
    assert glutton.death_note["deaths"] == 2
    survivor = Glutton(tmp_path, "idle", "watchdog")
    assert survivor.hear("predecessor") == "2"
    survivor.hear("child")
    assert survivor.death_note is None
    survivor.kill()
