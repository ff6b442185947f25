"""How often a caller may ask."""

import pytest

from actors.errors import Overloaded
from mcp_adapter import rates
from mcp_adapter.rates import Rates


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def taken(bucket, caller, tries):
    """Return how many of so many requests were let in."""
    let_in = 0
    for _ in range(tries):
        try:
            bucket.take(caller)
        except Overloaded:
            continue
        let_in += 1
    return let_in


def test_a_caller_may_ask_twice_a_seconds_worth_at_once_and_then_at_the_rate(clock):
    bucket = Rates(10.0, clock)
    assert taken(bucket, "a", 50) == 20
    clock.now += 1.0
    assert taken(bucket, "a", 50) == 10
    clock.now += 3600.0
    assert taken(bucket, "a", 50) == 20


def test_one_caller_does_not_use_up_anothers(clock):
    bucket = Rates(10.0, clock)
    assert taken(bucket, "a", 50) == taken(bucket, "b", 50) == 20


def test_who_is_refused_is_let_in_after_the_time_that_it_is_told(clock):
    bucket = Rates(4.0, clock)
    taken(bucket, "a", 50)
    with pytest.raises(Overloaded, match="SHOAL_RATE_LIMIT") as refused:
        bucket.take("a")
    assert refused.value.retry_after_s == pytest.approx(0.25)
    clock.now += refused.value.retry_after_s
    bucket.take("a")


def test_callers_without_number_take_memory_for_a_few_thousand(clock, monkeypatch):
    monkeypatch.setattr(rates, "_MAX_CALLERS", 100)
    bucket = Rates(1.0, clock)
    for caller in range(10_000):
        bucket.take(caller)
    assert len(bucket._buckets) == 100
