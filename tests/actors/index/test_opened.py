"""Segments are opened once, and the least used goes first, never one in use."""

import threading

import pytest

from actors.index.opened import OpenSegments


@pytest.fixture
def segments():
    return OpenSegments()


def use(segments, *names, opened=None):
    def open_one(name):
        if opened is not None:
            opened.append(name)
        return name.upper()

    return segments.using(names, open_one)


def test_a_segment_is_opened_on_its_first_use_only(segments):
    opened = []
    for _ in range(3):
        with use(segments, "a", "b", opened=opened) as got:
            assert got == ["A", "B"]
    assert opened == ["a", "b"]
    assert (segments.opens, segments.closes) == (2, 0)


def test_the_least_used_is_closed_first(segments):
    for name in ("a", "b", "c", "a"):
        with use(segments, name):
            pass
    assert segments.close_least_used()
    assert segments.all() == ["C", "A"]


def test_none_in_use_is_closed(segments):
    with use(segments, "b"):
        pass
    with use(segments, "a"):
        with use(segments, "a"):
            pass
        segments.close_idle()
        assert segments.all() == ["A"]
        assert not segments.close_least_used()
    assert segments.close_least_used()
    assert segments.closes == 2


def test_a_segment_that_fails_to_open_lets_go_of_the_others(segments):
    def fails(name):
        if name == "bad":
            raise ValueError(name)
        return name

    with pytest.raises(ValueError, match="bad"), segments.using(["good", "bad"], fails):
        pass
    assert segments.close_least_used()
    assert segments.all() == []


def test_what_is_not_to_be_kept_is_forgotten_even_in_use(segments):
    with use(segments, "old", "new") as got:
        segments.keep_only(frozenset({"new"}))
        assert segments.all() == ["NEW"]
        assert got == ["OLD", "NEW"]
    with use(segments, "old"):
        assert segments.all() == ["NEW", "OLD"]


def test_of_many_that_want_a_segment_at_once_one_opens_it(segments):
    opened, started = [], threading.Barrier(8)

    def want():
        started.wait(timeout=10)
        with use(segments, "a", opened=opened):
            pass

    threads = [threading.Thread(target=want) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=10)
    assert opened == ["a"]
    assert segments.close_least_used()
