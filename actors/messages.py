"""What crosses an actor's boundary: frozen, slotted, and never a bare dict."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from actors.index.fusion import Mode
from actors.index.lexical import WeightedTerms
from actors.index.ranking import Ranking


@dataclass(frozen=True, slots=True)
class Chunk:
    """A contiguous line range of one file: the unit of retrieval.

    Attributes:
        path: Path relative to the collection's root, with forward slashes.
        start_line: First line, counted from 1.
        end_line: Last line, inclusive.
        language: Lower-case language name ("python", "markdown"), or "text".
        symbol: Dotted name of the enclosing definition or heading trail, or "".
        text: The lines themselves, without the final line break.
    """

    path: str
    start_line: int
    end_line: int
    language: str
    symbol: str
    text: str


@dataclass(frozen=True, slots=True)
class Filter:
    """Which chunks a query may find; an empty tuple admits all.

    Attributes:
        paths: Globs with the rules of `.gitignore` lines: `*.py` matches at any depth, `src/`
            everything below a folder; a chunk passes if any of them matches.
        languages: Lower-case language names.
    """

    paths: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SegmentRef:
    """A segment as one generation sees it.

    Attributes:
        id: Names the segment's folder.
        rows: Chunks written, dead ones included.
        length: Terms in them.
        tombstones: Names the file of dead rows, or "" where all live.
        removed_rows: How many are dead.
        removed_length: Terms in the dead ones.
    """

    id: str
    rows: int
    length: int
    tombstones: str = ""
    removed_rows: int = 0
    removed_length: int = 0


@dataclass(frozen=True, slots=True)
class ShardRef:
    """One shard of one generation: all that a host needs to know to search it."""

    collection: str
    generation: int
    shard: int
    segments: tuple[SegmentRef, ...]


@dataclass(frozen=True, slots=True)
class ShardQuery:
    """One query as a shard sees it; a side that is None is not searched.

    Attributes:
        vector: float32 [d], unit length.
        terms: Weighed with the statistics of all that is searched.
        filter: Applied before ranking.
        depth: How many candidates each side returns.
        limit: How many chunks come back with their text.
        context: Lines around each of them that come along.
    """

    vector: NDArray[np.float32] | None
    terms: WeightedTerms | None
    filter: Filter
    depth: int
    limit: int
    context: int


@dataclass(frozen=True, slots=True)
class ShardAnswer:
    """A shard's candidates, and the text of those likely to be shown.

    Attributes:
        dense: Best by cosine similarity.
        lexical: Best by BM25.
        chunks: Chunk id → chunk.
        search_ms: Milliseconds spent in the host.
    """

    dense: Ranking
    lexical: Ranking
    chunks: dict[int, Chunk] = field(default_factory=dict)
    search_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class SearchRequest:
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
    """

    query: str
    mode: Mode
    limit: int
    collections: tuple[str, ...]
    filter: Filter
    vector: NDArray[np.float32] | None
    deadline_s: float
    context: int = 0


@dataclass(frozen=True, slots=True)
class Hit:
    """One chunk of an answer.

    Attributes:
        collection: Where it was found.
        chunk_id: Stable id.
        score: Cosine, BM25 or fused reciprocal rank, by the mode.
        chunk: The chunk.
    """

    collection: str
    chunk_id: int
    score: float
    chunk: Chunk


@dataclass(frozen=True, slots=True)
class Coverage:
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
class SearchAnswer:
    """Hits, and how much of the asked-for was searched for them.

    Attributes:
        hits: Best first.
        collections: Coverage of each collection.
        timings_ms: Stage → milliseconds.
    """

    hits: tuple[Hit, ...]
    collections: tuple[Coverage, ...]
    timings_ms: dict[str, float]


@dataclass(frozen=True, slots=True)
class ActorStatus:
    """How one actor is.

    Attributes:
        name: Its name in the namespace.
        kind: Its class.
        pid: Its process.
        rss_bytes: Resident memory of the process.
        detail: What is particular to the kind, for people.
    """

    name: str
    kind: str
    pid: int
    rss_bytes: int
    detail: dict[str, str | int | float]


class JobState(StrEnum):
    """Where a job is in its life."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class JobStatus:
    """How far an indexing job is.

    Attributes:
        id: Names the job.
        collection: What it writes to.
        state: Where it is in its life.
        phase: What it is doing, for people.
        files_done: Files read, embedded and written, or found unchanged.
        files_total: Files found.
        files_changed: Those that are new or changed.
        files_unchanged: Those whose content is indexed already.
        files_removed: Files of the collection that are gone.
        chunks: Chunks written.
        skipped: Reason → files left out.
        generation: The generation that was published, or the one that already said it all.
        seconds: Since the job began, or that it took.
        error: Why it failed, or "".
        error_kind: Class name of that error, or "".
    """

    id: str
    collection: str
    state: JobState = JobState.RUNNING
    phase: str = "waiting"
    files_done: int = 0
    files_total: int = 0
    files_changed: int = 0
    files_unchanged: int = 0
    files_removed: int = 0
    chunks: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    generation: int = 0
    seconds: float = 0.0
    error: str = ""
    error_kind: str = ""
