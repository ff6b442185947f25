import random
from collections import Counter

from actors.routing.balance import Loads, Work, better_of_two

NAMES = ("a", "b", "c", "d")


def test_the_better_of_two_that_were_drawn_comes_first_and_the_worst_of_all_never():
    firsts = Counter(
        better_of_two(NAMES, lambda name: (NAMES.index(name),), random.Random(seed))[0]
        for seed in range(200)
    )
    assert set(firsts) == {"a", "b", "c"}
    assert firsts["a"] > firsts["b"] > firsts["c"]


def test_every_name_is_in_the_order_once_and_the_rest_follows_by_cost():
    order = better_of_two(NAMES, lambda name: (-NAMES.index(name),), random.Random(1))
    assert sorted(order) == list(NAMES)
    assert order[1:] == sorted(order[1:], reverse=True)


def test_among_equals_the_one_that_is_placed_first_is_asked():
    firsts = {
        better_of_two(("b", "a"), lambda _: (0,), random.Random(seed))[0] for seed in range(20)
    }
    assert firsts == {"b"}


def test_calls_in_flight_go_round_equals_evenly():
    loads, draw = Loads(), random.Random(5)
    for _ in range(400):
        loads.began(Work(better_of_two(NAMES, loads.of, draw)[0], 1))
    assert [loads.of(name)[1] for name in NAMES] == sorted(
        (loads.of(name)[1] for name in NAMES), reverse=True
    ) or max(loads.of(name)[1] for name in NAMES) - min(loads.of(name)[1] for name in NAMES) <= 6


def test_one_that_is_late_is_asked_last_until_it_is_through():
    loads, draw = Loads(), random.Random(5)
    stuck = Work("a", 1)
    loads.began(stuck)
    loads.is_late(stuck)
    loads.is_late(stuck)
    for _ in range(10):
        loads.began(Work("b", 1))
    assert better_of_two(("a", "b"), loads.of, draw)[0] == "b"
    loads.ended(stuck)
    assert loads.of("a") == (False, 0)
    assert better_of_two(("a", "b"), loads.of, draw)[0] == "a"
    assert loads.in_flight == 10


def test_what_is_over_makes_nobody_late():
    loads = Loads()
    died = Work("a", 1)
    loads.began(died)
    loads.ended(died)
    loads.is_late(died)  # its caller still waits for the actor to be back
    assert loads.of("a") == (False, 0)
