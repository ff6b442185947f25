"""A gateway of a test's own that listens on TCP, gone when the test is over."""

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import httpx2
import psutil
from waiting import runs, until

from cluster.daemon import Rooms
from cluster.settings import Settings

_START_S = 150


@contextmanager
def tcp_gateway(root, log, **environment):
    """Yield the URL of a gateway for `root` that logs to a file; `environment` is its own."""
    rooms = Rooms(Settings(root=str(root)))
    shoal = Path(sys.executable).parent / "shoal"
    command = [shoal, "serve", "--host", "127.0.0.1", "--port", "0", "--root", root]
    env = {**os.environ, **environment}
    with log.open("w") as stderr, subprocess.Popen(command, env=env, stderr=stderr) as process:
        family = []
        try:
            url = until(lambda: process.poll() is None and rooms.read(), _START_S).endpoint.url
            until(lambda: _is_ready(url), _START_S)
            family = psutil.Process(process.pid).children(recursive=True)
            yield url
        finally:
            process.terminate()
    until(lambda: not [child for child in family if runs(child)])


def _is_ready(url):
    try:
        return httpx2.get(f"{url}/readyz").status_code == 200
    except httpx2.TransportError:
        return False
