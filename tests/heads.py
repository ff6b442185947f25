"""A Ray head of a test's own, apart from any gateway."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
from waiting import runs, until

RAY = Path(sys.executable).with_name("ray")
UNLOCKED = {"RAY_AUTH_MODE": "disabled"}
"""The environment of who starts it, and of who joins it."""


class Head:
    """A Ray head of the test's own, apart from any gateway."""

    def __init__(self, folder, dashboard=False):
        self._folder = folder
        self._dashboard = dashboard
        self._port = 0
        self._dashboard_port = free_port()
        self._processes = []

    @property
    def address(self):
        return f"127.0.0.1:{self._port}"

    @property
    def dashboard(self):
        """Where jobs are submitted, if it was made with a dashboard."""
        return f"http://127.0.0.1:{self._dashboard_port}"

    def start(self):
        """Start it, at the same address every time."""
        before = set(psutil.pids())
        command = [RAY, "start", "--head", "--disable-usage-stats"]
        dashboard = [f"--include-dashboard={self._dashboard}"]
        dashboard += [f"--dashboard-port={self._dashboard_port}"]
        options = [f"--port={self._port or free_port()}", f"--temp-dir={self._folder}"]
        limits = ["--object-store-memory=100000000", "--num-cpus=2", "--node-ip-address=127.0.0.1"]
        env = {**os.environ, **UNLOCKED}
        done = subprocess.run(
            [*command, *dashboard, *options, *limits],
            capture_output=True,
            text=True,
            check=False,
            env=env,
        )
        self._port = int(options[0].partition("=")[2])
        self._processes = [
            p for p in psutil.process_iter() if p.pid not in before and self._is_ours(p)
        ]
        if done.returncode:
            self.kill()  # what has started would be in the way of every other Ray
        assert done.returncode == 0, done.stderr + done.stdout

    def _is_ours(self, process):
        signs = (str(self._folder), f":{self._port} ")  # the latter of its server for Ray clients
        try:
            return any(sign in " ".join(process.cmdline()) for sign in signs)
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
