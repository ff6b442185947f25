"""Settings of memory: read as people write them, refused where they cannot be, told by status."""

import json
import os

import pytest
from command import run_shoal
from own_gateway import own_gateway
from waiting import until

from actors.errors import InvalidRequest
from actors.memory import node_memory
from cluster.session import plan_memory
from cluster.settings import Settings

GIB = 1 << 30


def with_setting(tmp_path, command, **environment):
    env = {**os.environ, **environment}
    return run_shoal(command, "--json", "--root", str(tmp_path), env=env, cwd=tmp_path)


@pytest.mark.parametrize(
    ("written", "size"), [("2GiB", 2 * GIB), ("300MiB", 300 << 20), ("1GB", 10**9), (2**28, 2**28)]
)
def test_sizes_are_written_as_people_do(written, size):
    settings = Settings(embedder_memory=written, host_memory=written)
    assert settings.embedder_memory == size
    budgets = plan_memory(Settings(embedder_memory="300MiB", host_memory="400MiB"))
    assert (budgets.embedder, budgets.host) == (300 << 20, 400 << 20)


WRONG = [
    ({"SHOAL_EMBEDDER_MEMORY": "1MiB"}, "SHOAL_EMBEDDER_MEMORY is '1MiB': ", "192.0MiB"),
    ({"SHOAL_HOST_MEMORY": "lots"}, "SHOAL_HOST_MEMORY is 'lots': ", "could not parse"),
    ({"SHOAL_CONTROL_MEMORY": "-1"}, "SHOAL_CONTROL_MEMORY is '-1': ", ""),
    ({"SHOAL_MEMORY_SOFT": "0.95"}, "SHOAL_MEMORY_SOFT is 0.95", "SHOAL_MEMORY_HARD, 0.95"),
    ({"SHOAL_MEMORY_HARD": "1.5"}, "SHOAL_MEMORY_HARD is '1.5': ", "less than or equal to 1"),
    ({"SHOAL_MEMORY_ENFORCEMENT": "hope"}, "SHOAL_MEMORY_ENFORCEMENT is 'hope': ", "'watchdog'"),
    ({"SHOAL_KEEP_ALIVE_S": "-2"}, "SHOAL_KEEP_ALIVE_S is '-2': ", "-1"),
    ({"SHOAL_MODEL": "no/such/model"}, "SHOAL_MODEL is 'no/such/model': ", "a path that exists"),
]


@pytest.mark.parametrize(("environment", "said", "way_out"), WRONG, ids=[w[1] for w in WRONG])
def test_a_setting_that_cannot_be_is_named(tmp_path, environment, said, way_out):
    done = with_setting(tmp_path, "status", **environment, SHOAL_TOKEN="secret-token")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {said}")
    assert way_out in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "secret-token" not in done.stderr


@pytest.mark.parametrize("kind", ["embedder", "host", "control"])
def test_more_than_the_node_has_is_refused_with_both_figures(kind):
    total = node_memory().total
    said = rf"SHOAL_{kind.upper()}_MEMORY is {(total >> 20) + 1024} MiB, and this node has "
    with pytest.raises(InvalidRequest, match=said + rf"{total >> 20} MiB .*choose less"):
        plan_memory(Settings(**{f"{kind}_memory": total + GIB}))


def test_a_gateway_does_not_start_with_more_than_the_node_has(tmp_path):
    env = {**os.environ, "SHOAL_HOST_MEMORY": "900TiB"}
    done = run_shoal("up", "--root", str(tmp_path), env=env)
    assert done.returncode == 1
    assert "SHOAL_HOST_MEMORY is 943718400 MiB, and this node has" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_model_named_by_a_relative_path_is_that_of_the_callers_folder(tmp_path):
    (tmp_path / "model").mkdir()
    told = json.loads(with_setting(tmp_path, "config", SHOAL_MODEL="onnx:./model").stdout)
    assert told["settings"]["model"]["value"] == f"onnx:{tmp_path / 'model'}"


def test_status_tells_the_plan_and_what_enforces_it(shoal, gateway):
    status = shoal.status()
    assert status.memory_plan == plan_memory(gateway).explanation
    enforced = {replica.enforcement for replica in status.replicas}
    assert all(enforcement.endswith("watchdog") for enforcement in enforced)
    said = run_shoal("status", "--root", gateway.root).stdout
    assert f"memory {status.memory_plan} Held by {'; '.join(enforced)}." in said


def test_chosen_limits_hold_and_keep_alive_0_unloads_at_once(tmp_path):
    (tmp_path / "zebra.md").write_text("# Zebra crossing\n")
    chosen = {"SHOAL_EMBEDDER_MEMORY": "0.5GiB", "SHOAL_MEMORY_ENFORCEMENT": "watchdog"}
    with own_gateway(tmp_path / "root", SHOAL_KEEP_ALIVE_S="0", **chosen) as shoal:
        shoal.wait(shoal.index([tmp_path / "zebra.md"], collection="zebra"))
        first = until(lambda: unloaded(shoal, 1))
        assert (first.limit_bytes, first.enforcement) == (GIB // 2, "watchdog")
        assert first.detail["loads"] == 1
        assert shoal.search("crossing", mode="semantic").hits
        assert until(lambda: unloaded(shoal, 2)).detail["loads"] == 2


def unloaded(shoal, times):
    (embedder,) = (r for r in shoal.status().replicas if r.kind == "Embedder")
    detail = embedder.detail
    return embedder if (detail["state"], detail["unloads"]) == ("unloaded", times) else None
