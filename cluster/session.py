"""The Ray side of a gateway: attach to a cluster or start one, and have the actors made.

A gateway may be a process of the cluster's own, as a replica of Ray Serve is: it is attached then.
"""

from __future__ import annotations

import logging
import os
import shutil
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import ray

from actors.errors import GatewayUnavailable
from actors.fleet import FleetPlan
from actors.memory import Budgets, node_memory, plan_budgets
from actors.messages import AUTO, Scale
from actors.placement import on_one_machine
from actors.pool_plan import PoolPlan
from actors.process import NAMESPACE, MemoryConfig, find_actor, find_or_make
from actors.scaling import SCALES
from actors.steward import Steward, StewardConfig
from actors.visibility import living_nodes, refuse_blind_nodes
from cluster.daemon import Rooms
from cluster.settings import Settings

_log = logging.getLogger("shoal.session")

STEWARD = "steward"
_CALLS_AT_ONCE = 4
"""Of the steward's: pools are found and publications announced while it scales."""
_READY_S = 120.0
_HEAD_S = 3.0
_JOINED_S = 300.0
"""For the nodes of a new cluster to install what they need, and to join."""
_PAUSE_S = 0.2
_IDLE_MS = 10_000
"""How long Ray keeps a process that has nothing to do. A stage of a job waits seconds for the next
block, and a new process takes seconds of processor to import what its last one had imported:
within Ray's own second, a quarter of a large job's time went there."""
_TOO_SLOW = "timed out during startup"
"""What Ray says where its processes took over 30 s to start, which it cannot be told to bear."""


def attach(settings: Settings, budgets: Budgets, on_phase: Callable[[str], None]) -> Any:  # noqa: ANN401 - an untyped Ray handle
    """Connect to Ray, find or make the steward, and return its handle once all actors are there.

    Blocks for seconds.

    Raises:
        ShoalError: The root is not usable, or is not the same folder on every node.
        ConnectionError: No Ray answers at `ray_address`.
    """
    on_phase("starting Ray")
    _init(settings, budgets)
    wait_for_nodes(settings.nodes, on_phase)
    refuse_blind_nodes(settings.root_uri, living_nodes())
    on_phase("starting actors")
    config = _as_it_runs(settings, budgets) or steward_config(settings, budgets)
    steward = find_or_make(Steward, config, max_concurrency=_CALLS_AT_ONCE)
    ray.get(steward.ready.remote(), timeout=_READY_S)
    return steward


def detach() -> None:
    """Leave the cluster; one that was started here ends, with everything in it."""
    if not _is_member():
        ray.shutdown()


def wait_for_nodes(wanted: int, on_phase: Callable[[str], None]) -> None:
    """Wait until so many nodes have joined a new cluster: actors need not move then.

    Where actors are there already, or a node does not come, the others serve.
    """
    if find_actor(STEWARD) is not None:
        return
    give_up = time.monotonic() + _JOINED_S
    while (joined := len(living_nodes())) < wanted:
        on_phase(f"waiting for nodes: {joined} of {wanted} have joined")
        if time.monotonic() > give_up:
            _log.warning("only %d of %d nodes have joined; they serve alone", joined, wanted)
            return
        time.sleep(_PAUSE_S)


def _is_member() -> bool:
    """Tell whether this process is an actor of a cluster."""
    return ray.is_initialized() and ray.get_runtime_context().get_actor_id() is not None


def _as_it_runs(settings: Settings, budgets: Budgets) -> StewardConfig | None:
    """Return the configuration of the steward that runs, where the settings mean the same.

    What nobody chose was planned on the machine of the gateway that came first, and another's may
    be larger: that alone is no reason to replace what runs.

    Raises:
        GatewayUnavailable: The cluster's actors serve another root: they would be taken over.
    """
    steward = find_actor(STEWARD)
    if steward is None:
        return None
    running: StewardConfig = ray.get(steward.configuration.remote(), timeout=_READY_S)
    if running.root != settings.root_uri:
        message = f"this Ray cluster serves the root {running.root}; use that, or another cluster"
        raise GatewayUnavailable(message)
    planned = replace(
        budgets,
        embedder=int(settings.embedder_memory or running.pools.memory.limit_bytes),
        host=int(settings.host_memory or running.fleet.host_memory.limit_bytes),
        control=int(settings.control_memory or running.memory.limit_bytes),
    )
    threads = settings.threads or running.pools.threads
    meant = steward_config(settings.model_copy(update={"threads": threads}), planned)
    return running if meant == running else None


def plan_memory(settings: Settings) -> Budgets:
    """Return what memory each actor may use, from the settings and this machine.

    Raises:
        InvalidRequest: A setting is more than the machine has.
    """
    chosen = {
        kind: int(size)
        for kind in ("embedder", "host", "control")
        if (size := getattr(settings, f"{kind}_memory")) is not None
    }
    scale = on_one_machine(_scale(settings))
    return plan_budgets(
        node_memory(),
        hosts=scale.hosts,
        embedders=scale.embedders,
        routers=scale.routers,
        chosen=chosen,
        is_alone=not settings.ray_address and not _is_member(),
    )


def steward_config(settings: Settings, budgets: Budgets) -> StewardConfig:
    """Return which actors there should be, and what memory each may use.

    Memory of a single machine is divided by the counts in the settings: a scale that is asked for
    later makes or ends actors, and none is made anew for it. In a cluster the steward finds out
    from the nodes what is not set.
    """
    root = settings.root_uri

    def memory(kind: str) -> MemoryConfig:
        return MemoryConfig(
            limit_bytes=getattr(budgets, kind),
            soft=settings.memory_soft,
            hard=settings.memory_hard,
            enforcement=settings.memory_enforcement,
            object_store_bytes=settings.object_store_bytes,
            setting=f"SHOAL_{kind.upper()}_MEMORY",
        )

    cores = os.cpu_count() or 1
    pools = PoolPlan(
        default_model=settings.model,
        keep_alive_s=settings.keep_alive_s,
        threads=settings.threads or max(1, cores // (settings.embedders or 1)),
        memory=memory("embedder"),
        sized_by_model=settings.embedder_memory is None,
        prefault=settings.prefault,
        gpus=settings.embedder_gpus,
    )
    follows = settings.host_memory is None
    fleet = FleetPlan(root, memory("host"), memory("control"), hosts_follow_node=follows)
    return StewardConfig(
        STEWARD, root, pools, fleet, _scale(settings), _scale_file(settings), memory("control")
    )


def _scale(settings: Settings) -> Scale:
    return Scale(
        embedders=settings.embedders or AUTO,
        hosts=settings.hosts or AUTO,
        replication=settings.replication,
        routers=settings.routers or AUTO,
    )


def _scale_file(settings: Settings) -> str:
    """Return where a cluster's scale is remembered: one root may serve several clusters."""
    address = settings.ray_address
    cluster = socket.gethostname() if address in ("", "auto", "local") else address
    if _is_member():
        cluster = ray.get_runtime_context().get_session_name()  # the same on every machine
    return f"{SCALES}/{quote(cluster, safe='')}.json"


def _check_head(address: str) -> None:
    """Raise where no head listens: Ray itself would try for minutes.

    Raises:
        GatewayUnavailable: Nobody answers at an address of the form host:port.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal():
        return
    give_up = time.monotonic() + _HEAD_S
    while True:
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=_HEAD_S).close()
        except OSError as error:
            if time.monotonic() > give_up:
                message = f"no Ray head answers at {address} ({error}); start it, or wait for it"
                raise GatewayUnavailable(message, retry_after_s=_HEAD_S) from error
            time.sleep(_PAUSE_S)
        else:
            return


def _init(settings: Settings, budgets: Budgets) -> None:
    common: dict[str, Any] = {
        "namespace": NAMESPACE,
        "log_to_driver": False,
        "logging_level": logging.WARNING,
    }
    if _is_member():
        return
    if settings.ray_address:
        _check_head(settings.ray_address)
        ray.init(address=settings.ray_address, **common)
        return
    folder = Rooms(settings).ray_folder
    shutil.rmtree(folder, ignore_errors=True)  # logs of a run that is over
    own: dict[str, Any] = {
        "include_dashboard": False,
        "object_store_memory": settings.object_store_bytes,
        "_memory": budgets.actors,
        "_temp_dir": str(folder),
        "_system_config": {"idle_worker_killing_time_threshold_ms": _IDLE_MS},
    }
    try:
        ray.init(**own, **common)
    except Exception as error:  # Ray raises no other
        if _TOO_SLOW not in str(error):
            raise
        _log.warning("%s Once more.", error)
        ray.shutdown()
        ray.init(**own, **common)
