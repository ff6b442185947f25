"""`shoal doctor`: with a gateway, without one, through a remote one."""

import json
import os

from command import run_shoal
from heads import free_port

from cluster import daemon
from cluster.settings import Settings

AREAS = {"versions", "limits", "memory", "enforcement", "disk", "storage", "clock"}


def doctor(*args, **environment):
    done = run_shoal("doctor", *args, "--json", env={**os.environ, **environment})
    told = json.loads(done.stdout)
    assert done.returncode == (0 if told["healthy"] else 1)
    return told


def errors(told):
    return [(c["area"], c["what"]) for c in told["checks"] if c["severity"] == "error"]


def test_without_a_gateway_it_looks_at_this_machine_and_starts_none(tmp_path):
    told = doctor("--root", str(tmp_path))
    assert errors(told) == []
    assert {c["area"] for c in told["checks"] if c["where"] == "here"} >= AREAS
    (unchecked,) = told["unchecked"]
    assert "no gateway runs" in unchecked
    assert "`shoal up`" in unchecked
    assert daemon.find(Settings(root=str(tmp_path))) is None
    assert list(tmp_path.glob("probes/*")) == []


def test_what_is_wrong_is_told_with_the_way_out_and_fails(tmp_path):
    (tmp_path / "file").write_text("")
    root = str(tmp_path / "file" / "root")
    done = run_shoal(
        "doctor", "--root", root, env={**os.environ, "SHOAL_RAY_ADDRESS": "127.0.0.1:1"}
    )
    assert done.returncode == 1
    assert done.stdout.startswith("error   ")
    assert "cannot open in" in done.stdout
    assert "no Ray head answers at 127.0.0.1:1" in done.stdout
    assert "        -> mount " in done.stdout
    assert "not     checked: " in done.stdout


def test_with_a_gateway_it_looks_at_every_node_and_actor(gateway, shoal):
    told = doctor("--root", gateway.root)
    assert errors(told) == []
    assert told["unchecked"] == []
    nodes = {c["where"] for c in told["checks"] if c["area"] == "ports"}
    assert len(nodes) == shoal.status().nodes == 1
    assert {c["area"] for c in told["checks"] if c["where"] in nodes} == {*AREAS, "ports"}
    (in_force,) = (
        c for c in told["checks"] if (c["area"], c["where"]) == ("enforcement", "cluster")
    )
    assert f"{len(shoal.status().replicas)} by" in in_force["what"] or "," in in_force["what"]
    assert "Ray asks for a token" in {c["what"] for c in told["checks"]}


def test_a_gateway_elsewhere_that_does_not_answer_is_an_error():
    url = f"http://127.0.0.1:{free_port()}"
    told = doctor(SHOAL_URL=url, SHOAL_TOKEN="admin-0123456789")
    ((area, what),) = errors(told)
    assert area == "gateway"
    assert url in what
    assert told["unchecked"]
