"""Searches that come at once go to a router together, and each gets what is its own."""

import asyncio

from actors.errors import NotFound, ShoalError
from cluster.client import AsyncShoalClient


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
