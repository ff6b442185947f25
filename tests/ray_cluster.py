"""A Ray cluster of several nodes on this machine, apart from any gateway; nodes come and go."""

import os
import subprocess
import sys
from contextlib import contextmanager

CLUSTER = """
import sys
from ray.cluster_utils import Cluster

size = {"num_cpus": 1, "memory": 4 << 30, "object_store_memory": 80 << 20}
config = {"idle_worker_killing_time_threshold_ms": 10000}
head = {**size, "include_dashboard": False, "_system_config": config}
cluster = Cluster(initialize_head=True, head_node_args=head)
print(cluster.address, flush=True)
workers = []
for line in sys.stdin:
    what, *number = line.split()
    if what == "add":
        workers.append(cluster.add_node(**size))
        print("added", workers[-1].all_processes["raylet"][0].process.pid, flush=True)
    else:
        cluster.remove_node(workers[int(*number)], allow_graceful=False)
        print("removed", flush=True)
cluster.shutdown()
"""


class RayCluster:
    """Adds and removes workers of a cluster that runs in a process of its own.

    `raylets` are the process ids of the workers' raylets, in the order in which they were added.
    """

    def __init__(self, process):
        self._process = process
        self.raylets = []
        (self.address,) = self._said(".")

    def add(self):
        """Add a worker; returns once it has joined."""
        self._do("add")
        self.raylets.append(int(self._said("added")[1]))

    def begin_to_remove(self, number):
        """Kill a worker with all that runs on it; returns at once."""
        self._do(f"remove {number}")

    def removed(self):
        """Return once the worker is gone."""
        self._said("removed")

    def _do(self, command):
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()

    def _said(self, word):
        line = ""
        while word not in line:  # Ray may say something of its own before
            line = self._process.stdout.readline()
            assert line, "the cluster has ended"
        return line.split()


@contextmanager
def ray_cluster(workers):
    """Yield a `RayCluster` of a head and so many workers."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-W", "ignore", "-c", CLUSTER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"},
    )
    with process:
        try:
            cluster = RayCluster(process)
            for _ in range(workers):
                cluster.add()
            yield cluster
        finally:
            process.stdin.close()
            process.wait(60)
