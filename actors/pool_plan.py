"""How a model becomes a pool: what its replicas are called, what they may hold, where they go."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from actors.engines.base import Fingerprint, ModelCard
from actors.engines.registry import describe
from actors.engines.spec import parse
from actors.errors import ModelMismatch
from actors.layout import Layout, PoolDemand, prefix_of
from actors.memory import limit_for
from actors.messages import Pool
from actors.process import MemoryConfig

REPLICA = "embedder-"
"""Of the actor names of all replicas."""
_TAKE_GPUS = frozenset({"vllm"})
"""Engines that can use a GPU."""


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
        gpus: GPUs of a replica whose engine can use them; None for what the nodes have.
    """

    default_model: str
    keep_alive_s: float
    threads: int
    memory: MemoryConfig
    sized_by_model: bool
    prefault: bool
    gpus: float | None = None


def card_of(model: str, fingerprint: str) -> ModelCard:
    """Describe a model, whose files must be those of `fingerprint`, if that is not "".

    Raises:
        ModelMismatch: They are others.
        ModelLoadError: They cannot be read.
    """
    card = describe(model)
    if fingerprint and str(card.fingerprint) != fingerprint:
        raise _other_files(model, card.fingerprint, fingerprint)
    return card


def pool_of(card: ModelCard, plan: PoolPlan, most: int) -> Pool:
    """Return a model's pool, with the first of its replicas.

    Args:
        card: The model.
        plan: How pools are made.
        most: What a replica may hold at most, in bytes; a small model gets less.
    """
    name = str(card.spec)
    digest = hashlib.blake2b(f"{name}\0{card.fingerprint}".encode(), digest_size=3).hexdigest()
    limit = limit_for(card.footprint.total, most) if plan.sized_by_model else most
    return Pool(name, card.fingerprint, (f"{REPLICA}{digest}-0",), limit)


def demand_of(pool: Pool) -> PoolDemand:
    """Return what a pool wants of the machines."""
    takes_gpus = parse(pool.model).engine in _TAKE_GPUS
    return PoolDemand(prefix_of(pool.embedders[0]), pool.model, pool.limit_bytes, takes_gpus)


def names_in(layout: Layout, pool: Pool) -> tuple[str, ...]:
    """Return the replicas that a layout has of a pool, or those that it has where that is none."""
    places = layout.replicas(prefix_of(pool.embedders[0]))
    return tuple(place.name for place in places) or pool.embedders


def missing_in(layout: Layout, pool: Pool) -> list[str]:
    """Return the replicas that a layout has of a pool and that it does not have yet."""
    return [name for name in names_in(layout, pool) if name not in pool.embedders]


def _other_files(model: str, found: Fingerprint, wanted: str) -> ModelMismatch:
    message = (
        f"the collection's vectors were made by {wanted}, and the files of {model} are those of "
        f"{found} now; put the old files back, index into a new collection with --model {model}, "
        "or search with mode lexical"
    )
    return ModelMismatch(message)
