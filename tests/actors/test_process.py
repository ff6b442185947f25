"""Actors by name, on a Ray of their own, and the memory that a cluster has for them."""

import subprocess
import sys

import pytest

from actors import process

GIB = 1 << 30

SCRIPT = """
import os
from dataclasses import replace

import ray
from actors.embedder import Embedder, EmbedderConfig
from actors.engines.registry import describe
from actors.process import MemoryConfig, find_or_make


def config_of(keep_alive_s):
    memory = MemoryConfig(400 << 20, 0.8, 0.95, "watchdog", 80 << 20, "SHOAL_EMBEDDER_MEMORY")
    weights = str(describe("static:builtin").fingerprint)
    return EmbedderConfig("e", "static:builtin", weights, keep_alive_s, 1, memory)


ray.init("local", num_cpus=1, include_dashboard=False, log_to_driver=False, configure_logging=False)
config = config_of(300)
first = find_or_make(Embedder, config)
same = find_or_make(Embedder, config)
pid = ray.get(first.status.remote()).pid
assert ray.get(same.status.remote()).pid == pid
assert ray.get(first.status.remote()).detail["state"] == "unloaded"
other = find_or_make(Embedder, config_of(5))
assert ray.get(other.status.remote()).pid != pid
assert ray.get(other.configuration.remote()).keep_alive_s == 5
pid = ray.get(other.status.remote()).pid
smaller = replace(config_of(5).memory, limit_bytes=300 << 20, follows_node=True)
kept = find_or_make(Embedder, replace(config_of(5), memory=smaller))
assert ray.get(kept.status.remote()).pid == pid
assert ray.get(kept.configuration.remote()).memory.limit_bytes == 400 << 20
assert ray.get(other.embed.remote(["text"], "query")).vectors.shape == (1, 320)
assert ray.get(other.status.remote()).detail["state"] == "ready"
print("as it should be")
"""


def test_an_actor_is_found_by_name_only_if_it_was_made_the_same_way_but_for_a_limit_of_its_node():
    done = subprocess.run(
        [sys.executable, "-P", "-W", "ignore", "-c", SCRIPT],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.stdout.endswith("as it should be\n"), done.stderr


@pytest.mark.parametrize(
    ("free_by_node", "largest"),
    [
        ({"a": {"memory": 3.0 * GIB}}, 3 * GIB),
        ({"a": {"memory": 1.0 * GIB}, "b": {"memory": 1.5 * GIB}}, 1.5 * GIB),
        ({"a": {"CPU": 2.0}, "b": {"memory": 1.0 * GIB}}, GIB),
        ({"a": {"CPU": 2.0}}, 0),
        ({}, 0),
    ],
)
def test_what_nodes_have_free_is_not_added_up(monkeypatch, free_by_node, largest):
    monkeypatch.setattr(process, "available_resources_per_node", lambda: free_by_node)
    assert process.largest_memory_free() == largest
