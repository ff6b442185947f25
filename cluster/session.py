"""The Ray side of a gateway: attach to a cluster or start one, and have the actors made."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ray

from actors.embedder import embedder_config
from actors.engines.registry import fingerprint
from actors.process import NAMESPACE, Config, find_or_make
from actors.router import RouterConfig
from actors.shard_host import HostConfig
from actors.steward import Steward, StewardConfig
from cluster.daemon import Rooms
from cluster.settings import Settings

_READY_S = 120.0


@dataclass(frozen=True, slots=True)
class Session:
    """Handles of the actors that a gateway calls; `actors` has all of them by name."""

    steward: Any
    router: Any
    embedder: Any
    actors: dict[str, Any]


def attach(settings: Settings, on_phase: Callable[[str], None]) -> Session:
    """Connect to Ray, and find or make the named actors; blocks for seconds.

    Raises:
        ShoalError: The model or the root is not usable.
        ConnectionError: No Ray answers at `ray_address`.
    """
    on_phase("starting Ray")
    _init(settings)
    on_phase("starting actors")
    config = steward_config(settings)
    steward = find_or_make(Steward, config)
    ray.get(steward.ready.remote(), timeout=_READY_S)

    made: tuple[Config, ...] = (*config.routers, *config.embedders, *config.hosts)
    actors = {c.name: ray.get_actor(c.name, namespace=NAMESPACE) for c in made}
    router, embedder = actors[config.routers[0].name], actors[config.embedders[0].name]
    return Session(steward, router, embedder, {config.name: steward, **actors})


def detach() -> None:
    """Leave the cluster; one that was started here ends, with everything in it."""
    ray.shutdown()


def steward_config(settings: Settings) -> StewardConfig:
    """Return which actors there should be."""
    root = settings.root_uri
    hosts = tuple(HostConfig(f"host-{number}", root) for number in range(settings.hosts))
    embedders = tuple(
        embedder_config(f"embedder-{number}", settings.model, settings.keep_alive_s)
        for number in range(settings.embedders)
    )
    router = RouterConfig(
        name="router-0",
        root=root,
        model=str(fingerprint(settings.model)),
        embedders=tuple(made.name for made in embedders),
        hosts=tuple(made.name for made in hosts),
    )
    return StewardConfig("steward", root, embedders, hosts, (router,))


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
