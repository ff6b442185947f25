"""A model's pool is renewed in passing; who asks for a vector waits for the steward once."""

import asyncio
import time

import numpy as np
import pytest

from actors import replicas
from actors.engines.base import Fingerprint
from actors.errors import ReplicaLost
from actors.messages import POOL_LEASE_S, Embedded, Pool
from actors.replicas import Replicas
from actors.routing.counts import Counts

NAMES = ("embedder-a-0",)
FINGERPRINT = Fingerprint("static", "0", "int8", "mean", "", "", 2)


class Cluster:
    """Answers as a steward and a replica do; the steward may be away."""

    def __init__(self):
        self.steward_asked = 0
        self.steward_is_there = asyncio.Event()
        self.steward_is_there.set()

    async def first_answer(self, names, _call, _left_s, on_call=None):
        if names == ["steward"]:
            self.steward_asked += 1
            await self.steward_is_there.wait()
            return Pool("model", FINGERPRINT, NAMES, 1 << 30)
        answered = asyncio.get_running_loop().create_future()
        on_call(names[0], answered)
        answered.set_result(None)
        return Embedded(np.ones((1, 2), np.float32), "ok", names[0])


@pytest.fixture
def cluster(monkeypatch):
    made = Cluster()
    monkeypatch.setattr(replicas, "first_answer", made.first_answer)
    monkeypatch.setattr("actors.peers.first_answer", made.first_answer)
    return made


def ask(asked, within_s=60.0):
    return asked.embed("model", "", ("text",), "query", time.monotonic() + within_s)


def grow_older(asked, seconds):
    asked._pools = {key: (pool, at - seconds) for key, (pool, at) in asked._pools.items()}


@pytest.mark.parametrize("age_s", [POOL_LEASE_S / 2, 2 * POOL_LEASE_S])
async def test_a_pool_that_is_known_serves_while_the_steward_is_away(cluster, monkeypatch, age_s):
    monkeypatch.setattr(replicas, "_STEWARD_S", 0.05)
    asked = Replicas("steward", Counts())
    await ask(asked)
    cluster.steward_is_there.clear()
    grow_older(asked, age_s)
    for _ in range(3):
        assert (await ask(asked)).vectors.shape == (1, 2)
    assert cluster.steward_asked == 2  # the first, and one that is not answered yet
    cluster.steward_is_there.set()
    await asyncio.gather(*asked._renewing.values())
    await ask(asked)
    assert cluster.steward_asked == 2


async def test_a_renewal_that_fails_is_tried_again_and_fails_no_search(cluster, caplog):
    asked = Replicas("steward", Counts())
    await ask(asked)
    grow_older(asked, POOL_LEASE_S / 2)

    async def fail(*_):
        message = "steward is gone"
        raise ReplicaLost(message)

    asked._ask_steward, tried = fail, asked._ask_steward
    await ask(asked)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert "steward is gone" in caplog.text
    asked._ask_steward = tried
    await ask(asked)
    await asyncio.gather(*asked._renewing.values())
    assert cluster.steward_asked == 2
