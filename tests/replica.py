"""One real Embedder on a Ray of its own, driven by a script in another process."""

import os
import subprocess
import sys
from pathlib import Path

PRELUDE = """
import sys
import time
import ray
from actors.embedder import Embedder, EmbedderConfig
from actors.engines.registry import describe
from actors.process import MemoryConfig, find_or_make
from waiting import until

ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)


def replica(model, keep_alive_s=300.0, limit=1 << 30, threads=2):
    card = describe(model)
    memory = MemoryConfig(limit, 0.8, 0.95, "auto", 80 << 20, "SHOAL_EMBEDDER_MEMORY")
    config = EmbedderConfig(
        "e", str(card.spec), str(card.fingerprint), keep_alive_s, threads, memory
    )
    return find_or_make(Embedder, config)


def status(actor):
    return ray.get(actor.status.remote())


def settled(actor):
    'Return the least memory seen over two seconds: it is measured every half second.'
    seen = []
    for _ in range(8):
        time.sleep(0.25)
        seen.append(status(actor).pss_bytes)
    return min(seen)
"""


def run_with_replica(script, *arguments, timeout_s=120):
    """Run a script after `PRELUDE` and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-P", "-W", "ignore", "-c", PRELUDE + script, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout
