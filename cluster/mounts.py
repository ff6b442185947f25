"""Folders of a cluster of several machines: which nodes read a source."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cluster.addresses import holds, is_uri


def reading_options(root: str, shared: Sequence[str]) -> dict[str, Any]:
    """Return where the tasks that read a source run: on the gateway's node, where only it has it.

    Args:
        root: A folder or an object-store URI.
        shared: Folders that every node mounts alike.
    """
    if is_uri(root) or any(holds(folder, root) for folder in shared):
        return {}
    here = node_here()
    options = {"scheduling_strategy": NodeAffinitySchedulingStrategy(here, soft=False)}
    has_cores = any(node["NodeID"] == here and node["Resources"].get("CPU") for node in ray.nodes())
    return options if has_cores else {**options, "num_cpus": 0}  # a head is often given none


def node_here() -> str:
    """Return the id of the node that this process runs on."""
    node: str = ray.get_runtime_context().get_node_id()
    return node
