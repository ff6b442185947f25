"""What a search comes to: a plan of generations, weighed words, a query for every shard."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from actors.errors import ShoalError
from actors.index.fusion import Mode
from actors.index.lexical import WeightedTerms
from actors.messages import SearchRequest, ShardQuery
from actors.routing.corpus import FRESH_S, Corpora, Plan, make_plan
from actors.routing.weighing import weigh_query
from actors.scatter import Asked

_log = logging.getLogger("shoal.planning")


class Planner:
    """Plans with what is at hand and looks for newer generations meanwhile; for one event loop.

    Args:
        corpora: The generations at hand.
    """

    def __init__(self, corpora: Corpora) -> None:
        self._corpora = corpora
        self._looking: asyncio.Task[None] | None = None

    async def plan(self, request: SearchRequest) -> Plan:
        """Plan at once with what was seen within the last second, else look at storage first.

        Raises:
            ShoalError: A collection that was asked for by name cannot be searched, or none can.
        """
        age_s = self._corpora.age_s(request.collections)
        if age_s >= FRESH_S:
            return await asyncio.to_thread(make_plan, self._corpora, request)
        if age_s >= FRESH_S / 2 and self._looking is None:  # so that the next need not wait for it
            self._looking = asyncio.create_task(self._look(request.collections))
        return make_plan(self._corpora, request)

    async def _look(self, collections: Sequence[str]) -> None:
        try:
            await asyncio.to_thread(self._corpora.look, collections)
        except ShoalError as error:
            _log.warning("looking for new generations: %s", error)
        finally:
            self._looking = None


async def weighed_terms(request: SearchRequest, plan: Plan) -> WeightedTerms | None:
    """Weigh the words of a search; None where it does not look for words."""
    if request.mode is Mode.SEMANTIC:
        return None
    if request.typos:  # looks through whole vocabularies
        return await asyncio.to_thread(weigh_query, request.query, plan.generations, typos=True)
    return weigh_query(request.query, plan.generations)


def shard_queries(
    plan: Plan, query: ShardQuery, vectors: Mapping[str, NDArray[np.float32] | ShoalError]
) -> list[tuple[Asked, ShardQuery]]:
    """Return every shard of a plan, each with the query in its collection's space.

    Args:
        plan: What is searched.
        query: The query without a vector.
        vectors: float32 [d] by the fingerprint of its space.
    """
    shards = []
    for generation in plan.generations:
        manifest = generation.manifest
        space = str(manifest.model)
        vector = vectors.get(space)
        own = replace(query, vector=None if isinstance(vector, ShoalError) else vector)
        shards += [
            (Asked(manifest.shard(number), space), own) for number in range(len(manifest.shards))
        ]
    return shards
