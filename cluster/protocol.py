"""What goes over HTTP between a client and a gateway, validated on both sides.

The client imports this and nothing heavier: no Ray, no NumPy, no engine.
"""

from __future__ import annotations

import base64
from array import array
from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from actors.choice import Choice
from cluster.ingest.ignore import check_glob

CALLER_HEADER = "X-Shoal-Caller"
"""Tells clients apart, so that one with many requests does not keep the others waiting."""
MAX_LIMIT = 1000
MAX_QUERY_CHARS = 32_768
"""A query is a question or a piece of code; more would only be cut by every model."""
MAX_CHUNK_CHARS = 100_000
MAX_LINE = 2**31 - 1
"""Segments hold line numbers in 32 bits, signed."""
MAX_TEXTS = 2048
DEFAULT_LIMIT = 10
MAX_CONTEXT = 200

Count = Annotated[int, Field(ge=1, le=256)]
Mode = Literal["hybrid", "semantic", "lexical"]
MAX_PATH_CHARS = 4096
FilePath = Annotated[str, Field(min_length=1, max_length=MAX_PATH_CHARS)]
_NAME = r"^[a-z0-9][a-z0-9._-]{0,62}$"
"""Told in schemas, and left to the catalog to check, whose message says more."""
CollectionName = Annotated[
    str, Field(min_length=1, max_length=63, json_schema_extra={"pattern": _NAME})
]
GenerationNumber = Annotated[int, Field(ge=1)]
MAX_GLOBS = 100
Glob = Annotated[str, AfterValidator(check_glob), Field(min_length=1, max_length=1000)]
"""As a line of `.gitignore`: '*.py' matches at any depth, 'src/' all below a folder."""


class Message(BaseModel):
    """Base of all messages: unknown fields are errors."""

    # Built when first used: a client needs few of them.
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class Vector(Message):
    """One vector as base64 of little-endian float32."""

    data: str

    @classmethod
    def of(cls, values: Iterable[float]) -> Vector:
        """Pack numbers: a list, or a NumPy array, whose own conversion is used."""
        as_type = getattr(values, "astype", None)
        packed = as_type("<f4").tobytes() if as_type else array("f", values).tobytes()
        return cls(data=base64.b64encode(packed).decode())


class Paged(Message):
    """What is looked for in some collections, and comes page by page."""

    collections: tuple[CollectionName, ...] = ()
    languages: tuple[str, ...] = Field((), description="A hit's language is one of them")
    limit: int = Field(DEFAULT_LIMIT, ge=1, le=MAX_LIMIT)
    offset: int = Field(0, ge=0, lt=MAX_LIMIT, description="How many of the best hits to pass over")
    deadline_s: float | None = Field(None, gt=0, le=600)

    @model_validator(mode="after")
    def _is_within_reach(self) -> Self:
        if self.offset + self.limit > MAX_LIMIT:
            message = f"offset and limit are over {MAX_LIMIT} together; narrow the search"
            raise ValueError(message)
        return self


class Filtered(Paged):
    """What is looked for in some files of theirs."""

    paths: tuple[str, ...] = Field((), description="Globs; a hit's path matches one of them")
    exclude_paths: tuple[str, ...] = Field((), description="Globs; a hit's path matches none")


class SearchBody(Filtered):
    """A search."""

    query: str = Field("", max_length=MAX_QUERY_CHARS)
    mode: Mode = "hybrid"
    context: int = Field(0, ge=0, le=MAX_CONTEXT, description="Lines around each hit")
    vector: Vector | None = None
    typos: bool = Field(
        False, description="Words found nowhere stand for those one typing mistake away"
    )
    rerank: bool = Field(False, description="The gateway's cross-encoder orders the best hits anew")
    require_full_coverage: bool = Field(
        False, description="An answer that lacks a shard is an error"
    )
    explain: bool = Field(False, description="Hits say what their scores are made of")

    @model_validator(mode="after")
    def _asks_something(self) -> SearchBody:
        if not self.query.strip() and (self.vector is None or self.mode != "semantic"):
            message = "the query is empty"
            raise ValueError(message)
        if self.rerank and not self.query.strip():
            message = "rerank needs the query's text, which the reranker reads beside each hit"
            raise ValueError(message)
        return self


class Why(Message):
    """What a hit's score is made of: its place on each side, and the parts of a fused score.

    A rank counts from 1; it is null where the hit is not among a side's candidates. `rerank` is the
    cross-encoder's score, where it has read the hit: it stands in place of all these.
    """

    dense_rank: int | None
    cosine: float | None
    lexical_rank: int | None
    bm25: float | None
    parts: dict[str, float]
    rerank: float | None = None


class SearchHit(Message):
    """One chunk of an answer; `score` is cosine, BM25 or a sum of parts, by the mode.

    Of those that were reranked, it is the cross-encoder's raw output (logit), of any sign and size.
    """

    collection: str
    path: str
    start_line: int
    end_line: int
    language: str
    symbol: str
    score: float
    text: str
    id: str
    why: Why | None = None


class CollectionCoverage(Message):
    """What an answer took from a collection: shards that answered over all its shards.

    `behind_s` is how far the collection is behind its source, in seconds: 0 is up to date, and
    null is that nobody watches the source.
    """

    name: str
    generation: int
    coverage: float
    problem: str = ""
    behind_s: float | None = None


class SearchReply(Message):
    """The answer to a search; `more` says that there are further hits.

    `rerank_problem` says why hits that were to be reranked stand in the order of the search.
    """

    hits: tuple[SearchHit, ...]
    coverage: float
    collections: tuple[CollectionCoverage, ...]
    timings_ms: dict[str, float]
    more: bool = False
    rerank_problem: str = ""


class Chosen(Message):
    """Which files of its source a collection takes, of those that ignore files leave.

    In a request, what the collection remembers from then on; it keeps to what it remembers where
    neither is given.
    """

    include: tuple[Glob, ...] = Field(
        (), max_length=MAX_GLOBS, description="Globs; a file's path matches one of them"
    )
    exclude: tuple[Glob, ...] = Field(
        (), max_length=MAX_GLOBS, description="Globs; a file's path matches none"
    )

    @property
    def choice(self) -> Choice:
        """Both together."""
        return Choice(self.include, self.exclude)


class IndexBody(Chosen):
    """Folders or files on the gateway's machine to bring a collection up to date with."""

    paths: tuple[Annotated[str, Field(min_length=1)], ...] = Field(min_length=1)
    collection: CollectionName | None = None
    model: str | None = Field(
        None, min_length=1, description="Model of a new collection; the default one if absent"
    )


class ReindexBody(Chosen):
    """A collection to read and embed as a batch job, beside what it serves meanwhile."""

    paths: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        (), description="Folders of a new collection; none for the source of an old one"
    )
    collection: CollectionName | None = None
    model: str | None = Field(
        None, min_length=1, description="Model that makes the vectors; the present one if absent"
    )
    shards: Count | None = Field(None, description="As many as now if absent")
    replicas: Count | None = Field(None, description="Replicas of the job's own; one a node")

    @model_validator(mode="after")
    def _names_something(self) -> ReindexBody:
        if not self.paths and self.collection is None:
            message = "name a collection, or the paths of a new one"
            raise ValueError(message)
        return self


class ClientFolder(Chosen):
    """A folder of a client's machine, and what to do with its files.

    `scopes` are folders and files below it, relative: the rest of the collection stays as it is.
    """

    folder: str = Field(pattern=r"^client://[\w.-]+(/[^/\x00-\x1f]+)*$", max_length=MAX_PATH_CHARS)
    scopes: tuple[FilePath, ...] = ()
    collection: CollectionName | None = None
    model: str | None = Field(None, min_length=1)


class ClientFile(Message):
    """A file of such a folder; where it is `sent`, its bytes follow the line."""

    path: FilePath
    hash: str = Field(pattern=r"^[0-9a-f]{32}$", description="blake2b of its bytes")
    size: int = Field(ge=0)
    sent: bool = False


class EndOfFiles(Message):
    """The line behind the last file: how many there were, and what the client left out."""

    files: int = Field(ge=0)
    skipped: dict[Annotated[str, Field(max_length=64)], Annotated[int, Field(ge=0)]] = Field(
        max_length=64
    )


class Lacking(Message):
    """Paths whose content a collection does not hold."""

    paths: tuple[str, ...]


class IngestChunk(Message):
    """A chunk that the caller made; all chunks of a path replace those stored for it."""

    path: FilePath
    text: str = Field(min_length=1, max_length=MAX_CHUNK_CHARS)
    start_line: int = Field(1, ge=1, le=MAX_LINE)
    end_line: int = Field(1, ge=1, le=MAX_LINE)
    language: str = Field("text", max_length=64)
    symbol: str = Field("", max_length=1000)
    signature: str = Field(
        "", max_length=1000, description="How what it is a later part of begins; found with it"
    )
    vector: Vector | None = None


class IngestReply(Message):
    """What an ingest published."""

    collection: str
    generation: int
    chunks: int


class FileError(Message):
    """A file that was set aside, because it cannot be read or breaks what reads it."""

    path: str
    reason: str


class Job(Message):
    """How far a job is; `rate` is files a second, and lists of jobs count errors without paths."""

    id: str
    collection: str
    kind: str
    source: str
    started_at: float
    state: Literal["running", "done", "failed", "cancelled", "interrupted"]
    phase: str
    files_done: int
    files_total: int
    files_changed: int
    files_unchanged: int
    files_removed: int
    chunks: int
    skipped: dict[str, int]
    errors: tuple[FileError, ...]
    errors_omitted: int
    generation: int
    seconds: float
    rate: float
    eta_s: float | None
    error: str
    error_kind: str


class Collection(Chosen):
    """A collection as its newest manifest has it; `behind_s` as in `CollectionCoverage`."""

    name: str
    generation: int = 0
    chunks: int = 0
    shards: int = 0
    segments: int = 0
    model: str = ""
    source: str = ""
    updated_at: str = ""
    problem: str = ""
    behind_s: float | None = None


class WatchBody(Message):
    """What one who watches a collection's source says of it, every few seconds.

    `behind_s` is the age of the oldest change that it saw and that is not published, 0 for none;
    `source` is the folder that it watches.
    """

    watcher: str = Field(min_length=1, max_length=64)
    behind_s: float = Field(ge=0)
    source: str


class Generation(Message):
    """One published state of a collection, and how many readers hold it."""

    generation: int
    created_at: str = ""
    writer: str = ""
    chunks: int = 0
    segments: int = 0
    model: str = ""
    served: bool = False
    leases: int = 0
    problem: str = ""


class VerifyBody(Message):
    """Which generation to verify: the newest, if none is named."""

    generation: GenerationNumber | None = None


class Finding(Message):
    """Something that is wrong with a segment, and what to do about it."""

    segment: str
    what: str
    way_out: str


class Verification(Message):
    """What was looked at, and all that is wrong with it."""

    collection: str
    generation: int
    segments: int
    chunks: int
    findings: tuple[Finding, ...]


class RollbackBody(Message):
    """Which generation to publish again."""

    generation: GenerationNumber


class Replica(Message):
    """One actor of the cluster; memory is proportional set size, children included, in bytes.

    `node` is the id of the machine that it runs on.
    """

    name: str
    kind: str = ""
    node: str = ""
    pid: int = 0
    pss_bytes: int = 0
    peak_bytes: int = 0
    limit_bytes: int = 0
    pressure: Literal["ok", "soft", "hard"] = "ok"
    enforcement: str = ""
    refusals: int = 0
    kills: int = 0
    restarts: int = 0
    detail: dict[str, Any] = {}
    problem: str = ""


class LoadedModel(Message):
    """A model in one replica: its state, and how far its load is."""

    replica: str
    state: str
    phase: str = ""
    fraction: float = 0.0
    done_bytes: int = 0
    pss_bytes: int = 0
    limit_bytes: int = 0


class Model(Message):
    """A model that is there, or that a collection needs."""

    name: str
    fingerprint: str = ""
    path: str = ""
    size_bytes: int = 0
    footprint_bytes: int = 0
    collections: tuple[str, ...] = ()
    replicas: tuple[LoadedModel, ...] = ()
    problem: str = ""


class ListedModel(Model):
    """A model as OpenAI's API lists it, with all that `Model` tells; `id` is its name."""

    id: str = ""
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "shoal"


class Models(Message):
    """The models that are there, as OpenAI's API lists them."""

    object: Literal["list"] = "list"
    data: tuple[ListedModel, ...]


class EmbedBody(Message):
    """Texts to embed."""

    texts: tuple[Annotated[str, Field(max_length=MAX_CHUNK_CHARS)], ...] = Field(
        min_length=1, max_length=MAX_TEXTS
    )
    kind: Literal["query", "document"] = "document"
    model: str = ""
    deadline_s: float | None = Field(None, gt=0, le=600)


class EmbedReply(Message):
    """Vectors of unit length: float32, little-endian, row after row, as base64.

    `tokens` is how many the model read of all texts, prefixes and special tokens included.
    """

    dimension: int
    data: str
    tokens: int = 0


class ScaleBody(Message):
    """How many actors of each kind there are to be; what is absent stays.

    With `auto`, what is absent but replication follows the machines of the cluster from now on.
    """

    embedders: Count | None = None
    hosts: Count | None = None
    replication: Count | None = None
    routers: Count | None = None
    auto: bool = False


class Scale(Message):
    """How many actors of each kind there are; `replication` is the hosts of each shard."""

    embedders: int = 0
    hosts: int = 0
    replication: int = 0
    routers: int = 0


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
    memory_plan: str = ""
    logs: str = ""
    scale: Scale = Scale()
    replicas: tuple[Replica, ...]
    collections: tuple[Collection, ...]
    jobs: tuple[Job, ...]


class Problem(Message):
    """An error as it travels: the class in `actors.errors`, what it says, and the request.

    `field` is the path of the field that is wrong, where it is one: "filter.paths.0".
    """

    error: str
    message: str
    retry_after_s: float | None = None
    request_id: str = ""
    field: str = ""
