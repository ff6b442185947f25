"""Two machines of one cluster, of which one does not have the other's folders."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BLIND = """
mount -t tmpfs tmpfs "$1" && exec "$2" start --address="$3" --num-cpus=1 --block
"""
DRIVER = """
import json, subprocess, sys, time
import ray
from ray.cluster_utils import Cluster
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from actors.errors import ShoalError
from actors.visibility import blind_nodes, living_nodes, refuse_blind_nodes
from cluster.ingest.pipeline import BlockOfFiles, read_block
from cluster.ingest.walk import FoundFile
from cluster.mounts import node_here, reading_options

blind, top, start = sys.argv[1:4]
size = {"num_cpus": 1, "memory": 1 << 30, "object_store_memory": 80 << 20}
cluster = Cluster(initialize_head=True, head_node_args={**size, "include_dashboard": False})
ray.init(address=cluster.address, logging_level="ERROR", log_to_driver=False)
worker = subprocess.Popen(
    ["unshare", "--mount", "sh", "-c", blind, "sh", top, start, cluster.address],
    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
)
read = ray.remote(num_returns=2, max_retries=0)(read_block)
block = BlockOfFiles("c", top + "/docs", 0, (FoundFile("a.md", 4),), {}, 100)

def said(**options):
    try:
        return list(ray.get(read.options(**options).remote(block)[0]).changed)
    except ray.exceptions.RayTaskError as error:
        return str(error.cause)

try:
    while len(living_nodes()) < 2:
        assert worker.poll() is None, "the second node did not start"
        time.sleep(0.1)
    other = next(node for node in living_nodes() if node != node_here())
    there = NodeAffinitySchedulingStrategy(other, soft=False)
    try:
        refuse_blind_nodes(top, living_nodes())
        refused = ""
    except ShoalError as error:
        refused = str(error)
    print(json.dumps({
        "refused": refused,
        "blind": blind_nodes(top, living_nodes()) == [other],
        "unseen": said(scheduling_strategy=there),
        "pinned": [said(**reading_options(block.root, ())) for _ in range(4)],
    }), flush=True)
finally:
    worker.terminate()
    worker.wait()
    ray.shutdown()
    cluster.shutdown()
"""


@pytest.mark.skipif(os.getuid() != 0, reason="a node with mounts of its own takes root")
def test_a_folder_that_the_other_node_lacks_is_refused_as_root_and_read_where_it_is(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/a.md").write_text("# A\n")
    ray = Path(sys.executable).parent / "ray"
    done = subprocess.run(
        [sys.executable, "-P", "-W", "ignore", "-c", DRIVER, BLIND, str(tmp_path), str(ray)],
        check=False,
        capture_output=True,
        text=True,
        timeout=170,
        env={**os.environ, "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"},
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["refused"].startswith(f"the root {tmp_path} is not the same folder on ")
    assert told["blind"]
    assert told["unseen"].startswith(f"folder {tmp_path}/docs is not there on node ")
    assert told["pinned"] == [["a.md"]] * 4
