"""The gateway's own life: started once, private, apart from its callers, gone when idle."""

import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import psutil
import pytest
from command import run_shoal
from waiting import runs, until

from actors.errors import Unauthorized
from cluster import daemon
from cluster.client import ShoalClient
from cluster.daemon import Rooms
from cluster.settings import Settings

OWN_PACKAGES = ("actors", "cluster", "mcp_adapter", "tests", "ray", "jobs", "service")


@pytest.fixture
def hostile(tmp_path):
    """A project whose packages have our names, and tell when they are imported."""
    top = tmp_path / "hostile"
    for name in OWN_PACKAGES:
        (top / name).mkdir(parents=True)
        mark = f"open({str(tmp_path / 'imported')!r}, 'a').write({name!r})\n"
        (top / name / "__init__.py").write_text(mark + f"def {name}_zebra():\n    pass\n")
    return top


def ended(family):
    return not [process for process in family if runs(process)]


def test_many_first_callers_start_one_gateway_that_imports_nothing_of_theirs(hostile, tmp_path):
    root = str(tmp_path / "root")
    settings = Settings(root=root)
    own = ("--root", root)
    with ThreadPoolExecutor(4) as callers:
        ups = list(callers.map(lambda _: run_shoal("up", *own, cwd=hostile), range(4)))
    try:
        assert [up.returncode for up in ups] == [0] * 4
        assert len({up.stdout for up in ups}) == 1
        done = run_shoal("index", ".", *own, cwd=hostile)
        assert f"{len(OWN_PACKAGES)} files found" in done.stdout
        found = run_shoal("search", "jobs_zebra", "--mode", "lexical", *own, cwd=hostile)
        assert found.stdout.startswith("jobs/__init__.py:1-3")
        assert not (tmp_path / "imported").exists()
        _is_private(settings)
    finally:
        running = daemon.find(settings)
        family = [running.process, *running.process.children(recursive=True)]
        down = run_shoal("down", *own)
    assert down.stdout == "the gateway has ended\n"
    until(lambda: ended(family))
    assert run_shoal("down", *own).stdout == "no gateway was running\n"


def _is_private(settings):
    rooms = Rooms(settings)
    assert stat.S_IMODE(rooms.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(rooms.state.stat().st_mode) == 0o600
    running = rooms.read()
    assert running.endpoint.token not in repr(running)
    with httpx2.Client(transport=httpx2.HTTPTransport(uds=running.endpoint.socket)) as http:
        assert http.get("http://shoal/v1/status").status_code == 401
    second = run_shoal("serve", "--root", settings.root)
    assert second.returncode == 1
    assert "serves this root already" in second.stderr


def test_a_gateway_on_tcp_takes_its_token_and_ends_when_nobody_needs_it(tmp_path, folder):
    env = {**os.environ, "SHOAL_TOKEN": "chosen", "SHOAL_IDLE_SHUTDOWN_S": "3"}
    shoal = Path(sys.executable).parent / "shoal"
    command = [shoal, "serve", "--host", "127.0.0.1", "--port", "0", "--root", tmp_path / "root"]
    with subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL) as process:
        rooms = Rooms(Settings(root=str(tmp_path / "root")))
        url = until(rooms.read).endpoint.url
        until(lambda: httpx2.get(f"{url}/readyz").status_code == 200)
        family = psutil.Process(process.pid).children(recursive=True)
        with ShoalClient(url, token="chosen") as client:
            client.wait(client.index([folder], collection="tcp"))
            assert client.search("evict").hits
        with ShoalClient(url, token="wrong") as client, pytest.raises(Unauthorized):
            client.status()
        assert process.wait(60) == 0
    until(lambda: ended(family))
    assert rooms.read() is None


def test_no_gateway_listens_to_others_without_a_token_of_ones_choice(tmp_path):
    done = run_shoal("serve", "--host", "0.0.0.0", "--root", str(tmp_path))
    assert done.returncode == 2
    assert "set SHOAL_TOKEN" in done.stderr
