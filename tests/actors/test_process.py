"""Actors by name, on a Ray of their own."""

import subprocess
import sys

SCRIPT = """
import os
import ray
from actors.embedder import Embedder, embedder_config
from actors.process import find_or_make

ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, configure_logging=False)
config = embedder_config("e", "static:builtin", 300)
first = find_or_make(Embedder, config)
same = find_or_make(Embedder, config)
pid = ray.get(first.status.remote()).pid
assert ray.get(same.status.remote()).pid == pid
assert ray.get(first.status.remote()).detail["state"] == "unloaded"
other = find_or_make(Embedder, embedder_config("e", "static:builtin", 5))
assert ray.get(other.status.remote()).pid != pid
assert ray.get(other.configuration.remote()).keep_alive_s == 5
assert ray.get(other.embed.remote(["text"], "query")).shape == (1, 256)
assert ray.get(other.status.remote()).detail["state"] == "ready"
print("as it should be")
"""


def test_an_actor_is_found_by_name_only_if_it_was_made_the_same_way():
    done = subprocess.run(
        [sys.executable, "-P", "-W", "ignore", "-c", SCRIPT],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.stdout.endswith("as it should be\n"), done.stderr
