"""What is found, as findings: how grave, and the way out."""

import os
from dataclasses import replace
from types import SimpleNamespace

import pytest

from actors.examining.enforcing import EnforcementTrial, Outcome
from actors.examining.machine import UNLIMITED, Disk, Machine
from actors.examining.reports import Examined, NodeReport
from actors.examining.storing import StorageTrial
from cluster.daemon import Endpoint
from cluster.exposure import of_file, of_listening, of_settings
from cluster.judging import of_clock, of_machine, of_node, of_storage, of_versions, of_watching
from cluster.settings import Settings

GIB = 1 << 30
SOUND = Machine(
    host="box",
    python="3.11.9",
    system="Linux 6 x86_64",
    versions={"shoal": "0.1.0", "ray": "2.60.0", "numpy": "2.3.0"},
    cores=2,
    memory_total=16 * GIB,
    memory_available=8 * GIB,
    memory_source="physical memory",
    open_files=65536,
    data_bytes=UNLIMITED,
    shared_memory=Disk("objects", "/dev/shm", GIB, GIB),
    disks=(Disk("the root", "/data", 100 * GIB, 200 * GIB),),
    enforcement=EnforcementTrial("cgroup v2", Outcome.ENDED),
)


def gravest(checks):
    """Return what is not as it should be: area, severity, the text of both parts."""
    return [(c.area, c.severity, f"{c.what}; {c.way_out}") for c in checks if c.severity != "ok"]


def test_a_sound_machine_has_nothing_to_say_but_what_it_is():
    checks = [*of_machine(SOUND, "box", GIB // 4), *of_watching(524288, "box")]
    assert gravest(checks) == []
    assert {c.area for c in checks} == {
        *("versions", "limits", "memory", "enforcement", "disk", "watching"),
    }
    assert not any(c.way_out for c in checks)


def shm(size):
    return Disk("objects", "/dev/shm", size, size)


def disk(free):
    return (Disk("the root", "/data", free, GIB),)


def held(by, outcome):
    return EnforcementTrial(by, outcome)


UNSOUND = [
    ({"open_files": 1024}, "limits", "warning", "ulimit -n 65536"),
    ({"open_files": 256}, "limits", "error", "ulimit -n 65536"),
    ({"memory_available": GIB // 2}, "memory", "warning", "shoal scale"),
    ({"data_bytes": GIB}, "limits", "note", "ulimit -d unlimited"),
    ({"shared_memory": shm(64 << 20)}, "limits", "warning", "--shm-size"),
    ({"disks": disk(GIB)}, "disk", "warning", "/data"),
    ({"disks": disk(1 << 20)}, "disk", "error", "/data"),
    ({"enforcement": held("RLIMIT_DATA", Outcome.REFUSED)}, "enforcement", "note", "watchdog"),
    ({"enforcement": held("", Outcome.ALLOWED)}, "enforcement", "warning", "watchdog alone"),
    ({"enforcement": held("cgroup v1", Outcome.ALLOWED)}, "enforcement", "error", "nothing happ"),
    ({"enforcement": held("", Outcome.UNKNOWN)}, "enforcement", "warning", "could not be tried"),
]


@pytest.mark.parametrize(("change", "area", "severity", "said"), UNSOUND)
def test_what_is_short_is_told_with_the_way_out(change, area, severity, said):
    machine = replace(SOUND, **change)
    ((found_area, found_severity, text),) = gravest(of_machine(machine, "box", GIB // 4))
    assert (found_area, found_severity) == (area, severity)
    assert said in text


def test_too_few_folders_that_may_be_watched_are_told_and_none_where_nobody_counts():
    ((area, severity, said),) = gravest(of_watching(8192, "box"))
    assert (area, severity) == ("watching", "warning")
    assert "fs.inotify.max_user_watches=524288" in said
    assert list(of_watching(0, "box")) == []


@pytest.mark.parametrize(
    ("ahead_s", "severity"),
    [(0.1, "ok"), (-4, "ok"), (-20, "warning"), (20, "warning"), (300, "error")],
)
def test_clocks_that_are_apart_are_told(ahead_s, severity):
    assert of_clock(ahead_s, "box", "its clock").severity == severity


def test_storage_that_fails_is_an_error_and_slow_storage_a_warning():
    ((area, severity, said),) = gravest(of_storage(StorageTrial("no"), "box", "s3://bucket"))
    assert (area, severity) == ("storage", "error")
    assert "If-None-Match" in said
    assert "mount /data" in gravest(of_storage(StorageTrial("no"), "box", "/data"))[0][2]
    assert gravest(of_storage(StorageTrial("", took_s=9), "box", "/data"))[0][1] == "warning"


def test_a_node_that_no_task_runs_on_is_an_error_and_so_is_one_whose_objects_do_not_come():
    ((area, severity, said),) = gravest(of_node(Examined("10.0.0.7", problem="gone"), "/data", 0))
    assert (area, severity) == ("nodes", "error")
    assert "gone" in said
    report = NodeReport(SOUND, StorageTrial(""), 0.0)
    assert gravest(of_node(Examined("10.0.0.7", report, fetch_s=0.01), "/data", 0)) == []
    ((area, severity, said),) = gravest(of_node(Examined("10.0.0.7", report), "/data", 0))
    assert (area, severity) == ("ports", "error")
    assert "--object-manager-port" in said


def test_versions_that_break_are_errors_and_others_warnings():
    ours = {"python": "3.11.9", **SOUND.versions}
    others = {
        "alike": ours,
        "other ray": {**ours, "ray": "2.59.0"},
        "other python": {**ours, "python": "3.12.1"},
        "patched python": {**ours, "python": "3.11.10"},
        "other numpy": {**ours, "numpy": "2.2.0"},
    }
    found = {c.where: c.severity for c in of_versions(ours, others, "the gateway")}
    assert found == {
        "other ray": "error",
        "other python": "error",
        "patched python": "warning",
        "other numpy": "warning",
    }


@pytest.fixture
def nothing_set(monkeypatch):
    """An environment without variables of ours, among them those that only tests know."""
    for name in [name for name in os.environ if name.startswith("SHOAL_")]:
        monkeypatch.delenv(name)


def test_who_can_read_a_token_is_told(tmp_path, monkeypatch, nothing_set):
    file = tmp_path / "shoal.toml"
    file.write_text('token = "of sixteen characters"\n')
    file.chmod(0o644)
    monkeypatch.setenv("SHOAL_CONFIG", str(file))
    monkeypatch.setenv("SHOAL_REPLICTION", "2")
    checks = gravest(of_settings(Settings(url="http://gateway.example:8750"), "here"))
    assert [check[:2] for check in checks] == [
        ("settings", "warning"),
        ("auth", "error"),
        ("auth", "warning"),
    ]
    texts = [check[2] for check in checks]
    assert "SHOAL_REPLICATION" in texts[0]
    assert f"chmod 600 {file}" in texts[1]
    assert "in clear text" in texts[2]
    file.chmod(0o600)
    assert [c.severity for c in of_file(file, "here", "it")] == ["ok"]
    assert list(of_file(tmp_path / "none", "here", "it")) == []


def test_a_gateway_of_others_is_asked_with_a_token(nothing_set):
    ((area, severity, said),) = gravest(of_settings(Settings(url="https://x.example"), "here"))
    assert (area, severity) == ("auth", "error")
    assert "set SHOAL_TOKEN" in said


@pytest.mark.parametrize(
    ("endpoint", "token", "severity"),
    [
        (Endpoint("http://shoal", "t", "/tmp/socket"), "", "ok"),
        (Endpoint("http://127.0.0.1:8750", "t"), "", "ok"),
        (Endpoint("http://0.0.0.0:8750", "t" * 32), "t" * 32, "note"),
        (Endpoint("http://0.0.0.0:8750", "short"), "short", "error"),
    ],
)
def test_who_can_come_to_a_gateway_is_told(endpoint, token, severity):
    settings = SimpleNamespace(token=SimpleNamespace(get_secret_value=lambda: token))
    assert of_listening(endpoint, settings, "gateway").severity == severity
