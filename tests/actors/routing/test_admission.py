import asyncio

import pytest

from actors.errors import Overloaded
from actors.routing.admission import Admission, Rate


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def plenty():
    return 60.0


class Callers:
    """Requests that come in and stay until they are let go; remembers in which order they came."""

    def __init__(self, admission):
        self.admission = admission
        self.entered = []
        self._done = {}

    def ask(self, name, caller="", size=1, left_s=plenty):
        return asyncio.create_task(self._ask(name, caller, size, left_s))

    async def _ask(self, name, caller, size, left_s):
        self._done[name] = asyncio.Event()
        with await self.admission.turn(caller, size, left_s):
            self.entered.append(name)
            await self._done[name].wait()

    async def let_go(self, *names):
        for name in names:
            self._done[name].set()
            await settled()


async def settled():
    for _ in range(10):
        await asyncio.sleep(0)


def test_so_many_are_in_at_once_and_the_next_comes_in_when_one_leaves():
    async def run():
        callers = Callers(Admission(at_work=2))
        tasks = [callers.ask(name) for name in "abc"]
        await settled()
        before = list(callers.entered), callers.admission.waiting
        await callers.let_go("a", "b", "c")
        await asyncio.gather(*tasks)
        return before, callers.entered, callers.admission.at_work

    assert asyncio.run(run()) == ((["a", "b"], 1), ["a", "b", "c"], 0)


def test_callers_take_turns_however_many_requests_one_of_them_has():
    async def run():
        callers = Callers(Admission(at_work=1))
        tasks = [callers.ask(name, "greedy") for name in ("g1", "g2", "g3", "g4")]
        tasks += [callers.ask("m1", "modest"), callers.ask("m2", "modest")]
        await settled()
        await callers.let_go("g1", "g2", "m1", "g3", "m2", "g4")
        await asyncio.gather(*tasks)
        return callers.entered

    assert asyncio.run(run()) == ["g1", "g2", "m1", "g3", "m2", "g4"]


def test_where_the_queue_is_full_the_next_is_sent_away():
    async def run():
        callers = Callers(Admission(at_work=1, most_waiting=1))
        kept = [callers.ask("a"), callers.ask("b")]
        await settled()
        with pytest.raises(Overloaded) as refused:
            await callers.ask("c")
        await callers.let_go("a", "b")
        await asyncio.gather(*kept)
        return refused.value, callers.entered, callers.admission.refused

    error, entered, refused = asyncio.run(run())
    assert entered == ["a", "b"]
    assert refused == 1
    assert error.retry_after_s > 0


def test_a_full_queue_makes_room_for_a_caller_who_has_less_in_it():
    async def run():
        callers = Callers(Admission(at_work=1, most_waiting=3))
        tasks = {name: callers.ask(name, "greedy") for name in ("g1", "g2", "g3", "g4")}
        await settled()
        tasks["m1"] = callers.ask("m1", "modest")
        await settled()
        sent_away = [name for name, task in tasks.items() if task.done()]
        with pytest.raises(Overloaded):
            await tasks["g4"]
        await callers.let_go("g1", "g2", "m1", "g3")
        await asyncio.gather(*(tasks[name] for name in ("g1", "g2", "g3", "m1")))
        return sent_away, callers.entered

    assert asyncio.run(run()) == (["g4"], ["g1", "g2", "m1", "g3"])


def test_bytes_that_wait_are_bounded_too_but_one_request_of_any_size_may_wait():
    async def run():
        callers = Callers(Admission(at_work=1, most_bytes=100))
        kept = [callers.ask("a"), callers.ask("large", size=1000)]
        await settled()
        with pytest.raises(Overloaded):
            await callers.ask("small", size=1)
        await callers.let_go("a", "large")
        await asyncio.gather(*kept)
        return callers.entered

    assert asyncio.run(run()) == ["a", "large"]


def test_who_leaves_while_waiting_is_forgotten_and_the_next_gets_the_turn():
    async def run():
        callers = Callers(Admission(at_work=1))
        first, leaving, last = (callers.ask(name) for name in ("a", "leaves", "c"))
        await settled()
        leaving.cancel()
        await settled()
        await callers.let_go("a", "c")
        await asyncio.gather(first, last)
        return callers.entered, callers.admission.dropped, callers.admission.at_work

    assert asyncio.run(run()) == (["a", "c"], 1, 0)


def test_who_leaves_at_the_moment_of_its_turn_passes_it_on():
    async def run():
        callers = Callers(Admission(at_work=1))
        first, leaving, last = (callers.ask(name) for name in ("a", "leaves", "c"))
        await settled()
        first.cancel()
        await asyncio.sleep(0)  # the first leaves: the turn is given, and not yet taken
        leaving.cancel()
        await settled()
        await callers.let_go("c")
        await last
        return callers.entered, callers.admission.at_work

    assert asyncio.run(run()) == (["a", "c"], 0)


def test_a_request_whose_time_is_up_does_not_come_in():
    async def run():
        callers = Callers(Admission(at_work=1))
        first = callers.ask("a")
        await settled()
        with pytest.raises(TimeoutError):
            await callers.ask("late", left_s=lambda: 0.0)
        await callers.let_go("a")
        await first
        return callers.entered, callers.admission.dropped

    assert asyncio.run(run()) == (["a"], 1)


def test_when_to_come_back_follows_from_the_rate_at_which_work_is_done():
    async def run():
        clock = Clock()
        admission = Admission(at_work=1, most_waiting=0, clock=clock)
        for _ in range(20):  # ten a second
            clock.now += 0.1
            with await admission.turn("", 1, plenty):
                pass
        seen = []
        with await admission.turn("", 1, plenty):
            for _ in range(3):
                with pytest.raises(Overloaded) as refused:
                    await admission.turn("", 1, plenty)
                seen.append(refused.value.retry_after_s)
        return seen

    assert asyncio.run(run()) == pytest.approx([0.1, 0.2, 0.3], rel=0.15)


def test_a_rate_forgets_what_is_long_past():
    clock = Clock()
    rate = Rate(clock)
    assert rate.per_s() == 0.0
    for _ in range(10):
        clock.now += 0.1
        rate.note()
    assert rate.per_s() == pytest.approx(10, rel=0.15)
    clock.now += 60
    assert rate.per_s() == 0.0
