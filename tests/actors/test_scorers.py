"""Queries wait their turn for a cross-encoder, and not too many of them."""

import asyncio
import time

import numpy as np
import pytest

from actors.engines.base import Fingerprint
from actors.errors import InvalidRequest, Overloaded
from actors.messages import Pool, Scored
from actors.replicas import Replicas
from actors.routing.batch import SLOTS
from actors.routing.counts import Counts
from actors.scorers import _MOST_WAITING, Scorers

NAME = "embedder-a-0"


def fingerprint(pooling):
    return Fingerprint("onnx", "0", "float32", pooling, "", "", 1)


class Cluster:
    """Answers as a steward and a replica do: scores are the lengths of texts."""

    def __init__(self):
        self.pooling = "score"
        self.at_work = []
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def first_answer(self, names, call, _left_s, on_call=None):
        if names == ["steward"]:
            return Pool("model", fingerprint(self.pooling), (NAME,), 1 << 30)
        answered = asyncio.get_running_loop().create_future()
        on_call(names[0], answered)
        scored = call(self)
        await self.go_on.wait()
        answered.set_result(None)
        return scored

    @property
    def score(self):
        return self

    def remote(self, query, texts, _retried, _origins):
        self.at_work.append(query)
        return Scored(np.float32([len(text) for text in texts]), "ok", NAME)


@pytest.fixture
def cluster(monkeypatch):
    made = Cluster()
    monkeypatch.setattr("actors.replicas.first_answer", made.first_answer)
    monkeypatch.setattr("actors.peers.first_answer", made.first_answer)
    return made


def scorers():
    counts = Counts()
    return Scorers(Replicas("steward", counts), counts)


async def score(asked, query, within_s=60.0):
    return await asked.score("model", query, ("a", "bcd"), time.monotonic() + within_s)


async def test_each_query_goes_alone_and_gets_its_own_scores(cluster):
    asked = scorers()
    found = await asyncio.gather(*(score(asked, f"query {number}") for number in range(5)))
    assert [scores.tolist() for scores in found] == [[1, 3]] * 5
    assert sorted(cluster.at_work) == [f"query {number}" for number in range(5)]


async def test_no_more_are_taken_than_have_a_chance(cluster):
    asked = scorers()
    await score(asked, "first")
    cluster.go_on.clear()
    taken = [asyncio.create_task(score(asked, "q")) for _ in range(SLOTS)]
    while len(cluster.at_work) < 1 + SLOTS:
        await asyncio.sleep(0)
    taken += [asyncio.create_task(score(asked, "q")) for _ in range(_MOST_WAITING)]
    while asked.waiting < _MOST_WAITING:
        await asyncio.sleep(0)
    with pytest.raises(Overloaded, match="wait for model already"):
        await score(asked, "one more")
    cluster.go_on.set()
    assert len(await asyncio.gather(*taken)) == SLOTS + _MOST_WAITING


async def test_one_whose_time_is_up_is_not_waited_for(cluster):
    asked = scorers()
    cluster.go_on.clear()
    with pytest.raises(TimeoutError):
        await score(asked, "late", within_s=0.05)
    cluster.go_on.set()
    assert (await score(asked, "next")).tolist() == [1, 3]


async def test_a_model_that_embeds_is_refused(cluster):
    cluster.pooling = "mean"
    with pytest.raises(InvalidRequest, match="model is an embedding model"):
        await score(scorers(), "q")


async def test_a_model_that_scores_is_asked_for_no_vectors(cluster):
    replicas = Replicas("steward", Counts())
    with pytest.raises(InvalidRequest, match="model is a cross-encoder"):
        await replicas.embed("model", "", ("text",), "query", time.monotonic() + 60)
    assert cluster.at_work == []
