"""What a router counts: flat numbers for its status, histograms for those who watch it."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict, deque
from dataclasses import dataclass, field, fields

from actors.messages import Histogram

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""The steps of Prometheus' own clients, from one hop between idle actors to the usual deadline."""
BATCHES = (1, 2, 4, 8, 16, 32, 64)
"""In doublings up to the most that travels together (`routing/batch.py`)."""
_WINDOW = 512
"""Of which percentiles are taken: the last minute or less under load."""
_PERCENT = (50, 99)


@dataclass(slots=True)
class Buckets:
    """How often a value was how large, and the sum of all.

    Attributes:
        bounds: Upper bounds of the buckets, inclusive; beyond the last is one more.
        counts: Values in each bucket.
        total: Their sum.
    """

    bounds: tuple[float, ...]
    counts: list[int] = field(init=False)
    total: float = 0.0

    def __post_init__(self) -> None:
        """Begin with none."""
        self.counts = [0] * (len(self.bounds) + 1)

    @property
    def count(self) -> int:
        """How many values there were."""
        return sum(self.counts)

    def note(self, value: float) -> None:
        """Count one."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def told(self, name: str, label: str) -> Histogram:
        """Return what was counted."""
        return Histogram(name, label, self.bounds, tuple(self.counts), self.total)


@dataclass(slots=True)
class Stage:
    """How long one stage of requests took: all in buckets, the last in detail."""

    seconds: Buckets = field(default_factory=lambda: Buckets(SECONDS))
    last: deque[float] = field(default_factory=lambda: deque(maxlen=_WINDOW))

    def note(self, seconds: float) -> None:
        """Count one."""
        self.seconds.note(seconds)
        self.last.append(seconds)

    def told(self, name: str) -> dict[str, float]:
        """Return count, sum in seconds, and percentiles in milliseconds, by flat names."""
        ordered = sorted(self.last)
        percentiles = {
            f"{name}_p{percent}_ms": round(ordered[len(ordered) * percent // 100] * 1e3, 3)
            for percent in _PERCENT
        }
        sums = {
            f"{name}_count": self.seconds.count,
            f"{name}_sum_s": round(self.seconds.total, 6),
        }
        return {**sums, **percentiles}


@dataclass(slots=True)
class Counts:
    """Counters of one router since it started.

    Attributes:
        complete_answers: Searches of which every shard answered.
        partial_answers: Those of which one did not.
        failed_searches: Those that ended with an error.
        shard_calls: Calls to hosts, each with a batch of queries; hedges and retries beside them.
        shard_queries: Queries in them.
        hedges: Calls made again elsewhere because they were late.
        hedge_wins: Of them, those that answered first.
        retries: Calls made again because an actor was dead, away, or hung.
        embed_calls: Calls to replicas, each with a batch of texts.
        embed_texts: Texts in them.
        cached_vectors: Queries whose vector was at hand.
        missed_vectors: Queries whose vector was not.
        late_drops: Queries that left a batch before it was sent: caller gone, or time up.
        second_hops: Calls for texts that no shard had sent along.
        host_batches: Queries in a call to a host.
        embedder_batches: Texts in a call to a replica.
        stages: How long each stage of requests took.
    """

    complete_answers: int = 0
    partial_answers: int = 0
    failed_searches: int = 0
    shard_calls: int = 0
    shard_queries: int = 0
    hedges: int = 0
    hedge_wins: int = 0
    retries: int = 0
    embed_calls: int = 0
    embed_texts: int = 0
    cached_vectors: int = 0
    missed_vectors: int = 0
    late_drops: int = 0
    second_hops: int = 0
    host_batches: Buckets = field(default_factory=lambda: Buckets(BATCHES))
    embedder_batches: Buckets = field(default_factory=lambda: Buckets(BATCHES))
    stages: defaultdict[str, Stage] = field(default_factory=lambda: defaultdict(Stage))

    def dropped(self) -> None:
        """Count a query that nobody waits for."""
        self.late_drops += 1

    def told(self) -> dict[str, int | float]:
        """Return all that is not zero, by flat names."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        counts: dict[str, int | float] = {
            name: value for name, value in values.items() if isinstance(value, int)
        }
        for name, stage in list(self.stages.items()):  # another thread may add one
            counts |= stage.told(name)
        return {name: count for name, count in counts.items() if count}

    def histograms(self) -> tuple[Histogram, ...]:
        """Return the time of each stage, and the sizes of batches by who gets them."""
        stages = [
            stage.seconds.told("search_stage_seconds", name)
            for name, stage in list(self.stages.items())
        ]
        return (
            *stages,
            self.host_batches.told("router_batch_size", "host"),
            self.embedder_batches.told("router_batch_size", "embedder"),
        )
