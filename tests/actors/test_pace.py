"""How fast a job is, and how long it will take."""

import pytest

from actors.pace import Pace


def test_nothing_is_known_before_time_has_passed():
    assert Pace().at(0, 0, 100) == (0.0, None)


def test_the_rate_tells_the_time_that_is_left():
    pace = Pace()
    pace.at(0, 0, 100)
    assert pace.at(4, 20, 100) == (5.0, 16.0)


def test_what_was_long_ago_does_not_count():
    """A job that took up speed: 1 a second for a minute, then 10."""
    pace = Pace()
    for second in range(60):
        pace.at(second, second, 1000)
    for second in range(60, 80):
        rate, left = pace.at(second, 60 + (second - 60) * 10, 1000)
    assert (rate, left) == (10.0, pytest.approx(75.0))


def test_one_that_reports_seldom_has_a_rate_all_the_same():
    pace = Pace()
    pace.at(0, 0, 100)
    pace.at(30, 30, 100)
    assert pace.at(60, 60, 100) == (1.0, 40.0)


def test_nothing_is_foretold_while_nothing_is_done_of_late():
    pace = Pace()
    pace.at(0, 0, 100)
    pace.at(5, 50, 100)
    for second in range(6, 20):
        told = pace.at(second, 50, 100)
    assert told == (0.0, None)


@pytest.mark.parametrize(("done", "total"), [(100, 100), (100, 0)])
def test_nothing_is_left_to_foretell_where_all_is_done_or_all_is_unknown(done, total):
    pace = Pace()
    pace.at(0, 0, total)
    assert pace.at(10, done, total) == (10.0, None)
