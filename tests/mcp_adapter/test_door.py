"""Who waits at the door has less time left inside."""

import asyncio
from contextlib import nullcontext
from types import SimpleNamespace

from actors.routing.admission import Admission
from mcp_adapter.door import Door, waited_s

TOKEN = "t"


def request():
    headers = [(b"authorization", b"Bearer t"), (b"content-length", b"2")]
    return {"type": "http", "path": "/v1/search", "headers": headers}


async def test_the_wait_for_a_turn_is_told_to_what_lies_behind():
    entered, may_end = asyncio.Event(), asyncio.Event()
    waited = []

    async def answer(scope, _receive, _send):
        waited.append(waited_s(scope))
        entered.set()
        await may_end.wait()

    service = SimpleNamespace(
        admission=Admission(at_work=1),
        phase="ready",
        in_use=nullcontext,
        settings=SimpleNamespace(deadline_s=10.0),
    )
    door = Door(answer, service, TOKEN)
    first = asyncio.create_task(door(request(), None, None))
    await entered.wait()
    second = asyncio.create_task(door(request(), None, None))
    await asyncio.sleep(0.2)
    may_end.set()
    await asyncio.gather(first, second)
    assert waited[0] < waited[1]
    assert waited[1] >= 0.2


def test_a_request_that_took_no_turn_has_waited_for_none():
    assert waited_s(request()) == 0.0
