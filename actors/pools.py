"""Pools: for each model that a collection needs, its replicas; made when needed, ended when not."""

from __future__ import annotations

import logging
import math
import time
from collections import defaultdict
from collections.abc import Container, Iterable
from dataclasses import replace
from threading import Lock
from typing import Any

import ray

from actors.asking import answers_within, wait_until_started
from actors.embedder import Embedder, EmbedderConfig
from actors.errors import MemoryLimitExceeded, ShoalError
from actors.layout import Layout, PoolDemand, prefix_of
from actors.machines import Machines, placed_at, refuse_where_full
from actors.messages import POOL_LEASE_S, ActorStatus, Pool
from actors.model import ModelState
from actors.pool_plan import (
    REPLICA,
    PoolPlan,
    card_of,
    demand_of,
    missing_in,
    names_in,
    pool_of,
)
from actors.process import (
    NAMESPACE,
    end_actor,
    find_actor,
    find_or_make,
    largest_memory_free,
    names_of_actors,
)
from actors.scaling import Need

_log = logging.getLogger("shoal.pools")

_START_S = 40.0
"""For replicas that another steward made to say what they are."""
_SAY_S = 2.0
"""For replicas to say whether their model is loaded."""
_LOAD_S = 60.0
"""For the model of a replica that takes another's place; one that takes longer loads when asked."""


class Pools:
    """Makes and ends Embedders. Safe to use from several threads.

    Args:
        plan: How pools are made.
        steward: Actor name of who is told of loads.
        machines: Say where they run, and how many.
    """

    def __init__(self, plan: PoolPlan, steward: str, machines: Machines) -> None:
        self._plan = plan
        self._steward = steward
        self._machines = machines
        self._pools: dict[str, Pool] = {}
        self._leases: dict[str, float] = {}
        self._making = Lock()

    def get(self, model: str, fingerprint: str = "") -> Pool:
        """Return the pool of a model, made where there is none.

        Args:
            model: The model's name, or "" for the default.
            fingerprint: What its vectors must be, or "" for whatever its files are now.

        Raises:
            ModelMismatch: The model's files are not those of `fingerprint`.
            ModelLoadError: The model's files cannot be read.
            MemoryLimitExceeded: No node of the cluster has the memory for a replica.
        """
        with self._making:
            known = self._pools.get(fingerprint)
            if known is None:
                known = self._made(model, fingerprint)
            self._leases[str(known.fingerprint)] = time.monotonic() + self._lease_s(known)
            return known

    def all(self) -> tuple[Pool, ...]:
        """Return the pools that there are."""
        return tuple(self._pools.values())

    def retire(self, needed: Iterable[str]) -> list[Pool]:
        """End the pools whose fingerprint is not among the needed; return them."""
        keep = set(needed)
        with self._making:
            now = time.monotonic()
            ended = [
                pool
                for key, pool in self._pools.items()
                if key not in keep and self._leases[key] < now
            ]
            for pool in ended:
                del self._pools[str(pool.fingerprint)]
                for name in pool.embedders:
                    end_actor(name)
                _log.info("no collection needs %s: its replicas ended", pool.model)
        return ended

    def demands(self) -> tuple[PoolDemand, ...]:
        """Return what the pools want of the machines."""
        return tuple(map(demand_of, self.all()))

    def needs(self, layout: Layout) -> list[Need]:
        """Return what the replicas take that a layout has more."""
        setting = self._plan.memory.setting
        needs = (
            Need(
                f"replica of {pool.model}", len(missing_in(layout, pool)), pool.limit_bytes, setting
            )
            for pool in self.all()
        )
        return [need for need in needs if need.count > 0]

    def missing(self, layout: Layout) -> list[str]:
        """Return the names of the replicas that a layout has more."""
        return [name for pool in self.all() for name in missing_in(layout, pool)]

    def beyond(self, layout: Layout) -> list[str]:
        """Return the names of the replicas that a layout does not have."""
        kept = {name for pool in self.all() for name in names_in(layout, pool)}
        return [name for pool in self.all() for name in pool.embedders if name not in kept]

    def grow(self, layout: Layout) -> None:
        """Give every pool the replicas that a layout has more, asked once they have started.

        Where one takes another's place that has its model loaded, it loads the model before.

        Raises:
            MemoryLimitExceeded: No node has the memory for one of them.
            GatewayUnavailable: One does not start. The pools are as they were, either way.
        """
        further = [(pool, missing_in(layout, pool)) for pool in self.all()]
        made: dict[str, Any] = {}
        try:
            for pool, names in further:
                made |= self._make(pool, names, layout)
            wait_until_started(made)
        except ShoalError:
            for name in (name for _, names in further for name in names):
                end_actor(name)
            raise
        _load_beside_loaded(further, layout, made)
        added = {str(pool.fingerprint): names for pool, names in further}
        with self._making:
            self._pools = {
                key: replace(pool, embedders=(*pool.embedders, *added.get(key, ())))
                for key, pool in self._pools.items()
            }

    def shrink(self, layout: Layout) -> tuple[str, ...]:
        """Take out the replicas that a layout does not have; return their names.

        They are to be ended once none asks them.
        """
        with self._making:
            pools = self._pools
            self._pools = {
                key: replace(pool, embedders=names_in(layout, pool)) for key, pool in pools.items()
            }
            kept = {name for pool in self._pools.values() for name in pool.embedders}
            names = (name for pool in pools.values() for name in pool.embedders)
            return tuple(name for name in names if name not in kept)

    def take_over(self, there: Iterable[str]) -> None:
        """Find the pools whose replicas are `there`, too many or in the wrong place though."""
        names = [name for name in there if name.startswith(REPLICA)]
        asked = {n: ray.get_actor(n, namespace=NAMESPACE).configuration.remote() for n in names}
        replicas: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        configs: list[EmbedderConfig] = answers_within(asked, _START_S)
        for config in configs:
            replicas[config.model, config.weights].append(config.name)
        for (model, weights), known in replicas.items():
            try:
                self._take(model, weights, known)
            except ShoalError as error:
                _log.warning("the replicas of %s are left alone: %s", model, error)

    def _take(self, model: str, weights: str, names: Iterable[str]) -> None:
        card = card_of(model, weights)
        with self._making:
            layout = self._machines.layout(self.demands())
            pool = pool_of(card, self._plan, layout.replica_most)
            pool = replace(pool, embedders=tuple(sorted(names)))
            self._make(pool, pool.embedders, layout)
            self._pools[weights] = pool
            self._leases[weights] = time.monotonic() + self._lease_s(pool)

    def mend(self, there: Container[str]) -> None:
        """Make again the replicas whose names are not `there`."""
        with self._making:
            gone = {
                key: names
                for key, pool in self._pools.items()
                if (names := [name for name in pool.embedders if name not in there])
            }
            if gone:
                layout = self._machines.layout(self.demands())
                for key, names in gone.items():
                    self._make(self._pools[key], names, layout)

    def _made(self, model: str, fingerprint: str) -> Pool:
        """Make the pool of a model, or return the one that there is under its fingerprint."""
        card = card_of(model or self._plan.default_model, fingerprint)
        key = str(card.fingerprint)
        if key not in self._pools:
            most = self._machines.layout(self.demands()).replica_most
            pool = pool_of(card, self._plan, most)
            layout = self._machines.layout((*self.demands(), demand_of(pool)))
            names = tuple(place.name for place in layout.replicas(prefix_of(pool.embedders[0])))
            if not names:
                raise _no_place(pool, layout)
            pool = replace(pool, embedders=names)
            self._make(pool, names, layout)
            self._pools[key] = pool
        return self._pools[key]

    def _lease_s(self, pool: Pool) -> float:
        """Return how long a pool lives after it was asked for, where no collection needs it.

        None ever needs a cross-encoder: it lives as long as its model stays loaded.
        """
        keep_s = self._plan.keep_alive_s
        if pool.fingerprint.task == "embed" or 0 <= keep_s <= POOL_LEASE_S:
            return POOL_LEASE_S
        return math.inf if keep_s < 0 else keep_s

    def _make(self, pool: Pool, names: Iterable[str], layout: Layout) -> dict[str, Any]:
        """Find or make replicas of a pool and return their handles by name."""
        made = {}
        there = names_of_actors()
        places = {name: layout.place(name) for name in names}
        new = [place for name, place in places.items() if place and name not in there]
        refuse_where_full(new, layout)
        for name, place in places.items():
            config = self._config_of(name, pool, len(layout.nodes) > 1)
            if name not in there and (place is None or place.node):
                _refuse_where_no_node_has_room(config)
            made[name] = find_or_make(Embedder, config, **placed_at(place, layout))
        return made

    def _config_of(self, name: str, pool: Pool, is_cluster: bool) -> EmbedderConfig:
        follows_node = is_cluster and self._plan.sized_by_model
        memory = replace(self._plan.memory, limit_bytes=pool.limit_bytes, follows_node=follows_node)
        return EmbedderConfig(
            name=name,
            model=pool.model,
            weights=str(pool.fingerprint),
            keep_alive_s=self._plan.keep_alive_s,
            threads=self._plan.threads,
            memory=memory,
            steward=self._steward,
            prefault=self._plan.prefault,
        )


def _load_beside_loaded(
    further: Iterable[tuple[Pool, list[str]]], layout: Layout, made: dict[str, Any]
) -> None:
    """Load the model of those that take the place of one that has it loaded."""
    calls: dict[str, Any] = {}
    for pool, names in further:
        going = [name for name in pool.embedders if name not in names_in(layout, pool)]
        handles = {n: handle for n in going if (handle := find_actor(n)) is not None}
        asked = {n: handle.status.remote() for n, handle in handles.items()}
        if any(_is_loaded(status) for status in answers_within(asked, _SAY_S)):
            calls |= {name: made[name].load.remote() for name in names}
    answers_within(calls, _LOAD_S)


def _is_loaded(status: ActorStatus) -> bool:
    return status.detail["state"] == ModelState.READY.value


def _refuse_where_no_node_has_room(config: EmbedderConfig) -> None:
    """Raise where Ray would leave the actor waiting for memory for ever."""
    free = largest_memory_free()
    if config.memory.limit_bytes > free:
        message = (
            f"a replica of {config.model} may use {config.memory.limit_bytes >> 20} MiB, and the "
            f"node with most room has {free >> 20} MiB left for actors; lower "
            "SHOAL_EMBEDDER_MEMORY, have fewer actors with `shoal scale`, or delete collections of "
            "other models"
        )
        raise MemoryLimitExceeded(message, retry_after_s=10.0)


def _no_place(pool: Pool, layout: Layout) -> MemoryLimitExceeded:
    message = (
        f"no node has a place for a replica of {pool.model}, which may use "
        f"{pool.limit_bytes >> 20} MiB: {' '.join(layout.notes)}"
    )
    return MemoryLimitExceeded(message, retry_after_s=10.0)
