"""The vLLM engine in a real Embedder: it loads on first use, and unloads by ending its process."""

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys
import ray
from actors.embedder import Embedder, EmbedderConfig
from actors.process import MemoryConfig, find_or_make
from waiting import until

model, weights = sys.argv[1:]
ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
memory = MemoryConfig(2 << 30, 0.8, 0.95, "auto", 80 << 20)
replica = find_or_make(Embedder, EmbedderConfig("e", model, weights, 10.0, 2, memory))

def status():
    try:
        return ray.get(replica.status.remote())
    except ray.exceptions.ActorUnavailableError:
        return None

idle = status()
vectors = ray.get(replica.embed.remote(["sea"], "query")).vectors
loaded = status()
unloaded = until(lambda: (now := status()) and now.pid != loaded.pid and now)
again = ray.get(replica.embed.remote(["sea"], "query")).vectors
assert vectors.shape == (1, 384)
assert vectors[0] @ again[0] > 0.999
print(idle.detail["state"], loaded.detail["state"], unloaded.detail["state"])
print(loaded.peak_bytes > unloaded.pss_bytes + (500 << 20))
"""


def test_it_loads_when_first_used_and_its_unloading_frees_everything(card):
    model, weights = f"vllm:{card.path}", str(card.fingerprint)
    done = subprocess.run(
        [sys.executable, "-P", "-W", "ignore", "-c", SCRIPT, model, weights],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
        timeout=170,
    )
    assert done.stdout.endswith("unloaded ready unloaded\nTrue\n"), done.stderr[-2000:]
