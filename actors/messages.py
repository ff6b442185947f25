"""What crosses an actor's boundary: frozen, slotted, and never a bare dict."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from actors.engines.base import Fingerprint, Kind
from actors.index.fusion import Mode
from actors.index.lexical import WeightedTerms
from actors.index.question import Wish
from actors.index.ranking import Ranking
from actors.index.signals import NO_SIGNALS, Signals
from actors.message import Message
from actors.origin import NOBODY, Origin

_RECORD = TypeAdapter(tuple[str, int, int, str, str, str]).validator
"""The fields of a chunk; a quarter of the time of reading JSON first and checking it then."""


@dataclass(frozen=True, slots=True)
class Chunk(Message):
    """A contiguous line range of one file: the unit of retrieval.

    Attributes:
        path: Path relative to the collection's root, with forward slashes.
        start_line: First line, counted from 1.
        end_line: Last line, inclusive.
        language: Lower-case language name ("python", "markdown"), or "text".
        symbol: Dotted name of the enclosing definition or heading trail, or "".
        text: The lines themselves, without the final line break.
        signature: How the definition begins that the chunk is a later part of, or ""; embedded
            and indexed with it, and no part of its record.
    """

    path: str
    start_line: int
    end_line: int
    language: str
    symbol: str
    text: str
    signature: str = ""

    @property
    def record(self) -> bytes:
        """The chunk as it is stored and sent: `CHUNK_COLUMNS` as a JSON array, in UTF-8."""
        fields = [getattr(self, name) for name in CHUNK_COLUMNS]
        return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()

    @classmethod
    def of(cls, record: bytes) -> Chunk:
        """Read a record.

        Raises:
            ValueError: It is none.
        """
        return cls(*fields_of(record))


def fields_of(record: bytes) -> tuple[str, int, int, str, str, str]:
    """Return what a record says, in the order of `CHUNK_COLUMNS`: half of the work of `Chunk.of`.

    Raises:
        ValueError: It is none.
    """
    fields: tuple[str, int, int, str, str, str] = _RECORD.validate_json(record)
    return fields


CHUNK_COLUMNS = ["path", "start_line", "end_line", "language", "symbol", "text"]
"""Those of its fields that are stored."""


@dataclass(frozen=True, slots=True)
class Filter(Message):
    """Which chunks a query may find; an empty tuple admits all.

    Attributes:
        paths: Globs with the rules of `.gitignore` lines: `*.py` matches at any depth, `src/`
            everything below a folder; a chunk passes if any of them matches.
        languages: Lower-case language names.
        excluded: Globs as `paths`; a chunk passes if none of them matches.
    """

    paths: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SegmentRef(Message):
    """A segment as one generation sees it.

    Attributes:
        id: Names the segment's folder.
        rows: Chunks written, dead ones included.
        length: Terms in them.
        tombstones: Names the file of dead rows, or "" where all live.
        removed_rows: How many are dead.
        removed_length: Terms in the dead ones.
        digest: Hash of the segment's checksums, or "" where it was written without any.
        tombstones_digest: Likewise of the tombstones.
    """

    id: str
    rows: int
    length: int
    tombstones: str = ""
    removed_rows: int = 0
    removed_length: int = 0
    digest: str = ""
    tombstones_digest: str = ""


@dataclass(frozen=True, slots=True)
class ShardRef(Message):
    """One shard of one generation: all that a host needs to know to search it.

    Attributes:
        collection: Its collection.
        generation: The generation.
        shard: Its number, from 0.
        segments: What it consists of.
        shards: How many shards the collection has.
    """

    collection: str
    generation: int
    shard: int
    segments: tuple[SegmentRef, ...]
    shards: int = 1

    def share(self, segment: SegmentRef) -> float:
        """Return about which share of the collection's rows is in one of the segments.

        A collection's paths are spread evenly over its shards.
        """
        return segment.rows / max(self.shards * sum(part.rows for part in self.segments), 1)


@dataclass(frozen=True, slots=True)
class ShardQuery(Message):
    """One query as a shard sees it; a side that is None is not searched.

    Attributes:
        vector: float32 [d], unit length, in the space of the shard's collection.
        terms: Weighed with the statistics of all that is searched.
        filter: Applied before ranking.
        depth: How many candidates each side returns.
        limit: How many chunks come back with their text.
        context: Lines around each of them that come along.
        origin: Whose query it is.
        wish: What it asks for beside meaning and words, where both are searched.
    """

    vector: NDArray[np.float32] | None
    terms: WeightedTerms | None
    filter: Filter
    depth: int
    limit: int
    context: int
    origin: Origin = NOBODY
    wish: Wish | None = None


@dataclass(frozen=True, slots=True)
class ShardAnswer(Message):
    """A shard's candidates, and the text of those likely to be shown.

    Attributes:
        dense: Best by cosine similarity.
        lexical: Best by BM25.
        records: Chunk id → the chunk's record.
        search_ms: Milliseconds spent in the host.
        signals: What is known of the best of either side, where the query has a wish.
    """

    dense: Ranking
    lexical: Ranking
    records: dict[int, bytes] = field(default_factory=dict)
    search_ms: float = 0.0
    signals: Signals = NO_SIGNALS

    def without(self, ids: tuple[int, ...]) -> ShardAnswer:
        """Return the same without some chunks."""
        if not ids:
            return self
        return replace(self, dense=self.dense.without(ids), lexical=self.lexical.without(ids))


RERANK_DEPTH = 30
"""Hits that a reranker orders anew: each costs as much as to embed it, and takes part in all pages
up to that depth. What answers a query seldom stands further down."""


@dataclass(frozen=True, slots=True)
class SearchRequest(Message):
    """A search over whole collections.

    Attributes:
        query: What the user asks.
        mode: Which sides answer.
        limit: How many hits come back.
        collections: Names; empty for all that the model can search.
        filter: Applied before ranking.
        vector: float32 [d], to be used in place of the embedded query, or None.
        deadline_s: Seconds until the answer is what came.
        context: Lines around each hit that come along.
        require_full_coverage: An answer that lacks a shard is an error.
        caller: Who asks, as far as is known: callers take turns where many wait.
        origin: Names the request in the logs and traces of every process that it passes.
        typos: Words that no chunk holds stand for those one typing mistake away.
        offset: How many of the best hits are passed over.
        without: Chunks that are no hits.
        kind: "query", or "document" where `query` is a text like those that are searched.
        space: Fingerprint of the one space in which `vector` lies; "" where it lies in all that
            are searched.
        explain: Hits say what their scores are made of.
        reranker: Name of the cross-encoder that orders the best hits anew, or "".
    """

    query: str
    mode: Mode
    limit: int
    collections: tuple[str, ...]
    filter: Filter
    vector: NDArray[np.float32] | None
    deadline_s: float
    context: int = 0
    require_full_coverage: bool = False
    caller: str = ""
    origin: Origin = NOBODY
    typos: bool = False
    offset: int = 0
    without: tuple[int, ...] = ()
    kind: Kind = "query"
    space: str = ""
    explain: bool = False
    reranker: str = ""

    @property
    def wanted(self) -> int:
        """How many of the best are looked at; one beyond those that are shown: is there more?"""
        shown = self.offset + self.limit + 1
        return max(shown, RERANK_DEPTH) if self.reranker else shown


@dataclass(frozen=True, slots=True)
class Why(Message):
    """What a hit's score is made of.

    Attributes:
        dense_rank: Its place by meaning, from 1, or None where it is not among the candidates.
        cosine: Its similarity there.
        lexical_rank: Its place by words, likewise.
        bm25: Its score there.
        parts: Name and amount of each part of a fused score that is not 0.
        rerank: The cross-encoder's score, which stands in place of all these, or None.
    """

    dense_rank: int | None
    cosine: float | None
    lexical_rank: int | None
    bm25: float | None
    parts: tuple[tuple[str, float], ...]
    rerank: float | None = None


@dataclass(frozen=True, slots=True)
class Hit(Message):
    """One chunk of an answer.

    Attributes:
        collection: Where it was found.
        chunk_id: Stable id.
        score: Cosine, BM25 or the sum of parts (`fusion.PARTS`), by the mode; of those that were
            reranked, the cross-encoder's.
        record: The chunk's record.
        why: What the score is made of, where that was asked for.
    """

    collection: str
    chunk_id: int
    score: float
    record: bytes
    why: Why | None = None


@dataclass(frozen=True, slots=True)
class Coverage(Message):
    """What an answer took from one collection.

    Attributes:
        name: The collection.
        generation: The generation that was searched.
        coverage: Shards that answered over all of its shards.
        problem: Why that is less than 1, or "".
        shards: How many shards it has.
    """

    name: str
    generation: int
    coverage: float
    problem: str = ""
    shards: int = 1


@dataclass(frozen=True, slots=True)
class SearchAnswer(Message):
    """Hits, and how much of the asked-for was searched for them.

    Attributes:
        hits: Best first.
        collections: Coverage of each collection.
        timings_ms: Stage → milliseconds.
        more: Whether there are further hits.
        rerank_problem: Why hits that were to be reranked are not, or "".
    """

    hits: tuple[Hit, ...]
    collections: tuple[Coverage, ...]
    timings_ms: dict[str, float]
    more: bool = False
    rerank_problem: str = ""


@dataclass(frozen=True, slots=True)
class Topology(Message):
    """Which actors serve searches.

    Attributes:
        hosts: Actor names of the shard hosts.
        replication: How many of them may serve one shard.
        nodes: On which node each of the hosts runs; () where all are on one.
    """

    hosts: tuple[str, ...]
    replication: int
    nodes: tuple[str, ...] = ()


AUTO = -1
"""In place of a count that is asked for: as many as the machines have room for."""


@dataclass(frozen=True, slots=True)
class Scale(Message):
    """How many actors of each kind serve, or are to: a count that is asked for may be `AUTO`.

    Attributes:
        embedders: Replicas of each model in use.
        hosts: Shard hosts.
        replication: How many hosts serve each shard; where there are fewer, all of them do.
        routers: Routers; each answers as any other would.
    """

    embedders: int
    hosts: int
    replication: int
    routers: int


@dataclass(frozen=True, slots=True)
class ActorStatus(Message):
    """How one actor is.

    Attributes:
        name: Its name in the namespace.
        kind: Its class.
        pid: Its process.
        pss_bytes: Memory of the process and all that it started, shared pages in proportion.
        peak_bytes: The most of it so far.
        limit_bytes: What it may be.
        pressure: "ok", "soft" or "hard".
        enforcement: What holds it to the limit.
        refusals: How often work was refused for want of memory.
        kills: How often the limit ended it.
        restarts: How often it was started again.
        detail: What is particular to the kind, for people.
        node: Id of the node that it runs on.
    """

    name: str
    kind: str
    pid: int
    pss_bytes: int
    peak_bytes: int
    limit_bytes: int
    pressure: str
    enforcement: str
    refusals: int
    kills: int
    restarts: int
    detail: dict[str, str | int | float]
    node: str = ""


@dataclass(frozen=True, slots=True)
class Histogram(Message):
    """How often something was how large.

    Attributes:
        name: What was measured, its unit last.
        label: Of what: a stage, or who was called.
        bounds: Upper bounds of the buckets, inclusive.
        counts: Values in each bucket, and in one more beyond the last bound.
        total: The sum of all values.
    """

    name: str
    label: str
    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float


POOL_LEASE_S = 60.0
"""A pool that was asked for lives so long even where no collection needs its model."""


@dataclass(frozen=True, slots=True)
class Pool(Message):
    """The replicas of one model.

    Attributes:
        model: The model's name, as `actors/engines/spec.py` reads it.
        fingerprint: Its vector space.
        embedders: Actor names of its replicas.
        limit_bytes: What memory each of them may use.
    """

    model: str
    fingerprint: Fingerprint
    embedders: tuple[str, ...]
    limit_bytes: int


@dataclass(frozen=True, slots=True)
class Embedded(Message):
    """A replica's answer: vectors, float32 [n, d] of unit length and the state of its memory.

    Attributes:
        vectors: One row per text, in order.
        pressure: "ok", "soft" or "hard".
        replica: Actor name of who answers.
        tokens: How many tokens the model read of each text.
    """

    vectors: NDArray[np.float32]
    pressure: str
    replica: str
    tokens: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Scored(Message):
    """A cross-encoder's answer, and the state of its replica's memory, as in `Embedded`.

    Attributes:
        scores: float32 [n], one for each text, in order; more is better, of any sign and size.
        pressure: "ok", "soft" or "hard".
        replica: Actor name of who answers.
    """

    scores: NDArray[np.float32]
    pressure: str
    replica: str


@dataclass(frozen=True, slots=True)
class Embeddings(Message):
    """What a model made of texts.

    Attributes:
        vectors: float32 [n, d] of unit length, one row per text, in order.
        tokens: How many tokens the model read of each: prefix and special tokens included, what is
            beyond its limit not.
    """

    vectors: NDArray[np.float32]
    tokens: tuple[int, ...]


class JobState(StrEnum):
    """Where a job is in its life."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
    """Nobody runs it any more, as far as is known; one that is heard of again goes on."""

    @property
    def is_final(self) -> bool:
        """Whether nothing that is heard of the job later changes it."""
        return self in (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True, slots=True)
class FileError(Message):
    """A file that was set aside, because it cannot be read or breaks what reads it.

    Attributes:
        path: Relative to what is indexed, with forward slashes.
        reason: "unreadable" or "cannot be parsed".
    """

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class JobStatus(Message):
    """How far a job is.

    Attributes:
        id: Names the job.
        collection: What it writes to.
        kind: What it does: "index" brings a collection up to date.
        source: What is indexed, as in "/src/project".
        started_at: When it began, in seconds since 1970.
        state: Where it is in its life.
        phase: What it is doing, for people.
        files_done: Files read, embedded and written, or found unchanged.
        files_total: Files found.
        files_changed: Those that are new or changed.
        files_unchanged: Those whose content is indexed already.
        files_removed: Files of the collection that are gone.
        chunks: Chunks written.
        skipped: Reason → files left out.
        errors: The first of the files that were set aside; they are in `skipped` as well.
        errors_omitted: How many more there are.
        generation: The generation that was published, or the one that already said it all.
        seconds: Since the job began, or that it took.
        rate: Files done in a second, of late; of a job that has ended, all the time.
        eta_s: Seconds until all files are done, or None where that is unknown.
        error: Why it failed, or "".
        error_kind: Class name of that error, or "".
    """

    id: str
    collection: str
    kind: str = "index"
    source: str = ""
    started_at: float = 0.0
    state: JobState = JobState.RUNNING
    phase: str = "waiting"
    files_done: int = 0
    files_total: int = 0
    files_changed: int = 0
    files_unchanged: int = 0
    files_removed: int = 0
    chunks: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    errors: tuple[FileError, ...] = ()
    errors_omitted: int = 0
    generation: int = 0
    seconds: float = 0.0
    rate: float = 0.0
    eta_s: float | None = None
    error: str = ""
    error_kind: str = ""

    def ended(self, state: JobState, error: str = "", error_kind: str = "") -> JobStatus:
        """Return the status of the job once it has ended so; its phase says where."""
        rate = self.files_done / self.seconds if self.seconds else 0.0
        return replace(self, state=state, error=error, error_kind=error_kind, rate=rate, eta_s=None)
