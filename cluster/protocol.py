"""What goes over HTTP between a client and a gateway, validated on both sides.

The client imports this and nothing heavier: no Ray, no NumPy, no engine.
"""

from __future__ import annotations

import base64
from array import array
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

MAX_LIMIT = 1000
MAX_QUERY_CHARS = 32_768
"""A query is a question or a piece of code; more would only be cut by every model."""
MAX_CHUNK_CHARS = 100_000
DEFAULT_LIMIT = 10
MAX_CONTEXT = 200

Mode = Literal["hybrid", "semantic", "lexical"]
CollectionName = Annotated[str, Field(min_length=1, max_length=63)]


class Message(BaseModel):
    """Base of all messages: unknown fields are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Vector(Message):
    """One vector as base64 of little-endian float32."""

    data: str

    @classmethod
    def of(cls, values: Iterable[float]) -> Vector:
        """Pack numbers: a list, or a NumPy array, whose own conversion is used."""
        as_type = getattr(values, "astype", None)
        packed = as_type("<f4").tobytes() if as_type else array("f", values).tobytes()
        return cls(data=base64.b64encode(packed).decode())


class SearchBody(Message):
    """A search."""

    query: str = Field("", max_length=MAX_QUERY_CHARS)
    collections: tuple[CollectionName, ...] = ()
    mode: Mode = "hybrid"
    limit: int = Field(DEFAULT_LIMIT, ge=1, le=MAX_LIMIT)
    paths: tuple[str, ...] = Field((), description="Globs; a hit's path matches one of them")
    languages: tuple[str, ...] = Field((), description="A hit's language is one of them")
    context: int = Field(0, ge=0, le=MAX_CONTEXT, description="Lines around each hit")
    vector: Vector | None = None
    deadline_s: float | None = Field(None, gt=0, le=600)

    @model_validator(mode="after")
    def _asks_something(self) -> SearchBody:
        if not self.query.strip() and (self.vector is None or self.mode != "semantic"):
            message = "the query is empty"
            raise ValueError(message)
        return self


class SearchHit(Message):
    """One chunk of an answer; `score` is cosine, BM25 or fused reciprocal rank, by the mode."""

    collection: str
    path: str
    start_line: int
    end_line: int
    language: str
    symbol: str
    score: float
    text: str
    id: str


class CollectionCoverage(Message):
    """What an answer took from a collection: shards that answered over all its shards."""

    name: str
    generation: int
    coverage: float
    problem: str = ""


class SearchReply(Message):
    """The answer to a search."""

    hits: tuple[SearchHit, ...]
    coverage: float
    collections: tuple[CollectionCoverage, ...]
    timings_ms: dict[str, float]


class IndexBody(Message):
    """Folders or files on the gateway's machine to bring a collection up to date with."""

    paths: tuple[Annotated[str, Field(min_length=1)], ...] = Field(min_length=1)
    collection: CollectionName | None = None


class IngestChunk(Message):
    """A chunk that the caller made; all chunks of a path replace those stored for it."""

    path: str = Field(min_length=1, max_length=4096)
    text: str = Field(min_length=1, max_length=MAX_CHUNK_CHARS)
    start_line: int = Field(1, ge=1)
    end_line: int = Field(1, ge=1)
    language: str = Field("text", max_length=64)
    symbol: str = Field("", max_length=1000)
    vector: Vector | None = None


class IngestReply(Message):
    """What an ingest published."""

    collection: str
    generation: int
    chunks: int


class Job(Message):
    """How far an indexing job is."""

    id: str
    collection: str
    state: Literal["running", "done", "failed"]
    phase: str
    files_done: int
    files_total: int
    files_changed: int
    files_unchanged: int
    files_removed: int
    chunks: int
    skipped: dict[str, int]
    generation: int
    seconds: float
    error: str
    error_kind: str


class Collection(Message):
    """A collection as its newest manifest has it."""

    name: str
    generation: int = 0
    chunks: int = 0
    shards: int = 0
    segments: int = 0
    model: str = ""
    source: str = ""
    updated_at: str = ""
    problem: str = ""


class Replica(Message):
    """One actor of the cluster."""

    name: str
    kind: str
    pid: int
    rss_bytes: int
    detail: dict[str, Any]
    problem: str = ""


class Status(Message):
    """The cluster as its gateway sees it."""

    version: str
    root: str
    model: str
    gateway_pid: int
    gateway_rss_bytes: int
    memory_bytes: int
    processes: int
    uptime_s: float
    idle_s: float
    nodes: int
    replicas: tuple[Replica, ...]
    collections: tuple[Collection, ...]
    jobs: tuple[Job, ...]


class Problem(Message):
    """An error as it travels: the class in `actors.errors`, and what it says."""

    error: str
    message: str
    retry_after_s: float | None = None
