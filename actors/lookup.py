"""Looking up what is stored, over all shards that can have it: passages, and definitions."""

from __future__ import annotations

from collections.abc import Sequence

from actors.errors import IncompleteCoverage, InvalidRequest, NotFound, ShoalError
from actors.index.definitions import normalised
from actors.index.fusion import Mode
from actors.index.lookup import order
from actors.lookup_messages import (
    Definition,
    Definitions,
    Lookup,
    Passage,
    PassageAnswer,
    PassageQuery,
    SymbolAnswer,
    SymbolQuery,
)
from actors.messages import Coverage, Filter, SearchRequest
from actors.planning import Planner
from actors.routing.corpus import Plan
from actors.routing.place import shard_of
from actors.scatter import Asked, Scatter, Watch, coverage_of


class Lookups:
    """Asks hosts for what is stored.

    Args:
        planner: Knows the generations.
        scatter: Reaches the hosts.
    """

    def __init__(self, planner: Planner, scatter: Scatter) -> None:
        self._planner = planner
        self._scatter = scatter

    async def passage(self, lookup: Lookup, query: PassageQuery, watch: Watch) -> PassageAnswer:
        """Return stored lines.

        Raises:
            NotFound: No collection holds the chunk, the file or such lines of it.
            InvalidRequest: Several collections hold the file.
            IncompleteCoverage: It was not found, and a shard that may hold it did not answer.
        """
        plan = await self._plan(lookup)
        shards = _shards(plan, query.path)
        with watch.stage("lookup"):
            answers = await self._scatter.each(
                shards, lambda host, shard: host.passage.remote(shard, query), watch
            )
        found = [(a, p) for a, p in zip(shards, answers, strict=True) if isinstance(p, Passage)]
        if not found:
            raise _not_found(query, plan, shards, answers)
        if len(found) > 1:
            names = ", ".join(asked.shard.collection for asked, _ in found)
            message = f"{query.path} is in several collections ({names}); name one of them"
            raise InvalidRequest(message)
        ((asked, passage),) = found
        return PassageAnswer(asked.shard.collection, asked.shard.generation, asked.space, passage)

    async def symbols(self, lookup: Lookup, query: SymbolQuery, watch: Watch) -> SymbolAnswer:
        """Return definitions by name, and how much was searched for them."""
        plan = await self._plan(lookup)
        shards = _shards(plan)
        with watch.stage("lookup"):
            answers = await self._scatter.each(
                shards, lambda host, shard: host.definitions.remote(shard, query), watch
            )
        pairs = list(zip(shards, answers, strict=True))
        name = normalised(query.name)

        def place(pair: tuple[str, Definition]) -> tuple[int, str, str, int]:
            how, path, line = order(pair[1], name)
            return how, pair[0], path, line

        found = sorted(
            (
                (asked.shard.collection, each)
                for asked, answer in pairs
                if isinstance(answer, Definitions)
                for each in answer.found
            ),
            key=place,
        )
        more = len(found) > query.wanted or any(
            answer.more for answer in answers if isinstance(answer, Definitions)
        )
        shown = tuple(found[query.offset : query.wanted])
        return SymbolAnswer(shown, more, _coverage(plan, shards, answers))

    async def _plan(self, lookup: Lookup) -> Plan:
        """Plan as for a search by words, which needs no model either."""
        wanted = lookup.collections
        return await self._planner.plan(
            SearchRequest("", Mode.LEXICAL, 1, wanted, Filter(), None, lookup.deadline_s)
        )


def _shards(plan: Plan, path: str = "") -> list[Asked]:
    """Return all shards of a plan, or those that hold a file if its collection has it."""
    shards = []
    for generation in plan.generations:
        manifest = generation.manifest
        of = len(manifest.shards)
        numbers = [shard_of(path, of)] if path else range(of)
        shards += [Asked(manifest.shard(n), str(manifest.model)) for n in numbers]
    return shards


def _coverage(
    plan: Plan, shards: Sequence[Asked], answers: Sequence[object]
) -> tuple[Coverage, ...]:
    asked = [
        shard.failed(answer) if isinstance(answer, BaseException) else shard
        for shard, answer in zip(shards, answers, strict=True)
    ]
    return (*plan.left_out, *coverage_of(asked))


def _not_found(
    query: PassageQuery, plan: Plan, shards: Sequence[Asked], answers: Sequence[object]
) -> ShoalError:
    """Return why there is no passage: it is not stored, or who may hold it did not answer."""
    told = [answer for answer in answers if isinstance(answer, InvalidRequest | NotFound)]
    if told:
        return told[0]
    problems = [c.problem for c in _coverage(plan, shards, answers) if c.coverage < 1]
    if problems:
        told_once = "; ".join(dict.fromkeys(problems))
        message = f"not found where it could be looked for, but {told_once}; try again"
        return IncompleteCoverage(message, retry_after_s=1.0)
    names = ", ".join(generation.manifest.collection for generation in plan.generations)
    if query.path:
        return NotFound(
            f"{query.path} is not stored in {names}; give the path as hits do, relative to the "
            "folder that was indexed"
        )
    return NotFound(
        f"chunk {query.chunk_id:016x} is not stored in {names}; its text has changed or is gone, "
        "so search again, or read its file by path"
    )
