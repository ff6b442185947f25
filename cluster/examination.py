"""A cluster examined by its gateway: every node from a task on it, every actor by its status."""

from __future__ import annotations

import asyncio
import os
import platform
import time
from collections import Counter
from collections.abc import Iterator, Sequence

from ray._private.authentication.authentication_utils import is_token_auth_enabled
from ray.exceptions import RayError

from actors.asking import ask_head
from actors.examining.machine import versions
from actors.examining.nodes import examine
from actors.examining.reports import Examined
from actors.visibility import living_nodes
from cluster.daemon import Rooms
from cluster.exposure import of_listening, of_ray, of_ray_token
from cluster.judging import found, of_node, of_versions
from cluster.protocol import Replica, Status
from cluster.settings import Settings
from cluster.upkeep_protocol import Check, Diagnosis

_HEAD_S = 5.0
_GATEWAY = "gateway"


async def diagnosis(settings: Settings, status: Status) -> Diagnosis:
    """Examine a cluster.

    Args:
        settings: Of its gateway, which runs here.
        status: As the gateway found it just now.
    """
    ours = {"python": platform.python_version(), **versions()}
    checks = [*_of_gateway(settings), *_of_actors(status)]
    unchecked: list[str] = []
    try:
        nodes = await ask_head("living nodes", living_nodes, _HEAD_S)
    except (TimeoutError, RayError, RuntimeError, OSError) as error:
        what = f"its head does not answer ({str(error) or type(error).__name__})"
        way_out = "start Ray's head again; the gateway and its nodes find it"
        checks.append(found("nodes", "cluster", "error", what, way_out))
        unchecked.append("the nodes of the cluster, and storage as they see it: no head answers")
    else:
        examined = await examine(settings.root_uri, nodes)
        checks += await asyncio.to_thread(lambda: list(_of_nodes(settings, ours, examined)))
    return Diagnosis(
        checks=tuple(checks), unchecked=tuple(unchecked), versions=ours, clock=time.time()
    )


def _of_gateway(settings: Settings) -> Iterator[Check]:
    running = Rooms(settings).read()
    if running and running.pid == os.getpid():
        yield of_listening(running.endpoint, settings, _GATEWAY)
    has_tokens = is_token_auth_enabled()
    yield of_ray(has_tokens, _GATEWAY)
    if has_tokens and settings.ray_address:  # of a Ray of our own it is in no file
        yield from of_ray_token(_GATEWAY)


def _of_nodes(
    settings: Settings, ours: dict[str, str], examined: Sequence[Examined]
) -> Iterator[Check]:
    shared = 0 if settings.ray_address else settings.object_store_bytes
    for node in examined:
        yield from of_node(node, settings.root_uri, shared)
    machines = {node.address: node.report.machine for node in examined if node.report}
    theirs = {where: {"python": m.python, **m.versions} for where, m in machines.items()}
    yield from of_versions(ours, theirs, "the gateway")


def _of_actors(status: Status) -> Iterator[Check]:
    for r in status.replicas:
        if r.problem:
            way_out = "wait, if it restarts; else its log says why, see `shoal status`"
            yield found("actors", r.name, "error", r.problem, way_out)
    answering = [r for r in status.replicas if not r.problem]
    yield found("actors", "cluster", "ok", f"{len(answering)} actors answer")
    yield from _in_force(answering)
    for collection in status.collections:
        if collection.problem:
            way_out = f"`shoal collections verify {collection.name}` says more, and the way out"
            yield found("collections", collection.name, "error", collection.problem, way_out)


def _in_force(answering: Sequence[Replica]) -> Iterator[Check]:
    """Tell what holds actors to their limits at this moment, and who is held by nothing."""
    held = Counter(r.enforcement for r in answering if r.enforcement)
    if held:
        told = ", ".join(f"{count} by {by}" for by, count in held.most_common())
        yield found("enforcement", "cluster", "ok", f"actors are held to their limits: {told}")
    for r in answering:
        if not r.enforcement:
            what = "nothing holds it to its limit"
            yield found("enforcement", r.name, "error", what, "its log says why; restart it")
