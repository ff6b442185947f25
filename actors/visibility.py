"""Whether every node of a cluster sees the same storage root: a local folder need not be mounted.

A node that does not would serve nothing of what others write, and write what nobody else finds.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.errors import StorageError

_log = logging.getLogger("shoal.visibility")

_ANSWER_S = 60.0
"""For a node to start a process and read a file."""

Nodes = Mapping[str, str]
"""Node id → address."""
Probe = Callable[[str, Nodes], dict[str, str | None]]
"""Reads a file on nodes; returns what each that answers read, None where it is not there."""


def living_nodes() -> dict[str, str]:
    """Return the nodes that are alive."""
    return {n["NodeID"]: n["NodeManagerAddress"] for n in ray.nodes() if n["Alive"]}


def read_on(file: str, nodes: Nodes) -> dict[str, str | None]:
    """Read a file on each node; one that does not answer is left out."""
    calls = {
        node: _read.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)
        ).remote(file)
        for node in nodes
    }
    answers: dict[str, str | None] = {}
    for node, call in calls.items():
        try:
            answers[node] = ray.get(call, timeout=_ANSWER_S)
        except RayError as error:
            _log.warning("node %s does not say whether it sees the root: %s", nodes[node], error)
    return answers


def blind_nodes(root: str, nodes: Nodes, probe: Probe = read_on) -> list[str]:
    """Return the nodes on which a root is another folder than here; none of a single one is asked.

    Args:
        root: The storage root; an object store is the same everywhere.
        nodes: The nodes.
        probe: Reads a file there.
    """
    if "://" in root or len(nodes) < 2:  # noqa: PLR2004 - there must be another than this
        return []
    token = secrets.token_hex(16)
    file = Path(root) / f"probe-{token}"
    file.write_text(token)
    try:
        return [node for node, said in probe(str(file), nodes).items() if said != token]
    finally:
        file.unlink(missing_ok=True)


def refuse_blind_nodes(root: str, nodes: Nodes, probe: Probe = read_on) -> None:
    """Raise where a node does not see the root.

    Raises:
        StorageError: It names these nodes and the way out.
    """
    blind = blind_nodes(root, nodes, probe)
    if blind:
        raise StorageError(blindness(root, [nodes[node] for node in blind]))


def blindness(root: str, addresses: list[str]) -> str:
    """Say what it means that nodes do not see the root, and the way out."""
    return (
        f"the root {root} is not the same folder on {', '.join(sorted(addresses))}: mount it on "
        "every node at this path, or take an object store as in SHOAL_ROOT=s3://bucket/shoal"
    )


class RootWatch:
    """Asks nodes that join later.

    Args:
        root: The storage root.

    Attributes:
        problem: What is wrong, or "".
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self._asked: frozenset[str] = frozenset()
        self.problem = ""

    def look(self, nodes: Nodes, probe: Probe = read_on) -> None:
        """Ask where a node is new, or did not see the root when last asked."""
        if self.problem or not self._asked.issuperset(nodes):
            blind = blind_nodes(self._root, nodes, probe)
            self.problem = blindness(self._root, [nodes[n] for n in blind]) if blind else ""
        self._asked = frozenset(nodes)


def _content(file: str) -> str | None:
    with suppress(OSError):
        return Path(file).read_text()
    return None


_read = ray.remote(num_cpus=0, max_retries=0)(_content)
