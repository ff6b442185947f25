"""What a gateway can be asked: each operation once, as a function that describes its HTTP call.

The sync and the async client share these; they differ in how they send a call.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Annotated, Literal
from urllib.parse import quote

from pydantic import BeforeValidator, TypeAdapter

from cluster.indexing_operations import IndexingOperations
from cluster.lookup_operations import LookupOperations
from cluster.operation import Call, Operation, T
from cluster.protocol import (
    DEFAULT_LIMIT,
    Chosen,
    Collection,
    EmbedBody,
    EmbedReply,
    Generation,
    ListedModel,
    Mode,
    Model,
    RollbackBody,
    Scale,
    ScaleBody,
    SearchBody,
    SearchReply,
    Status,
    Vector,
    Verification,
    VerifyBody,
    WatchBody,
)
from cluster.topology import Plan
from cluster.upkeep_operations import UpkeepOperations

_SEARCH_REPLY = TypeAdapter(SearchReply)
_MODELS_REPLY: TypeAdapter[tuple[Model, ...]] = TypeAdapter(
    Annotated[tuple[ListedModel, ...], BeforeValidator(lambda listed: listed["data"])]
)


class Operations(LookupOperations, IndexingOperations, UpkeepOperations):
    """What a gateway can be asked."""

    @Operation
    @staticmethod
    def search(
        query: str = "",
        *,
        collections: Sequence[str] = (),
        mode: Mode = "hybrid",
        limit: int = DEFAULT_LIMIT,
        paths: Sequence[str] = (),
        languages: Sequence[str] = (),
        exclude_paths: Sequence[str] = (),
        offset: int = 0,
        context: int = 0,
        vector: Iterable[float] | None = None,
        deadline_s: float | None = None,
        typos: bool = False,
        rerank: bool = False,
        require_full_coverage: bool = False,
        explain: bool = False,
    ) -> Call[SearchReply]:
        """Search collections (none named: all) and return the best hits with their coverage.

        Where a shard does not answer within `deadline_s`, the answer is what the others found; with
        `require_full_coverage` it is the error IncompleteCoverage, which names the shard.
        The best `offset` hits are passed over; `offset` and `limit` are 1000 together at most.
        `paths` and `exclude_paths` are globs: a hit's path matches one of the former, and none of
        the latter. With `typos`, words that are found nowhere stand for those one typing mistake
        away, at less weight. With `explain`, hits say what their scores are made of. With `rerank`,
        the gateway's cross-encoder reads the best 30 hits and orders them anew; where it cannot,
        `rerank_problem` in the answer says why.
        """
        body = SearchBody(
            query=query,
            collections=tuple(collections),
            mode=mode,
            limit=limit,
            offset=offset,
            paths=tuple(paths),
            exclude_paths=tuple(exclude_paths),
            languages=tuple(languages),
            context=context,
            vector=None if vector is None else Vector.of(vector),
            deadline_s=deadline_s,
            typos=typos,
            rerank=rerank,
            require_full_coverage=require_full_coverage,
            explain=explain,
        )
        return Call("POST", "/v1/search", _SEARCH_REPLY, body, asks=True)

    @Operation
    @staticmethod
    def embed(
        texts: Sequence[str],
        *,
        kind: Literal["query", "document"] = "document",
        model: str = "",
        deadline_s: float | None = None,
    ) -> Call[EmbedReply]:
        """Embed texts with a model, or the gateway's default one."""
        body = EmbedBody(texts=tuple(texts), kind=kind, model=model, deadline_s=deadline_s)
        return Call("POST", "/v1/embed", TypeAdapter(EmbedReply), body, asks=True)

    @Operation
    @staticmethod
    def models() -> Call[tuple[Model, ...]]:
        """Return the models that are there, and where each is loaded."""
        return Call("GET", "/v1/models", _MODELS_REPLY)

    @Operation
    @staticmethod
    def collections() -> Call[tuple[Collection, ...]]:
        """Return all collections."""
        return Call("GET", "/v1/collections", TypeAdapter(tuple[Collection, ...]))

    @Operation
    @staticmethod
    def delete(collection: str) -> Call[None]:
        """Delete a collection."""
        return Call("DELETE", _path_of(collection), TypeAdapter(None))

    @Operation
    @staticmethod
    def history(collection: str) -> Call[tuple[Generation, ...]]:
        """Return the generations of a collection that can be gone back to, newest first."""
        reply = TypeAdapter(tuple[Generation, ...])
        return Call("GET", f"{_path_of(collection)}/generations", reply)

    @Operation
    @staticmethod
    def verify(collection: str, generation: int | None = None) -> Call[Verification]:
        """Read a generation, or the newest, from end to end, and return what is wrong with it."""
        body = VerifyBody(generation=generation)
        reply = TypeAdapter(Verification)
        return Call("POST", f"{_path_of(collection)}/verify", reply, body, patient=True)

    @Operation
    @staticmethod
    def rollback(collection: str, generation: int) -> Call[Generation]:
        """Publish what an old generation holds as a new one, and return that.

        One that is not kept, that was deleted, or that is damaged is refused, and nothing changes.
        """
        body = RollbackBody(generation=generation)
        reply = TypeAdapter(Generation)
        return Call("POST", f"{_path_of(collection)}/rollback", reply, body, patient=True)

    @Operation
    @staticmethod
    def watching(collection: str, *, watcher: str, behind_s: float, source: str) -> Call[Chosen]:
        """Say how far a collection is behind the source that one watches, at least every 5 s.

        What is returned is which files the collection takes.
        """
        body = WatchBody(watcher=watcher, behind_s=behind_s, source=source)
        return Call("PUT", f"/v1/watches/{quote(collection, safe='')}", TypeAdapter(Chosen), body)

    @Operation
    @staticmethod
    def unwatch(collection: str, *, watcher: str) -> Call[None]:
        """Say that one does not watch a collection any more."""
        path = f"/v1/watches/{quote(collection, safe='')}"
        return Call("DELETE", path, TypeAdapter(None), query=(("watcher", watcher),))

    @Operation
    @staticmethod
    def status() -> Call[Status]:
        """Return how the cluster is."""
        return Call("GET", "/v1/status", TypeAdapter(Status))

    @Operation
    @staticmethod
    def scale(
        *,
        embedders: int | None = None,
        hosts: int | None = None,
        replication: int | None = None,
        routers: int | None = None,
        auto: bool = False,
    ) -> Call[Scale]:
        """Have so many actors of each kind, while searches go on; return how many there are then.

        None leaves a count as it is, so that a call without any tells what there is. With `auto`,
        counts that are None follow the machines of the cluster, but for replication.
        """
        body = ScaleBody(
            embedders=embedders, hosts=hosts, replication=replication, routers=routers, auto=auto
        )
        return Call("POST", "/v1/scale", TypeAdapter(Scale), body)

    @Operation
    @staticmethod
    def plan() -> Call[Plan]:
        """Return which actors are to run on which machine, with what memory, and why."""
        return Call("GET", "/v1/plan", TypeAdapter(Plan))

    @Operation
    @staticmethod
    def shutdown() -> Call[None]:
        """End the gateway and everything that it started."""
        return Call("POST", "/v1/shutdown", TypeAdapter(None))


class AsyncOperations(Operations, ABC):
    """What a gateway can be asked by whoever awaits its answers."""

    @abstractmethod
    async def send(self, call: Call[T]) -> T:
        """Make a call; raise the ShoalError that it is answered with."""


def _path_of(collection: str) -> str:
    return f"/v1/collections/{quote(collection, safe='')}"
