"""What a gateway can be asked: each operation once, as a function that describes its HTTP call.

The sync and the async client share these; they differ in how they send a call.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import Annotated, Literal
from urllib.parse import quote

from pydantic import BeforeValidator, TypeAdapter

from actors.errors import InvalidRequest
from cluster.lookup_operations import LookupOperations
from cluster.operation import Call, Operation
from cluster.protocol import (
    DEFAULT_LIMIT,
    Collection,
    EmbedBody,
    EmbedReply,
    Generation,
    IndexBody,
    IngestChunk,
    IngestReply,
    Job,
    ListedModel,
    Mode,
    Model,
    ReindexBody,
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

_SEARCH_REPLY = TypeAdapter(SearchReply)
_MODELS_REPLY: TypeAdapter[tuple[Model, ...]] = TypeAdapter(
    Annotated[tuple[ListedModel, ...], BeforeValidator(lambda listed: listed["data"])]
)


class Operations(LookupOperations):
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
        require_full_coverage: bool = False,
    ) -> Call[SearchReply]:
        """Search collections (none named: all) and return the best hits with their coverage.

        Where a shard does not answer within `deadline_s`, the answer is what the others found; with
        `require_full_coverage` it is the error IncompleteCoverage, which names the shard.
        The best `offset` hits are passed over; `offset` and `limit` are 1000 together at most.
        `paths` and `exclude_paths` are globs: a hit's path matches one of the former, and none of
        the latter. With `typos`, words that are found nowhere stand for those one typing mistake
        away, at less weight.
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
            require_full_coverage=require_full_coverage,
        )
        return Call("POST", "/v1/search", _SEARCH_REPLY, body)

    @Operation
    @staticmethod
    def index(
        paths: Sequence[str], *, collection: str | None = None, model: str | None = None
    ) -> Call[Job]:
        """Start to bring a collection up to date with folders or files; return the job at once.

        A new collection gets `model`, or the gateway's default; an old one keeps its own, and
        another is refused.
        """
        body = IndexBody(paths=tuple(map(str, paths)), collection=collection, model=model)
        return Call("POST", "/v1/index", TypeAdapter(Job), body)

    @Operation
    @staticmethod
    def reindex(
        paths: Sequence[str] = (),
        *,
        collection: str | None = None,
        model: str | None = None,
        shards: int | None = None,
        replicas: int | None = None,
    ) -> Call[Job]:
        """Start a batch job that brings a whole collection up to date; return it at once.

        It runs beside the searches, on replicas of its own. With another `model`, or another number
        of `shards`, all is embedded anew; the old generation answers until the new one is there.
        A job that was stopped goes on where it was when the same is asked again.
        """
        body = ReindexBody(
            paths=tuple(map(str, paths)),
            collection=collection,
            model=model,
            shards=shards,
            replicas=replicas,
        )
        return Call("POST", "/v1/reindex", TypeAdapter(Job), body)

    @Operation
    @staticmethod
    def ingest(
        chunks: Iterable[IngestChunk],
        vectors: Iterable[Iterable[float]] | None = None,
        *,
        collection: str,
    ) -> Call[IngestReply]:
        """Store chunks, with vectors of one's own or embedded by the gateway's model.

        The chunks of a path replace all that is stored for it; the rest stays. `vectors` gives
        one vector per chunk, in order; a collection holds either its model's or the caller's.
        """
        query = (("collection", collection),)
        reply = TypeAdapter(IngestReply)
        return Call("POST", "/v1/ingest", reply, lines=_lines(chunks, vectors), query=query)

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
        return Call("POST", "/v1/embed", TypeAdapter(EmbedReply), body)

    @Operation
    @staticmethod
    def models() -> Call[tuple[Model, ...]]:
        """Return the models that are there, and where each is loaded."""
        return Call("GET", "/v1/models", _MODELS_REPLY)

    @Operation
    @staticmethod
    def job(job_id: str) -> Call[Job]:
        """Return how far a job is."""
        return Call("GET", f"/v1/jobs/{quote(job_id, safe='')}", TypeAdapter(Job))

    @Operation
    @staticmethod
    def jobs() -> Call[tuple[Job, ...]]:
        """Return all jobs that are remembered: running ones first, newest first."""
        return Call("GET", "/v1/jobs", TypeAdapter(tuple[Job, ...]))

    @Operation
    @staticmethod
    def cancel(job_id: str) -> Call[Job]:
        """Cancel a job, which leaves its collection as it was; return the job as it is then.

        One that has ended stays as it is, and so does one that publishes already: its state
        tells.
        """
        return Call("DELETE", f"/v1/jobs/{quote(job_id, safe='')}", TypeAdapter(Job))

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
    def watching(collection: str, *, watcher: str, behind_s: float, source: str) -> Call[None]:
        """Say how far a collection is behind the source that one watches, at least every 5 s."""
        body = WatchBody(watcher=watcher, behind_s=behind_s, source=source)
        return Call("PUT", f"/v1/watches/{quote(collection, safe='')}", TypeAdapter(None), body)

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


def _path_of(collection: str) -> str:
    return f"/v1/collections/{quote(collection, safe='')}"


def _lines(
    chunks: Iterable[IngestChunk], vectors: Iterable[Iterable[float]] | None
) -> Iterator[bytes]:
    if vectors is None:
        for chunk in chunks:
            yield chunk.model_dump_json(exclude_defaults=True).encode() + b"\n"
        return
    for chunk, vector in zip_longest(chunks, vectors):
        if chunk is None or vector is None:
            message = "give as many vectors as chunks"
            raise InvalidRequest(message)
        own = chunk.model_copy(update={"vector": Vector.of(vector)})
        yield own.model_dump_json(exclude_defaults=True).encode() + b"\n"
