"""Text that did not come along is fetched from all shards at once."""

import asyncio

import numpy as np

from actors.index.ranking import Ranking
from actors.messages import ShardAnswer, ShardRef
from actors.routing.counts import Counts
from actors.scatter import Asked, Watch, fetch_texts

NOTHING = Ranking(np.empty(0, np.uint64), np.empty(0))


def answered(number, ids):
    ranking = Ranking(np.array(ids, np.uint64), np.ones(len(ids)))
    asked = Asked(ShardRef("c", 1, number, (), 2), "space")
    return asked, ShardAnswer(ranking, NOTHING, {}, 1.0)


class Hosts:
    """The first shard's host answers once the second's was asked; the third's fails."""

    def __init__(self):
        self.second_was_asked = asyncio.Event()

    async def texts(self, asked, ids, _context, _watch):
        if asked.shard.shard == 0:
            await self.second_was_asked.wait()
        if asked.shard.shard == 1:
            self.second_was_asked.set()
        if asked.shard.shard == 2:
            raise TimeoutError
        return dict.fromkeys(ids.tolist(), b"record")


async def test_a_shard_that_is_slow_or_fails_keeps_no_other_from_giving_its_text():
    shards = [answered(0, [1, 2]), answered(1, [3]), answered(2, [4]), answered(3, [5])]
    best = Ranking(np.array([1, 3, 4, 5], np.uint64), np.ones(4))
    known = {5: ("c", b"came along")}
    watch = Watch(10.0, Counts())
    async with asyncio.timeout(10):
        found, failed = await fetch_texts(Hosts(), best, known, shards, 0, watch)
    assert found == {1: ("c", b"record"), 3: ("c", b"record")}
    assert [asked.problem for asked in failed.values()] == ["shard 2 did not answer in time"]
