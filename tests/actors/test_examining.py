"""What a machine is found to be, by trying it."""

import importlib.metadata
import sys

import obstore
import pytest
from own_gateway import can_make_cgroups

from actors.examining.enforcing import Outcome, try_enforcement
from actors.examining.machine import look_at_this_machine
from actors.examining.storing import PROBES, try_storage
from actors.storage import Storage


@pytest.fixture(params=["folder", "store"])
def root(request, tmp_path):
    if request.param == "folder":
        return str(tmp_path / "root")
    return f"{request.getfixturevalue('bucket')}/shoal"


def test_a_root_that_works_is_told_and_left_as_it_was(root):
    trial = try_storage(root)
    assert trial.problem == ""
    assert trial.took_s > 0
    assert abs(trial.ahead_s) < 30
    assert Storage(root).files(PROBES) == {}


def test_what_another_machine_wrote_has_to_be_there(root):
    Storage(root).put(f"{PROBES}/theirs", b"expected")
    assert try_storage(root, "expected", "theirs").problem == ""
    assert "not the same here" in try_storage(root, "something else", "theirs").problem
    assert "not the same here" in try_storage(root, "expected", "another").problem


def test_a_store_that_ignores_conditions_is_found_out(root, monkeypatch):
    put = obstore.put

    def overwriting(*args, mode="", **given):
        return put(*args, **given)

    monkeypatch.setattr(obstore, "put", overwriting)
    assert "two writers could both publish" in try_storage(root).problem
    assert Storage(root).files(PROBES) == {}


def test_a_store_that_nobody_answers_for_is_told_soon(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    assert "cannot write" in try_storage("s3://nowhere/x").problem


def test_a_root_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    assert "cannot open" in try_storage(str(tmp_path / "file" / "root")).problem


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have the watchdog alone")
def test_what_holds_memory_is_tried_and_holds():
    trial = try_enforcement()
    assert trial.by.startswith("cgroup" if can_make_cgroups() else "RLIMIT_DATA")
    assert trial.outcome in {Outcome.ENDED, Outcome.REFUSED}


def test_a_machine_is_described(tmp_path):
    machine = look_at_this_machine(str(tmp_path / "not" / "there" / "yet"))
    assert machine.versions["ray"] == importlib.metadata.version("ray")
    assert machine.python == sys.version.split()[0]
    assert 0 < machine.memory_available < machine.memory_total
    assert machine.cores > 0
    assert machine.open_files
    assert {disk.purpose for disk in machine.disks} >= {"the root", "the cache"}
    assert all(0 <= disk.free <= disk.total for disk in machine.disks)
