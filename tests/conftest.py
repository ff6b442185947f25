"""Shared by all tests: one real gateway with its own Ray, and a small project."""

from __future__ import annotations

import os
import secrets
import urllib.request

import pytest
from s3 import running_s3_server, s3_environment
from waiting import runs, until

from cluster import daemon
from cluster.client import ShoalClient
from cluster.settings import Settings

os.environ.setdefault("SHOAL_SHARDS", "2")  # so that there is something to merge, and to miss
os.environ["SHOAL_CONFIG"] = ""  # whoever runs the tests may have a file of their own


@pytest.fixture(scope="session")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("root")


@pytest.fixture(scope="session")
def gateway(root):
    """Yield the settings of a running gateway; afterwards, nothing of it may be left."""
    settings = Settings(root=str(root))
    daemon.find_or_start(settings)
    running = daemon.find(settings)
    family = [running.process, *running.process.children(recursive=True)]
    yield settings
    assert daemon.stop(settings)
    until(lambda: not [process for process in family if runs(process)])


@pytest.fixture
def shoal(gateway):
    with ShoalClient(root=gateway.root) as client:
        yield client


@pytest.fixture
def folder(tmp_path):
    """A small project."""
    files = {
        "src/cache.py": (
            "def evict(entries):\n    # Drop the least recently used entry.\n    entries.pop()\n"
        ),
        "src/http.go": (
            "package http\n\n// ParseCookie reads one cookie header.\n"
            "func ParseCookie(line string) string {\n\treturn line\n}\n"
        ),
        "README.md": "# Manual\n\nHow to install.\n\n## Windows\n\nRun the installer.\n",
        ".gitignore": "*.log\n",
        "noise.log": "not indexed\n",
    }
    top = tmp_path / "project"
    for name, text in files.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text)
    return top


@pytest.fixture(scope="session")
def s3_server():
    """Yield the address of an S3 server on loopback."""
    with running_s3_server() as address:
        yield address


@pytest.fixture
def bucket(s3_server, monkeypatch, tmp_path):
    """Return the URI of a bucket of the test's own; the environment has what it takes to use it."""
    for name, value in s3_environment(s3_server).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    name = f"bucket-{secrets.token_hex(4)}"
    urllib.request.urlopen(urllib.request.Request(f"{s3_server}/{name}", method="PUT")).close()
    return f"s3://{name}"
