import pytest

from actors.routing.hedge import SHARE, HedgeBudget, Pace


@pytest.mark.parametrize("overdue", [False, True])
def test_hedges_are_never_more_than_their_share_of_all_calls_and_one(overdue):
    budget, hedges = HedgeBudget(), 0
    for calls in range(1, 2001):
        budget.earn()
        hedges += budget.take(overdue)
        assert hedges <= 1 + SHARE * calls
    assert hedges == pytest.approx(SHARE * 2000, abs=3)


def test_the_first_overdue_call_may_be_hedged_and_the_next_may_not():
    budget = HedgeBudget()
    budget.earn()
    assert [budget.take(overdue=True), budget.take(overdue=True)] == [True, False]


def test_calls_that_are_merely_late_leave_something_for_those_that_are_overdue():
    budget = HedgeBudget()
    for _ in range(10_000):
        budget.earn()
        budget.take()
    while budget.take():
        pass
    assert [budget.take(overdue=True) for _ in range(4)] == [True, True, True, False]


def test_quiet_times_save_up_few_hedges():
    budget = HedgeBudget()
    for _ in range(10_000):
        budget.earn()
    assert sum(budget.take(overdue=True) for _ in range(100)) == 6


def test_late_is_what_takes_longer_than_nearly_all_calls_of_late():
    pace = Pace()
    for number in range(100):
        pace.note(1.0 if number % 10 else 3.0)
    assert pace.late_s == 3.0
    for _ in range(512):
        pace.note(0.5)
    assert pace.late_s == 0.5


def test_what_is_late_is_told_by_a_fixed_bound_while_little_is_known():
    pace = Pace()
    known_nothing = pace.late_s
    for _ in range(5):
        pace.note(0.001)
    assert pace.late_s == known_nothing


def test_calls_that_take_no_time_are_not_hedged_at_once():
    pace = Pace()
    for _ in range(100):
        pace.note(0.0001)
    assert pace.late_s == 0.02


def test_a_call_is_taken_for_hanging_after_many_times_what_is_late_and_never_soon():
    pace = Pace()
    for _ in range(100):
        pace.note(0.001)
    assert pace.hangs_s == 2.0
    for _ in range(512):
        pace.note(1.0)
    assert pace.hangs_s == 20.0
