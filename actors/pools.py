"""Pools: for each model that a collection needs, its replicas; made when needed, ended when not."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Container, Iterable
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any

import ray

from actors.asking import answers_within, wait_until_started
from actors.embedder import Embedder, EmbedderConfig
from actors.engines.base import Fingerprint
from actors.engines.registry import describe
from actors.errors import MemoryLimitExceeded, ModelMismatch, ShoalError
from actors.memory import limit_for
from actors.messages import POOL_LEASE_S, Pool
from actors.process import (
    NAMESPACE,
    SPREAD,
    MemoryConfig,
    end_actor,
    find_or_make,
    largest_memory_free,
    names_of_actors,
)
from actors.scaling import Need

_log = logging.getLogger("shoal.pools")

_PREFIX = "embedder-"
"""Of the actor names of all replicas."""
_START_S = 40.0
"""For replicas that another steward made to say what they are."""


@dataclass(frozen=True, slots=True)
class PoolPlan:
    """How pools are made.

    Attributes:
        default_model: What a collection was made by that names no model.
        keep_alive_s: Seconds before an idle model is unloaded.
        threads: Computations at once in each Embedder.
        memory: The most that one Embedder may use.
        sized_by_model: A small model gets less.
        prefault: Read a model's weights ahead of a load.
    """

    default_model: str
    keep_alive_s: float
    threads: int
    memory: MemoryConfig
    sized_by_model: bool
    prefault: bool


class Pools:
    """Makes and ends Embedders. Safe to use from several threads.

    Args:
        plan: How pools are made.
        steward: Actor name of who is told of loads.
        replicas: Embedders in each pool.
    """

    def __init__(self, plan: PoolPlan, steward: str, replicas: int) -> None:
        self._plan = plan
        self._steward = steward
        self._replicas = replicas
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
            pool = known or self._described(model, fingerprint)
            key = str(pool.fingerprint)
            self._leases[key] = time.monotonic() + POOL_LEASE_S
            if key not in self._pools:
                self._make(pool)
                self._pools[key] = pool
            return self._pools[key]

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

    def needs(self, replicas: int) -> list[Need]:
        """Return what the replicas take that pools of `replicas` have more."""
        setting = self._plan.memory.setting
        needs = (
            Need(f"replica of {p.model}", replicas - len(p.embedders), p.limit_bytes, setting)
            for p in self.all()
        )
        return [need for need in needs if need.count > 0]

    def grow(self, replicas: int) -> None:
        """Give every pool more replicas, which are asked once they have started.

        Raises:
            MemoryLimitExceeded: No node has the memory for one of them.
            GatewayUnavailable: One does not start. The pools are as they were, either way.
        """
        with self._making:
            self._replicas = replicas  # of pools that are made meanwhile, too
            known = self._pools
            larger = {key: _resized(pool, replicas) for key, pool in known.items()}
        further = [
            replace(pool, embedders=pool.embedders[len(known[key].embedders) :])
            for key, pool in larger.items()
        ]
        try:
            self._start(further)
        except ShoalError:
            for name in (name for pool in further for name in pool.embedders):
                end_actor(name)
            raise
        with self._making:
            self._pools = {key: larger.get(key, pool) for key, pool in self._pools.items()}

    def shrink(self, replicas: int) -> tuple[str, ...]:
        """Take replicas out of every pool; return their names, to be ended once none asks them."""
        with self._making:
            pools = self._pools
            self._replicas = replicas
            self._pools = {key: _resized(pool, replicas) for key, pool in pools.items()}
            kept = {name for pool in self._pools.values() for name in pool.embedders}
            names = (name for pool in pools.values() for name in pool.embedders)
            return tuple(name for name in names if name not in kept)

    def take_over(self, there: Iterable[str]) -> tuple[str, ...]:
        """Find the pools whose replicas are `there`; return the replicas that are too many."""
        replicas = [name for name in there if name.startswith(_PREFIX)]
        asked = {n: ray.get_actor(n, namespace=NAMESPACE).configuration.remote() for n in replicas}
        configs: list[EmbedderConfig] = answers_within(asked, _START_S)
        models = {(config.model, config.weights) for config in configs}
        kept: set[str] = set()
        for model, weights in models:
            try:
                kept.update(self.get(model, weights).embedders)
            except ShoalError as error:
                _log.warning("the replicas of %s are left alone: %s", model, error)
                kept.update(c.name for c in configs if (c.model, c.weights) == (model, weights))
        return tuple(config.name for config in configs if config.name not in kept)

    def mend(self, there: Container[str]) -> None:
        """Make again the replicas whose names are not `there`."""
        with self._making:
            for pool in self._pools.values():
                self._make(
                    replace(pool, embedders=tuple(n for n in pool.embedders if n not in there))
                )

    def _described(self, model: str, fingerprint: str) -> Pool:
        model = model or self._plan.default_model
        card = describe(model)
        found = card.fingerprint
        if fingerprint and str(found) != fingerprint:
            raise _other_files(model, found, fingerprint)
        name = str(card.spec)
        digest = hashlib.blake2b(f"{name}\0{found}".encode(), digest_size=3).hexdigest()
        names = _names(f"{_PREFIX}{digest}", self._replicas)
        most = self._plan.memory.limit_bytes
        limit = limit_for(card.footprint.total, most) if self._plan.sized_by_model else most
        return Pool(name, found, names, limit)

    def _start(self, pools: Iterable[Pool]) -> None:
        """Make replicas and return once they answer."""
        made: dict[str, Any] = {}
        for pool in pools:
            made |= self._make(pool)
        wait_until_started(made)

    def _make(self, pool: Pool) -> dict[str, Any]:
        """Find or make a pool's replicas and return their handles by name."""
        memory = replace(self._plan.memory, limit_bytes=pool.limit_bytes)
        made = {}
        there = names_of_actors()
        for name in pool.embedders:
            config = EmbedderConfig(
                name=name,
                model=pool.model,
                weights=str(pool.fingerprint),
                keep_alive_s=self._plan.keep_alive_s,
                threads=self._plan.threads,
                memory=memory,
                steward=self._steward,
                prefault=self._plan.prefault,
            )
            if name not in there:
                _refuse_where_no_node_has_room(config)
            made[name] = find_or_make(Embedder, config, **SPREAD)
        return made


def _names(prefix: str, replicas: int) -> tuple[str, ...]:
    return tuple(f"{prefix}-{number}" for number in range(replicas))


def _resized(pool: Pool, replicas: int) -> Pool:
    prefix, _, _ = pool.embedders[0].rpartition("-")
    return replace(pool, embedders=_names(prefix, replicas))


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


def _other_files(model: str, found: Fingerprint, wanted: str) -> ModelMismatch:
    message = (
        f"the collection's vectors were made by {wanted}, and the files of {model} are those of "
        f"{found} now; put the old files back, index into a new collection with --model {model}, "
        "or search with mode lexical"
    )
    return ModelMismatch(message)
