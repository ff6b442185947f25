"""The Ray side of a gateway: attach to a cluster or start one, and have the actors made."""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Callable
from typing import Any

import ray

from actors.embedder import embedder_config
from actors.engines.registry import fingerprint
from actors.errors import GatewayUnavailable
from actors.process import NAMESPACE, Config, find_or_make
from actors.router import RouterConfig
from actors.shard_host import HostConfig
from actors.steward import Steward, StewardConfig
from cluster.daemon import Rooms
from cluster.settings import Settings

STEWARD, ROUTER, EMBEDDER = "steward", "router-0", "embedder-0"
_READY_S = 120.0


def attach(settings: Settings, on_phase: Callable[[str], None]) -> dict[str, Any]:
    """Connect to Ray, and find or make the named actors; return their handles by name.

    Blocks for seconds.

    Raises:
        ShoalError: The model or the root is not usable.
        ConnectionError: No Ray answers at `ray_address`.
    """
    on_phase("starting Ray")
    _init(settings)
    on_phase("starting actors")
    config = steward_config(settings)
    _refuse_another_root(config)
    steward = find_or_make(Steward, config)
    ray.get(steward.ready.remote(), timeout=_READY_S)

    made: tuple[Config, ...] = (*config.routers, *config.embedders, *config.hosts)
    actors = {c.name: ray.get_actor(c.name, namespace=NAMESPACE) for c in made}
    return {config.name: steward, **actors}


def detach() -> None:
    """Leave the cluster; one that was started here ends, with everything in it."""
    ray.shutdown()


def _refuse_another_root(config: StewardConfig) -> None:
    """Raise where the cluster's actors serve another root: they would be taken over."""
    with contextlib.suppress(ValueError):  # no steward yet
        steward = ray.get_actor(config.name, namespace=NAMESPACE)
        served = ray.get(steward.configuration.remote(), timeout=_READY_S).root
        if served != config.root:
            message = f"this Ray cluster serves the root {served}; use that, or another cluster"
            raise GatewayUnavailable(message)


def steward_config(settings: Settings) -> StewardConfig:
    """Return which actors there should be."""
    root = settings.root_uri
    hosts = tuple(HostConfig(f"host-{number}", root) for number in range(settings.hosts))
    embedders = tuple(
        embedder_config(f"embedder-{number}", settings.model, settings.keep_alive_s)
        for number in range(settings.embedders)
    )
    router = RouterConfig(
        name=ROUTER,
        root=root,
        model=str(fingerprint(settings.model)),
        embedders=tuple(made.name for made in embedders),
        hosts=tuple(made.name for made in hosts),
    )
    return StewardConfig(STEWARD, root, embedders, hosts, (router,))


def _init(settings: Settings) -> None:
    common: dict[str, Any] = {
        "namespace": NAMESPACE,
        "log_to_driver": False,
        "logging_level": logging.WARNING,
    }
    if settings.ray_address:
        ray.init(address=settings.ray_address, **common)
        return
    folder = Rooms(settings).ray_folder
    shutil.rmtree(folder, ignore_errors=True)  # logs of a run that is over
    ray.init(
        include_dashboard=False,
        object_store_memory=settings.object_store_bytes,
        _temp_dir=str(folder),
        **common,
    )
