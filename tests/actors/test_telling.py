"""What an actor is told in passing: known to it afterwards, or not waited for."""

import asyncio

import pytest
from ray.exceptions import ActorDiedError

from actors import asking
from actors.asking import tell


@pytest.fixture
def known(monkeypatch):
    """The handles that are known, without Ray."""
    handles = {"one": "its handle"}
    monkeypatch.setattr(asking, "_handles", handles)
    return handles


async def test_what_was_told_is_known_before_anything_else_is_said(known):
    heard = []

    async def hear(word):
        await asyncio.sleep(0.01)
        heard.append(word)

    await tell("one", lambda _: hear("loading"))
    await tell("one", lambda _: hear("ready"))
    assert heard == ["loading", "ready"]


async def test_who_does_not_listen_is_not_waited_for(known, monkeypatch):
    monkeypatch.setattr(asking, "_TELL_S", 0.01)
    await tell("one", lambda _: asyncio.Event().wait())
    assert known


async def test_of_one_that_has_died_a_new_one_is_looked_for(known):
    async def die():
        raise ActorDiedError

    await tell("one", lambda _: die())
    assert not known
