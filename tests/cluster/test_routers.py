"""Requests are shared out among routers, and made again where one hangs."""

import asyncio
import random
import signal
from collections import Counter
from contextlib import ExitStack

import psutil
import pytest
from own_gateway import own_gateway

from cluster import routers as module
from cluster.routers import Routers

NAMES = ("router-0", "router-1", "router-2")


@pytest.fixture
def routers():
    return Routers(NAMES, random.Random(7))


def test_requests_under_way_are_spread_nearly_evenly(routers):
    with ExitStack() as under_way:
        firsts = Counter(under_way.enter_context(routers.chosen())[0] for _ in range(300))
    assert set(firsts) == set(NAMES)
    assert max(firsts.values()) - min(firsts.values()) <= 6


def test_the_one_that_is_stuck_gets_no_more_than_the_others(routers):
    with ExitStack() as stuck:
        while (order := stuck.enter_context(routers.chosen()))[0] != "router-0":
            pass
        for _ in range(100):
            with routers.chosen() as names:
                assert sorted(names) == sorted(order)
                assert names[0] != "router-0"


def test_a_change_counts_from_the_next_request_on(routers):
    with routers.chosen():
        routers.become(("router-0",))
        with routers.chosen() as names:
            assert names == ("router-0",)
    routers.become(("router-0", "router-9"))
    with ExitStack() as under_way:
        firsts = {under_way.enter_context(routers.chosen())[0] for _ in range(20)}
    assert firsts == {"router-0", "router-9"}


def test_a_batch_counts_for_all_its_requests(routers):
    routers.become(NAMES[:2])
    with routers.chosen(64) as (busy, idle), ExitStack() as under_way:
        firsts = Counter(under_way.enter_context(routers.chosen())[0] for _ in range(64))
    assert firsts[idle] == 64
    assert busy not in firsts


class Answering:
    """Answers of actors, as a test arranges them."""

    def __init__(self, monkeypatch):
        self.hanging = set()
        self.slow = set()
        self.asked = []
        monkeypatch.setattr(module, "first_answer", self.first_answer)
        monkeypatch.setattr(module, "answers", self.answers)
        monkeypatch.setattr(module, "_SILENCE_S", 0.01)

    async def first_answer(self, names, _call, left_s):
        self.asked.append(names[0])
        if names[0] in self.hanging:
            await asyncio.sleep(left_s())
            raise TimeoutError
        await asyncio.sleep(0.05 if names[0] in self.slow else 0)
        return names[0]

    async def answers(self, name, _within_s):
        return name not in self.hanging


@pytest.fixture
def answering(monkeypatch):
    return Answering(monkeypatch)


def test_what_a_router_that_hangs_was_asked_another_answers_and_it_is_asked_last(answering):
    routers = Routers(NAMES[:2], random.Random(7))
    answering.hanging = {"router-0"}

    async def work():
        assert {await routers.ask(None, 60) for _ in range(20)} == {"router-1"}
        assert answering.asked.count("router-0") == 1
        answering.hanging.clear()
        await routers.look_for_silent()
        assert {await routers.ask(None, 60) for _ in range(20)} == {"router-0"}

    asyncio.run(work())


def test_one_that_is_busy_is_waited_for(answering):
    answering.slow = {"router-0"}
    routers = Routers(NAMES[:2], random.Random(7))
    assert asyncio.run(routers.ask(None, 60)) == "router-0"
    assert answering.asked == ["router-0"]


def test_where_all_hang_the_time_is_up(answering):
    answering.hanging = {*NAMES}
    with pytest.raises(TimeoutError):
        asyncio.run(Routers(NAMES, random.Random(7)).ask(None, 0.1))


def test_a_router_that_stands_still_costs_no_search_its_answer(tmp_path):
    (tmp_path / "frog.md").write_text("# Frogs\n\nzebra frogs sit in ponds\n")
    with own_gateway(tmp_path / "root", SHOAL_ROUTERS="2") as shoal:
        shoal.wait(shoal.index([tmp_path / "frog.md"], collection="pond"))
        (stopped,) = [r for r in shoal.status().replicas if r.name == "router-0"]
        process = psutil.Process(stopped.pid)
        process.send_signal(signal.SIGSTOP)
        try:
            for _ in range(6):
                answer = shoal.search("zebra", collections=["pond"], deadline_s=5)
                assert ([hit.path for hit in answer.hits], answer.coverage) == (["frog.md"], 1)
        finally:
            process.send_signal(signal.SIGCONT)
