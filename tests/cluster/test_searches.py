"""Searches that come at once go to a router together, and each gets what is its own."""

import asyncio
from dataclasses import replace

from actors.errors import NotFound, ShoalError
from actors.index.fusion import Mode
from actors.messages import Filter, SearchRequest
from cluster.client import AsyncShoalClient
from cluster.searches import _kind


def counts(shoal):
    (router,) = (r for r in shoal.status().replicas if r.kind == "Router")
    return router.detail


async def ask(client, query, collection):
    try:
        return await client.search(query, collections=[collection], mode="lexical")
    except ShoalError as error:
        return error


async def ask_all(root, asked):
    async with AsyncShoalClient(root=root) as client:
        return await asyncio.gather(*(ask(client, *one) for one in asked))


def test_each_of_many_searches_gets_its_own_answer_or_error(shoal, gateway, folder):
    shoal.wait(shoal.index([folder], collection="together"))
    before = counts(shoal).get("complete_answers", 0)
    asked = [("evict", "together"), ("evict", "absent"), ("nosuchword", "together")] * 10
    answers = asyncio.run(ask_all(gateway.root, asked))
    for (query, collection), answer in zip(asked, answers, strict=True):
        if collection == "absent":
            assert isinstance(answer, NotFound)
        else:
            assert answer.coverage == 1.0
            assert [hit.path for hit in answer.hits[:1]] == ["src/cache.py"] * (query == "evict")
    assert counts(shoal).get("complete_answers", 0) == before + 20


def test_searches_go_together_only_where_all_their_deadlines_are_alike():
    def kind(deadline_s, **others):
        request = SearchRequest("q", Mode.LEXICAL, 5, ("c",), Filter(), None, deadline_s)
        return _kind(replace(request, **others))

    assert kind(9.2) == kind(9.9)
    assert kind(9.2) == kind(9.2, query="r", limit=50)
    assert kind(0.5) != kind(60.0)
    assert kind(9.2) != kind(9.2, mode=Mode.SEMANTIC)
    assert kind(9.2) != kind(9.2, collections=("d",))
