"""A gateway of a test's own, with settings of its own, gone when the test is over."""

import os
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import pytest
from waiting import runs, until

from cluster import daemon
from cluster.client import ShoalClient
from cluster.settings import Settings

ENFORCEMENTS = ("cgroup", "rlimit")
LIAR = Path(__file__).parent / "faults" / "liar"


@contextmanager
def own_gateway(root, **environment):
    """Yield a client of a gateway for `root`; `environment` is the gateway's and its actors'."""
    with patch.dict(os.environ, environment):
        settings = Settings(root=str(root))
        daemon.find_or_start(settings)
        running = daemon.find(settings)
        family = [running.process, *running.process.children(recursive=True)]
        try:
            with ShoalClient(root=str(root)) as client:
                yield client
        finally:
            running = daemon.find(settings)
            if running:
                family += [running.process, *running.process.children(recursive=True)]
            daemon.stop(settings)
    until(lambda: not [process for process in family if runs(process)])


@contextmanager
def capped_gateway(top, enforcement, **environment):
    """Yield a client whose gateway holds actors to their limits in one way; it has a collection."""
    if enforcement == "cgroup" and not can_make_cgroups():
        pytest.skip("control groups cannot be made here; root could")
    (top / "sound.md").write_text("# Zebra crossing\n")
    environment["SHOAL_MEMORY_ENFORCEMENT"] = enforcement
    with own_gateway(top / "root", **environment) as shoal:
        shoal.wait(shoal.index([top / "sound.md"], collection="sound"))
        yield shoal


def can_make_cgroups():
    return os.access("/sys/fs/cgroup/memory", os.W_OK) or os.access("/sys/fs/cgroup", os.W_OK)
