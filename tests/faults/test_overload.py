"""Far more callers than can be served: the rest is sent away in time, and nothing grows."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack

import pytest
from own_gateway import own_gateway
from stopping import stopped
from waiting import until

from actors.errors import Overloaded
from actors.routing.admission import AT_WORK, MOST_WAITING
from cluster.client import AsyncShoalClient

ROOM = AT_WORK + MOST_WAITING
CALLERS = 16
"""Each with a pool of connections."""
REQUESTS = 10 * AT_WORK
"""At once, of all callers together."""
SHARDS = 2
QUEUES = ("at_work", "waiting", "shard_queries_waiting")
_GROWTH_BYTES = 64 << 20


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    top = tmp_path_factory.mktemp("overload")
    (top / "zebra.md").write_text("# Zebra\n\nCrossing.\n")
    with own_gateway(top / "root") as shoal:
        shoal.wait(shoal.index([top / "zebra.md"], collection="docs"))
        assert shoal.search("zebra", collections=["docs"]).coverage == 1.0
        yield shoal


def router(shoal):
    (found,) = [r for r in shoal.status().replicas if r.kind == "Router"]
    return found


def hosts_stopped(shoal):
    """Stop the hosts while a block lasts, so that what is let in stays in."""
    return stopped(*(r for r in shoal.status().replicas if r.kind == "ShardHost"))


async def ask(client, rounds, outcomes):
    """Ask again and again, and count what comes of it."""
    for _ in range(rounds):
        try:
            answer = await client.search(
                "zebra", collections=["docs"], mode="lexical", deadline_s=60
            )
        except Overloaded as error:
            outcomes["overloaded"] += 1
            outcomes["told when to come back"] += bool(error.retry_after_s)
        else:
            outcomes["answered"] += 1
            outcomes["answered in full"] += answer.coverage == len(answer.hits) == 1


async def flood(shoal, rounds):
    """Have all ask at once, and let nothing be answered before the rest was sent away."""
    outcomes = Counter()
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(AsyncShoalClient(root=shoal.settings.root))
            for _ in range(CALLERS)
        ]
        with hosts_stopped(shoal):
            asking = [
                asyncio.create_task(ask(clients[number % CALLERS], rounds, outcomes))
                for number in range(REQUESTS)
            ]
            sent_away = (REQUESTS - ROOM) * rounds
            await asyncio.to_thread(until, lambda: outcomes["overloaded"] >= sent_away)
        await asyncio.gather(*asking)
    return outcomes


def test_ten_times_too_many_callers_are_answered_or_sent_away_and_memory_stays(served):
    first = asyncio.run(flood(served, rounds=1))
    before = router(served)
    second = asyncio.run(flood(served, rounds=2))
    after = router(served)
    for outcomes, rounds in ((first, 1), (second, 2)):
        assert outcomes["answered"] + outcomes["overloaded"] == REQUESTS * rounds
        assert outcomes["answered"] == outcomes["answered in full"] >= ROOM
        assert outcomes["overloaded"] == outcomes["told when to come back"] > 0
    assert after.pid == before.pid
    assert after.pss_bytes < before.pss_bytes + _GROWTH_BYTES
    assert served.search("zebra", collections=["docs"]).coverage == 1.0


def test_what_waits_is_dropped_when_its_callers_leave_before_any_work_is_done(served):
    async def leave():
        async with (
            AsyncShoalClient(root=served.settings.root) as one,
            AsyncShoalClient(root=served.settings.root) as other,
        ):
            asked = [
                asyncio.create_task(
                    client.search("zebra", collections=["docs"], mode="lexical", deadline_s=60)
                )
                for client in (one, other)
                for _ in range(ROOM // 2)
            ]
            await asyncio.to_thread(until, lambda: router(served).detail["at_work"] == AT_WORK)
            for task in asked:
                task.cancel()
            await asyncio.wait(asked)

    sent_before = router(served).detail["shard_queries"]
    with hosts_stopped(served):
        asyncio.run(leave())
        until(lambda: not any(router(served).detail[key] for key in QUEUES))
    sent = router(served).detail["shard_queries"] - sent_before
    assert sent < ROOM * SHARDS
