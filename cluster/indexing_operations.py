"""What a gateway can be asked to index, and of the jobs that do it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from urllib.parse import quote

from pydantic import TypeAdapter

from actors.errors import InvalidRequest
from cluster.operation import Call, Operation
from cluster.protocol import IndexBody, IngestChunk, IngestReply, Job, ReindexBody, Vector


class IndexingOperations:
    """Bringing collections up to date, and following the jobs."""

    @Operation
    @staticmethod
    def index(
        paths: Sequence[str],
        *,
        collection: str | None = None,
        model: str | None = None,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
    ) -> Call[Job]:
        """Start to bring a collection up to date with folders or files; return the job at once.

        A new collection gets `model`, or the gateway's default; an old one keeps its own, and
        another is refused.

        `include` and `exclude` are globs, as lines of `.gitignore`, relative to the collection's
        source: it takes files that match one of the former and none of the latter, of those that
        ignore files leave. It remembers both, so that whatever brings it up to date later keeps to
        them, until a call names others: `include=["*"]` takes everything again. What it held
        beyond them goes.
        """
        body = IndexBody(
            paths=tuple(map(str, paths)),
            collection=collection,
            model=model,
            include=tuple(include),
            exclude=tuple(exclude),
        )
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
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
    ) -> Call[Job]:
        """Start a batch job that brings a whole collection up to date; return it at once.

        It runs beside the searches, on replicas of its own. With another `model`, or another number
        of `shards`, all is embedded anew; the old generation answers until the new one is there.
        A job that was stopped goes on where it was when the same is asked again. `include` and
        `exclude` are as for `index`.
        """
        body = ReindexBody(
            paths=tuple(map(str, paths)),
            collection=collection,
            model=model,
            shards=shards,
            replicas=replicas,
            include=tuple(include),
            exclude=tuple(exclude),
        )
        return Call("POST", "/v1/reindex", TypeAdapter(Job), body)

    @Operation
    @staticmethod
    def ingest(
        chunks: Iterable[IngestChunk],
        vectors: Iterable[Iterable[float]] | None = None,
        *,
        collection: str,
        model: str | None = None,
    ) -> Call[IngestReply]:
        """Store chunks, with vectors of one's own or embedded by the gateway's model.

        The chunks of a path replace all that is stored for it; the rest stays. `vectors` gives
        one vector per chunk, in order; a collection holds either its model's or the caller's.
        `model` is as for `index`, and not for chunks with vectors.
        """
        query = (("collection", collection), *((("model", model),) if model else ()))
        reply = TypeAdapter(IngestReply)
        return Call("POST", "/v1/ingest", reply, lines=_lines(chunks, vectors), query=query)

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
