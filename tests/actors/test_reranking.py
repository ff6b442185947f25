"""What a cross-encoder's scores do to a ranking, and what is done where there are none."""

import time
from types import SimpleNamespace

import numpy as np
import pytest

from actors.errors import MemoryLimitExceeded
from actors.index.fusion import Mode
from actors.index.question import Wish
from actors.index.ranking import Ranking
from actors.messages import (
    RERANK_DEPTH,
    Chunk,
    Filter,
    SearchRequest,
    ShardAnswer,
    ShardRef,
    Why,
)
from actors.reranking import Reranked, reordered, reranked
from actors.router import Router
from actors.routing.counts import Counts
from actors.scatter import Asked, Watch

MANY = RERANK_DEPTH + 5


def ranking(*ids):
    return Ranking(np.array(ids, np.uint64), np.linspace(1, 0.1, len(ids)))


def record(number):
    return Chunk(f"{number}.md", 1, 1, "markdown", "Guide", f"text {number}").record


def records(ids):
    return {number: ("c", record(number)) for number in ids}


def request(offset=0, limit=5, context=0):
    return SearchRequest(
        "q", Mode.LEXICAL, limit, (), Filter(), None, 10.0, context, offset=offset, reranker="m"
    )


def watch(seconds=10.0):
    return Watch(seconds, Counts())


class Scores:
    """A cross-encoder that likes what it is shown last best."""

    def __init__(self):
        self.asked = []

    async def score(self, model, query, texts, give_up_at):
        self.asked.append((model, query, texts, give_up_at - time.monotonic()))
        return np.arange(len(texts), dtype=np.float32) - 3


def failing(error):
    async def score(*_):
        raise error

    return score


def test_equal_scores_keep_the_order_that_there_was():
    found = reordered(ranking(9, 5, 7, 1), np.array([9, 5, 7], np.uint64), np.float32([0, 2, 0]))
    assert found.ids.tolist() == [5, 9, 7, 1]
    assert found.scores.tolist() == pytest.approx([2, 0, 0, 0.1])


async def test_the_best_are_ordered_by_score_and_the_rest_stay_behind():
    model, found = Scores(), ranking(*range(MANY))
    best = await reranked(model.score, request(), found, records(range(MANY)), watch())
    first = list(range(RERANK_DEPTH))
    assert best.ranking.ids.tolist() == first[::-1] + list(range(RERANK_DEPTH, MANY))
    assert best.ranking.scores[0] == RERANK_DEPTH - 4
    assert (best.read, best.problem) == (RERANK_DEPTH, "")
    ((name, query, texts, seconds),) = model.asked
    assert (name, query, texts[7]) == ("m", "q", "7.md Guide\ntext 7")
    assert len(texts) == RERANK_DEPTH
    assert 8.5 < seconds < 9.1


async def test_what_has_no_text_stands_behind_what_was_read():
    best = await reranked(Scores().score, request(), ranking(1, 2, 3), records([1, 3]), watch())
    assert (best.ranking.ids.tolist(), best.read) == ([3, 1, 2], 2)


def test_its_score_is_told_of_those_that_it_read():
    reason = Why(1, 0.5, None, None, ())
    told = Reranked(ranking(3, 1, 2), read=2).explained({1: reason, 2: reason})
    assert {number: why.rerank for number, why in told.items()} == {1: pytest.approx(0.55), 2: None}


async def test_where_no_text_came_nothing_is_asked():
    model, found = Scores(), ranking(1, 2)
    assert await reranked(model.score, request(), found, {}, watch()) == Reranked(found)
    assert model.asked == []


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (TimeoutError(), "the reranker did not answer in time"),
        (MemoryLimitExceeded("no memory was left to score"), "no memory was left to score"),
        (ValueError("broken"), r"the reranker failed: ValueError('broken')"),
    ],
    ids=repr,
)
async def test_where_the_reranker_fails_the_order_stays_and_the_reason_is_told(error, told):
    found = ranking(1, 2)
    answer = await reranked(failing(error), request(), found, records([1, 2]), watch())
    assert answer == Reranked(found, problem=told)


async def test_scores_that_are_no_numbers_change_nothing():
    async def score(*_):
        return np.float32([np.nan, 1])

    found = ranking(1, 2)
    answer = await reranked(score, request(), found, records([1, 2]), watch())
    assert answer.ranking is found
    assert answer.problem == "the reranker gave scores that are no numbers"


# In a router, without actors


class Hosts:
    """A shard's host that has all texts; `fetched` tells which it was asked for, and context."""

    def __init__(self):
        self.fetched = []

    async def texts(self, _asked, ids, context, _watch):
        self.fetched.append((ids.tolist(), context))
        return {number: record(number) for number in ids.tolist()}


def answered(along):
    """Return the one shard's answer: many hits, of which the first come along with their text."""
    lexical = ranking(*range(MANY))
    none = Ranking(np.empty(0, np.uint64), np.empty(0))
    answer = ShardAnswer(none, lexical, {i: record(i) for i in range(along)}, 1.0)
    return [Asked(ShardRef("c", 1, 0, ()), "space", answer)]


async def hits_of(asked, along, scores, hosts):
    router = SimpleNamespace(_scatter=hosts, _scorers=SimpleNamespace(score=scores))
    router._reranked = lambda *arguments: Router._reranked(router, *arguments)
    hits, more, _, problem = await Router._hits(router, asked, Wish(), answered(along), watch())
    return [hit.chunk_id for hit in hits], more, problem


async def test_pages_are_parts_of_one_ranking():
    pages = []
    for offset in range(0, MANY, 5):
        asked = request(offset)
        ids, more, _ = await hits_of(asked, RERANK_DEPTH, Scores().score, Hosts())
        pages += ids
        assert more is (offset + 5 < MANY)
    assert pages == [*reversed(range(RERANK_DEPTH)), *range(RERANK_DEPTH, MANY)]


async def test_texts_that_no_shard_sent_along_are_fetched_before_and_once():
    hosts = Hosts()
    ids, _, _ = await hits_of(request(), 20, Scores().score, hosts)
    assert ids == [29, 28, 27, 26, 25]
    assert hosts.fetched == [(list(range(20, RERANK_DEPTH)), 0)]


async def test_lines_around_hits_are_fetched_for_those_that_are_shown():
    hosts = Hosts()
    ids, _, _ = await hits_of(request(context=3), RERANK_DEPTH, Scores().score, hosts)
    assert hosts.fetched == [(sorted(ids), 3)]


async def test_an_answer_without_its_reranker_is_an_answer():
    ids, more, problem = await hits_of(request(), 5, failing(TimeoutError()), Hosts())
    assert (ids, more) == ([0, 1, 2, 3, 4], True)
    assert problem == "the reranker did not answer in time"


def test_as_many_are_looked_for_as_are_reranked_and_one_more_than_is_shown():
    assert request(0, 5).wanted == RERANK_DEPTH
    assert request(40, 5).wanted == 46


async def test_reranking_is_a_stage_of_its_own():
    time_kept = watch()
    router = SimpleNamespace(_scatter=Hosts(), _scorers=Scores())
    await Router._reranked(router, request(), ranking(1), records([1]), [], time_kept)
    assert "rerank" in time_kept.timings_ms([])
