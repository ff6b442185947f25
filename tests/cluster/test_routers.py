"""Requests are shared out among routers."""

import random
from collections import Counter
from contextlib import ExitStack

import pytest

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
