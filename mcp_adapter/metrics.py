"""The cluster's state for Prometheus, read when it is asked for.

What each figure means is told by its `HELP` line, and in `docs/observability/README.md`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from actors.messages import Histogram
from actors.routing.admission import Admission
from cluster.protocol import Job, Replica, Status
from mcp_adapter.requests import Times

_PRESSURE = {"ok": 0, "soft": 1, "hard": 2}
_TIERS = ("exact", "resident", "paged")

_OF_ACTORS = (
    (GaugeMetricFamily, "pss_bytes", "Memory, shared pages in proportion, children included"),
    (GaugeMetricFamily, "peak_bytes", "The most of it so far"),
    (GaugeMetricFamily, "limit_bytes", "What it may be"),
    (CounterMetricFamily, "refusals", "Work refused for want of memory"),
    (CounterMetricFamily, "kills", "Ends at the memory limit"),
    (CounterMetricFamily, "restarts", "Starts after the first"),
)
_OF_MODELS = (
    (CounterMetricFamily, "loads", "loads", "Loads of the model"),
    (CounterMetricFamily, "unloads", "unloads", "Unloads of the model"),
    (GaugeMetricFamily, "load_seconds", "load_s", "How long the last load took"),
    (CounterMetricFamily, "texts", "texts", "Texts embedded"),
)
_OF_ROUTERS = (
    (GaugeMetricFamily, "router_queue_length", "waiting", "Requests that wait for their turn"),
    (GaugeMetricFamily, "router_in_flight", "at_work", "Requests that are being answered"),
    (
        CounterMetricFamily,
        "router_overloaded",
        "overloaded",
        "Requests sent away: the queue is full",
    ),
    (
        CounterMetricFamily,
        "router_left_waiting",
        "left_waiting",
        "Requests that left, or ran out of time, before their turn",
    ),
    (
        CounterMetricFamily,
        "router_late_drops",
        "late_drops",
        "Queries that left a batch before it was sent",
    ),
    (CounterMetricFamily, "complete_answers", "complete_answers", "Searches all shards answered"),
    (CounterMetricFamily, "partial_answers", "partial_answers", "Searches that lack a shard"),
    (CounterMetricFamily, "failed_searches", "failed_searches", "Searches that ended in an error"),
    (CounterMetricFamily, "hedges", "hedges", "Calls made again elsewhere because they were late"),
    (CounterMetricFamily, "hedge_wins", "hedge_wins", "Hedges that answered first"),
    (
        CounterMetricFamily,
        "retries",
        "retries",
        "Calls made again because an actor was dead, away or short of memory",
    ),
    (
        CounterMetricFamily,
        "text_fetches",
        "second_hops",
        "Calls for texts that no shard had sent along",
    ),
    (
        CounterMetricFamily,
        "query_vector_cache_hits",
        "cached_vectors",
        "Queries whose vector was at hand",
    ),
    (
        CounterMetricFamily,
        "query_vector_cache_misses",
        "missed_vectors",
        "Queries that had to be embedded",
    ),
)
_OF_CALLS = (
    (
        "router_batch_queue_length",
        "Queries (one for each shard) or requests for vectors that wait for a batch",
        {"host": "shard_queries_waiting", "embedder": "texts_waiting"},
    ),
    (
        "router_calls_in_flight",
        "Queries (one for each shard) at hosts, texts at embedders",
        {"host": "shard_queries_in_flight", "embedder": "texts_in_flight"},
    ),
)
_OF_HOSTS = (
    (CounterMetricFamily, "segment_cache_hits", "hits", "Segments found open when asked for"),
    (CounterMetricFamily, "segment_cache_misses", "opens", "Segments opened when asked for"),
    (CounterMetricFamily, "segment_closes", "closes", "Segments closed: replaced, or for memory"),
)
_JOB_STATES = get_args(Job.model_fields["state"].annotation)
_HISTOGRAMS = {
    "search_stage_seconds": (
        "stage",
        "How long each stage of requests took; router is all of them, slowest_host within shards",
    ),
    "router_batch_size": ("to", "Queries in a call to a host, texts in a call to an embedder"),
}


@dataclass(frozen=True, slots=True)
class Gateway:
    """What the gateway itself counts: the time of requests, and who may come in."""

    times: Times
    admission: Admission


def exposition(
    status: Status, routers: Mapping[str, Sequence[Histogram]], gateway: Gateway
) -> bytes:
    """Return the state of a cluster in Prometheus' text format.

    Args:
        status: Of the cluster.
        routers: What each router has measured, by its name.
        gateway: What the gateway has.
    """
    registry = CollectorRegistry()
    registry.register(_Snapshot(status, routers, gateway))
    return generate_latest(registry)


class _Snapshot(Collector):
    def __init__(
        self, status: Status, routers: Mapping[str, Sequence[Histogram]], gateway: Gateway
    ) -> None:
        self._status = status
        self._routers = routers
        self._gateway = gateway

    def collect(self) -> Iterator[Metric]:
        yield from _actors(self._status.replicas)
        answering = [r for r in self._status.replicas if not r.problem]
        yield from _models([r for r in answering if r.kind == "Embedder"])
        yield from _routers([r for r in answering if r.kind == "Router"])
        yield from _histograms(self._routers)
        yield from _hosts([r for r in answering if r.kind == "ShardHost"])
        yield from _jobs([r for r in answering if r.kind == "Steward"])
        yield from _gateway(self._gateway)
        yield GaugeMetricFamily("shoal_nodes", "Machines alive", value=self._status.nodes)
        yield GaugeMetricFamily(
            "shoal_memory_bytes",
            "Of the gateway and all it started",
            value=self._status.memory_bytes,
        )


def _actors(replicas: Sequence[Replica]) -> Iterator[Metric]:
    answering = [r for r in replicas if not r.problem]
    up = [(r, not r.problem) for r in replicas]
    yield _of_actor(GaugeMetricFamily, "up", "Whether the actor answers", up)
    for kind, name, text in _OF_ACTORS:
        yield _of_actor(kind, name, text, [(r, getattr(r, name)) for r in answering])
    pressures = [(r, _PRESSURE[r.pressure]) for r in answering]
    yield _of_actor(GaugeMetricFamily, "pressure", "0 ok, 1 soft, 2 hard", pressures)


def _models(embedders: Sequence[Replica]) -> Iterator[Metric]:
    for kind, name, key, text in _OF_MODELS:
        yield _of_actor(kind, name, text, [(r, r.detail[key]) for r in embedders])
    ready = [(r, r.detail["state"] == "ready") for r in embedders]
    yield _of_actor(GaugeMetricFamily, "loaded", "Whether the model is loaded", ready)


def _routers(routers: Sequence[Replica]) -> Iterator[Metric]:
    for kind, name, key, text in _OF_ROUTERS:  # a router tells only what is not zero
        yield _family(
            kind, name, text, ("actor",), ([r.name] for r in routers), _values(routers, key)
        )
    for name, text, keys in _OF_CALLS:
        both = [(router, to) for router in routers for to in keys]
        labels = ([router.name, to] for router, to in both)
        values = (router.detail.get(keys[to], 0) for router, to in both)
        yield _family(GaugeMetricFamily, name, text, ("actor", "to"), labels, values)


def _histograms(routers: Mapping[str, Sequence[Histogram]]) -> Iterator[Metric]:
    for name, (label, text) in _HISTOGRAMS.items():
        family = HistogramMetricFamily(f"shoal_{name}", text, labels=("actor", label))
        for router, measured in routers.items():
            for one in measured:
                if one.name == name:
                    buckets = _cumulated(one.bounds, one.counts)
                    family.add_metric((router, one.label), buckets, one.total)
        yield family


def _hosts(hosts: Sequence[Replica]) -> Iterator[Metric]:
    for kind, name, key, text in _OF_HOSTS:
        yield _family(kind, name, text, ("actor",), ([h.name] for h in hosts), _values(hosts, key))
    for what in ("segments", "chunks"):
        both = [(host, tier) for host in hosts for tier in _TIERS]
        yield _family(
            GaugeMetricFamily,
            what,
            f"Open {what}, by how their vectors are kept",
            ("actor", "tier"),
            ([host.name, tier] for host, tier in both),
            (host.detail[f"{tier}_{what}"] for host, tier in both),
        )


def _jobs(stewards: Sequence[Replica]) -> Iterator[Metric]:
    both = [(steward, state) for steward in stewards for state in _JOB_STATES]
    yield _family(
        GaugeMetricFamily,
        "jobs",
        "Jobs that are remembered, by state",
        ("state",),
        ([state] for _, state in both),
        (steward.detail[f"jobs_{state}"] for steward, state in both),
    )


def _gateway(gateway: Gateway) -> Iterator[Metric]:
    family = HistogramMetricFamily(
        "shoal_gateway_request_seconds",
        "How long HTTP requests took, refused ones included",
        labels=("route", "status"),
    )
    for (route, status), took in list(gateway.times.items()):
        buckets = _cumulated(took.bounds, took.counts)
        family.add_metric((route, str(status)), buckets, took.total)
    yield family
    door = gateway.admission
    for kind, name, text, value in (
        (GaugeMetricFamily, "queue_length", "Searches and embeddings that wait", door.waiting),
        (GaugeMetricFamily, "in_flight", "Searches and embeddings at work", door.at_work),
        (CounterMetricFamily, "overloaded", "Requests sent away: the queue is full", door.refused),
    ):
        yield kind(f"shoal_gateway_{name}", text, value=value)


def _cumulated(bounds: Sequence[float], counts: Sequence[int]) -> list[tuple[str, float]]:
    """Return Prometheus' buckets: how many values were up to each bound, and how many in all."""
    names = (*(f"{bound:g}" for bound in bounds), "+Inf")
    return list(zip(names, map(float, itertools.accumulate(counts)), strict=True))


def _values(actors: Sequence[Replica], key: str) -> Iterator[float]:
    return (actor.detail.get(key, 0) for actor in actors)


def _of_actor(
    kind: Callable[..., Any], name: str, text: str, values: Sequence[tuple[Replica, float]]
) -> Metric:
    labels = ([r.name, r.kind, str(r.detail.get("model", ""))] for r, _ in values)
    named = f"actor_{name}"
    return _family(
        kind, named, text, ("actor", "kind", "model"), labels, (value for _, value in values)
    )


def _family(
    kind: Callable[..., Any],
    name: str,
    text: str,
    names: Sequence[str],
    labels: Iterable[Sequence[str]],
    values: Iterable[float],
) -> Metric:
    family: Any = kind(f"shoal_{name}", text, labels=names)
    for these, value in zip(labels, values, strict=True):
        family.add_metric(these, value)
    named: Metric = family
    return named
