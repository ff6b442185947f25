"""`shoal status` as a person reads it."""

import io

import pytest
from rich.console import Console

from cluster.overview import heading, show_actors
from cluster.protocol import Collection, Replica, Scale, Status

MB = 1_000_000
ROUTER = Replica(
    name="router-0",
    kind="Router",
    pid=11,
    pss_bytes=90 * MB,
    limit_bytes=500 * MB,
    detail={
        "at_work": 3,
        "waiting": 7,
        "complete_answers": 40,
        "partial_answers": 2,
        "hedges": 5,
        "hedge_wins": 4,
        "cached_vectors": 1,
        "missed_vectors": 3,
        "embed_count": 42,
        "embed_p50_ms": 12.34,
        "embed_p99_ms": 56.78,
    },
)
HOST = Replica(
    name="host-0",
    kind="ShardHost",
    pid=12,
    pss_bytes=300 * MB,
    limit_bytes=400 * MB,
    pressure="soft",
    detail={"segments": 6, "exact_segments": 1, "resident_segments": 2, "paged_segments": 3},
)
LOADING = Replica(
    name="embedder-0",
    kind="Embedder",
    pid=13,
    detail={"model": "onnx:m", "state": "loading", "phase": "weights", "fraction": 0.5},
)
AWAY = Replica(name="host-1", problem="does not answer; it may be restarting")


@pytest.fixture
def status():
    return Status(
        version="1",
        root="/r",
        model="m",
        gateway_pid=1,
        gateway_rss_bytes=0,
        memory_bytes=0,
        processes=1,
        uptime_s=61,
        idle_s=0,
        nodes=1,
        logs="/tmp/shoal-1/x",
        scale=Scale(embedders=1, hosts=2, replication=2, routers=1),
        replicas=(ROUTER, HOST, LOADING, AWAY),
        collections=(Collection(name="bad", problem="a manifest is damaged"),),
        jobs=(),
    )


def shown(status):
    out = io.StringIO()
    show_actors(status, Console(file=out, width=200, highlight=False))
    return out.getvalue()


def cells(text, title):
    """Return a table's rows, each by its columns' names; columns are as wide as their heading."""
    lines = text.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith(title))
    return lines[at], lines[at + 1].split()


def test_problems_come_first_each_with_its_name(status):
    lines = shown(status).splitlines()
    assert lines[0] == "problems"
    assert lines[1:4] == [
        "  host-0: memory pressure is soft (300 of 400 MB)",
        "  host-1: does not answer; it may be restarting",
        "  collection bad: a manifest is damaged",
    ]


def test_a_cluster_without_problems_has_no_such_heading(status):
    sound = status.model_copy(update={"replicas": (ROUTER,), "collections": ()})
    assert "problems" not in shown(sound)


def test_routers_tell_their_queue_their_answers_and_their_hedges(status):
    head, row = cells(shown(status), "routers")
    assert head.split()[:5] == ["routers", "pid", "MB", "of", "pressure"]
    expected = "router-0 11 90 500 ok 3 7 0 42 2 0 5 (4) 0 25% 0"
    assert row == expected.split()


def test_stages_tell_their_percentiles(status):
    lines = [line.split() for line in shown(status).splitlines()]
    assert ["p50", "12.3"] in lines
    assert ["p99", "56.8"] in lines


def test_hosts_tell_their_segments_by_tier(status):
    head, row = cells(shown(status), "hosts")
    assert "exact / resident / paged" in head
    assert row[:11] == ["host-0", "12", "300", "400", "soft", "6", "1", "/", "2", "/", "3"]


def test_embedders_tell_how_far_a_load_is(status):
    _, row = cells(shown(status), "embedders")
    assert row[5:8] == ["loading", "weights", "50%"]
    assert row[-1] == "onnx:m"


def test_the_heading_says_where_the_logs_are(status):
    assert "logs /tmp/shoal-1/x/gateway.log" in heading(status)


def test_where_an_actor_runs_is_told_where_there_are_several_machines(status):
    there = HOST.model_copy(update={"node": "0123456789abcdef"})
    one = status.model_copy(update={"replicas": (there,)})
    assert "node" not in cells(shown(one), "hosts")[0]
    heading, row = cells(shown(one.model_copy(update={"nodes": 2})), "hosts")
    assert heading.split()[-1] == "node"
    assert row[-1] == "01234567"
