"""The cluster's head dies and is away for 90 s: status tells the truth, and service comes back."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from host import environment, pipes
from waiting import runs, until

from cluster import daemon
from cluster.settings import Settings

AWAY_S = 90
RAY = Path(sys.executable).with_name("ray")
ANSWER_S = 30
"""Hosts give up on a call after this."""


class Head:
    """A Ray head of the test's own, apart from any gateway."""

    def __init__(self, folder):
        self._folder = folder
        self._port = 0
        self._processes = []

    @property
    def address(self):
        return f"127.0.0.1:{self._port}"

    def start(self):
        """Start it, at the same address every time."""
        before = set(psutil.pids())
        command = [RAY, "start", "--head", "--include-dashboard=false", "--disable-usage-stats"]
        options = [f"--port={self._port or free_port()}", f"--temp-dir={self._folder}"]
        limits = ["--object-store-memory=100000000", "--num-cpus=2", "--node-ip-address=127.0.0.1"]
        env = {**os.environ, "RAY_AUTH_MODE": "disabled"}
        done = subprocess.run(
            [*command, *options, *limits], capture_output=True, text=True, check=False, env=env
        )
        assert done.returncode == 0, done.stderr + done.stdout
        self._port = int(options[0].partition("=")[2])
        self._processes = [
            p for p in psutil.process_iter() if p.pid not in before and self._is_ours(p)
        ]

    def _is_ours(self, process):
        try:
            return str(self._folder) in " ".join(process.cmdline())
        except psutil.Error:
            return False

    def kill(self):
        """Kill the head's processes and all actors on it, at once."""
        living = filter(runs, self._processes)
        family = [p for parent in living for p in (parent, *parent.children(recursive=True))]
        for process in family:
            try:
                process.send_signal(signal.SIGKILL)
            except psutil.NoSuchProcess:
                continue
        until(lambda: not [p for p in family if runs(p)])


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def head(tmp_path_factory):
    made = Head(tmp_path_factory.mktemp("h"))
    made.start()
    yield made
    made.kill()


async def tool(server, number, name, **arguments):
    answer = await server.ask("tools/call", number, name=name, arguments=arguments)
    return answer["result"]


@pytest.mark.timeout(400)
async def test_status_answers_truthfully_meanwhile_and_searches_work_again(head, tmp_path):
    root = tmp_path / "root"
    (tmp_path / "zebra.md").write_text("# Zebra crossing\n")
    env = environment(tmp_path, SHOAL_ROOT=str(root), SHOAL_RAY_ADDRESS=head.address)
    async with pipes(env) as server:
        await server.shake_hands()
        await tool(server, 1, "index_path", path=str(tmp_path / "zebra.md"), collection="z")
        number = 100
        found = {}
        while not found.get("structuredContent", {}).get("hits"):
            number += 1
            found = await tool(server, number, "search", query="zebra")
        status = await tool(server, 2, "cluster_status")
        assert status["structuredContent"]["problem"] == ""

        head.kill()
        back_at = time.monotonic() + AWAY_S
        asked = 0
        while time.monotonic() < back_at:
            asked += 1
            answer = tool(server, 1000 + asked, "cluster_status")
            status = await asyncio.wait_for(answer, ANSWER_S)
            assert not status["isError"], status
            assert status["structuredContent"]["problem"], status
        assert asked > 3
        head.start()

        give_up = time.monotonic() + 90
        found = {}
        while not found.get("structuredContent", {}).get("hits"):
            assert time.monotonic() < give_up, found
            number += 1
            found = await tool(server, number, "search", query="zebra")
        status = await tool(server, 3, "cluster_status")
        assert status["structuredContent"]["problem"] == ""
    daemon.stop(Settings(root=str(root)))
