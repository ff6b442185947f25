import asyncio
import time

import pytest

from actors.routing.batch import MOST, Coalescer, Coalescers

LATER = time.monotonic() + 3600


class Receiver:
    """Answers batches in the order in which they are let go; remembers what was in them."""

    def __init__(self):
        self.batches = []
        self._gates = []

    async def __call__(self, items, _give_up_at):
        self.batches.append(list(items))
        gate = asyncio.Event()
        self._gates.append(gate)
        await gate.wait()
        return [item * 10 for item in items]

    async def sent(self, number):
        """Wait until so many batches were sent."""
        async with asyncio.timeout(10):
            while len(self.batches) < number:
                await asyncio.sleep(0)

    def let_go(self, batch=0):
        self._gates[batch].set()


async def with_four_under_way():
    """Return a receiver that has a batch of four, its queue of two slots, and their answers."""
    receiver = Receiver()
    queue = Coalescer(receiver, (), slots=2)
    answers = [queue.submit(item, LATER) for item in (1, 2, 3, 4)]
    await receiver.sent(1)
    return receiver, queue, answers


def test_what_comes_while_nothing_is_under_way_is_sent_at_once():
    async def run():
        receiver = Receiver()
        answer = Coalescer(receiver, ()).submit(1, LATER)
        await receiver.sent(1)
        receiver.let_go()
        return receiver.batches, await answer

    assert asyncio.run(run()) == ([[1]], 10)


def test_what_comes_while_all_slots_are_taken_goes_together_when_one_is_free():
    async def run():
        receiver = Receiver()
        queue = Coalescer(receiver, (), slots=1)
        answers = [queue.submit(1, LATER)]
        await receiver.sent(1)
        answers += [queue.submit(item, LATER) for item in (2, 3, 4)]
        receiver.let_go(0)
        await receiver.sent(2)
        receiver.let_go(1)
        return receiver.batches, await asyncio.gather(*answers)

    assert asyncio.run(run()) == ([[1], [2, 3, 4]], [10, 20, 30, 40])


def test_a_free_slot_waits_for_its_share_of_what_is_under_way():
    async def run():
        receiver, queue, answers = await with_four_under_way()
        answers.append(queue.submit(5, LATER))
        await asyncio.sleep(0)
        alone = len(receiver.batches)
        answers.append(queue.submit(6, LATER))
        await receiver.sent(2)
        for batch in (0, 1):
            receiver.let_go(batch)
        await asyncio.gather(*answers)
        return alone, receiver.batches

    assert asyncio.run(run()) == (1, [[1, 2, 3, 4], [5, 6]])


def test_no_company_is_waited_for_long_or_longer_than_anything_is_under_way():
    async def run():
        receiver, queue, answers = await with_four_under_way()
        answers.append(queue.submit(5, LATER))
        await receiver.sent(2)  # though nothing came back, and nobody else came
        answers.append(queue.submit(6, LATER))
        receiver.let_go(0)
        receiver.let_go(1)
        await receiver.sent(3)
        receiver.let_go(2)
        return receiver.batches, await asyncio.gather(*answers)

    batches, answers = asyncio.run(run())
    assert batches == [[1, 2, 3, 4], [5], [6]]
    assert answers == [10, 20, 30, 40, 50, 60]


def test_a_batch_holds_no_more_than_the_most_and_a_large_item_goes_alone():
    async def run():
        receiver = Receiver()
        queue = Coalescer(receiver, (), size=lambda item: item, slots=1)
        answers = [queue.submit(item, LATER) for item in (MOST - 1, 1, 1, MOST + 5, 2)]
        for number in range(4):
            await receiver.sent(number + 1)
            receiver.let_go(number)
        await asyncio.gather(*answers)
        return receiver.batches

    assert asyncio.run(run()) == [[MOST - 1, 1], [1], [MOST + 5], [2]]


def test_what_its_caller_took_back_or_whose_time_is_up_is_never_sent():
    async def run():
        dropped = []
        receiver = Receiver()
        queue = Coalescer(receiver, (), on_drop=lambda: dropped.append(1), slots=1)
        first = queue.submit(1, LATER)
        await receiver.sent(1)
        taken_back, late = queue.submit(2, LATER), queue.submit(3, time.monotonic())
        last = queue.submit(4, LATER)
        taken_back.cancel()
        receiver.let_go(0)
        await receiver.sent(2)
        receiver.let_go(1)
        with pytest.raises(TimeoutError):
            await late
        await asyncio.gather(first, last)
        return receiver.batches, len(dropped), queue.idle

    assert asyncio.run(run())[:2] == ([[1], [4]], 2)


@pytest.mark.parametrize(
    ("shared", "calls", "answers"),
    [
        ((), [["a", "bad", "c"], ["a"], ["bad"], ["c"]], ["A", "bad fails", "C"]),
        ((ValueError,), [["a", "bad", "c"]], ["bad fails"] * 3),
    ],
    ids=["may be one item's doing", "concerns all"],
)
def test_an_error_that_may_be_one_items_doing_spares_the_others(shared, calls, answers):
    async def run():
        made = []

        async def send(items, _give_up_at):
            made.append(list(items))
            if "bad" in items:
                message = "bad fails"
                raise ValueError(message)
            return [item.upper() for item in items]

        queue = Coalescer(send, shared, slots=1)
        asked = [queue.submit(item, LATER) for item in ("a", "bad", "c")]
        found = await asyncio.gather(*asked, return_exceptions=True)
        return made, [str(answer) for answer in found]

    assert asyncio.run(run()) == (calls, answers)


def test_a_batch_may_take_as_long_as_the_last_of_it_can_wait():
    async def run():
        told = []

        async def send(items, give_up_at):
            told.append(give_up_at)
            return items

        queue = Coalescer(send, ())
        await asyncio.gather(queue.submit(1, LATER), queue.submit(2, LATER + 5))
        return told

    assert asyncio.run(run()) == [LATER + 5]


def test_a_batch_that_nobody_waits_for_any_more_is_withdrawn_and_the_next_goes():
    async def run():
        receiver = Receiver()
        queue = Coalescer(receiver, (), slots=1)
        stuck = [queue.submit("stuck", LATER), queue.submit("stuck too", LATER)]
        await receiver.sent(1)
        last = queue.submit("a", LATER)
        stuck[0].cancel()
        for _ in range(10):
            await asyncio.sleep(0)
        before = len(receiver.batches)
        stuck[1].cancel()
        await receiver.sent(2)
        receiver.let_go(1)
        return before, receiver.batches, await last

    assert asyncio.run(run()) == (1, [["stuck", "stuck too"], ["a"]], "a" * 10)


def test_a_batch_that_is_stuck_keeps_nothing_waiting_for_longer_than_patience():
    async def run():
        receiver = Receiver()
        queue = Coalescer(receiver, (), slots=1, patience_s=0.01)
        stuck = queue.submit(1, LATER)
        await receiver.sent(1)
        others = [queue.submit(item, LATER) for item in (2, 3)]
        await receiver.sent(2)
        receiver.let_go(1)
        found = await asyncio.gather(*others)
        receiver.let_go(0)
        return receiver.batches, [await stuck, *found]

    assert asyncio.run(run()) == ([[1], [2, 3]], [10, 20, 30])


def test_a_slot_that_was_lost_comes_back_once_and_no_more():
    async def run():
        receiver = Receiver()
        queue = Coalescer(receiver, (), slots=1, patience_s=0.5)
        answers = [queue.submit(1, LATER)]
        await receiver.sent(1)
        answers.append(queue.submit(2, LATER))
        await receiver.sent(2)  # because the first is late
        receiver.let_go(0)
        receiver.let_go(1)
        await asyncio.gather(*answers)
        for item in (3, 4, 5):
            answers.append(queue.submit(item, LATER))
            await receiver.sent(3)
        receiver.let_go(2)
        await receiver.sent(4)
        receiver.let_go(3)
        return receiver.batches, await asyncio.gather(*answers)

    assert asyncio.run(run()) == ([[1], [2], [3], [4, 5]], [10, 20, 30, 40, 50])


def test_what_did_not_fit_is_held_no_longer_than_the_rest():
    async def run():
        receiver = Receiver()
        queue = Coalescer(receiver, (), size=lambda item: item, slots=4)
        answers = [queue.submit(1, LATER) for _ in range(MOST)]
        await receiver.sent(1)
        answers += [queue.submit(MOST, LATER) for _ in range(2)]
        await receiver.sent(3)  # by the clock, though nothing comes back and nothing is added
        for batch in range(3):
            receiver.let_go(batch)
        await asyncio.gather(*answers)
        return [len(batch) for batch in receiver.batches]

    assert asyncio.run(run()) == [MOST, 1, 1]


def test_slots_that_are_added_are_used_at_once():
    async def run():
        receiver = Receiver()
        queue = Coalescer(receiver, (), size=lambda _: MOST, slots=1)
        answers = [queue.submit(item, LATER) for item in (1, 2, 3)]
        await receiver.sent(1)
        queue.slots = 3
        await receiver.sent(3)
        for batch in range(3):
            receiver.let_go(batch)
        return await asyncio.gather(*answers)

    assert asyncio.run(run()) == [10, 20, 30]


def test_the_wait_of_one_that_was_held_does_not_shorten_the_next_ones():
    async def run():
        receiver, queue, answers = await with_four_under_way()
        answers.append(queue.submit(5, LATER))
        held = queue._holding
        answers.append(queue.submit(6, LATER))
        await receiver.sent(2)
        for batch in (0, 1):
            receiver.let_go(batch)
        await asyncio.gather(*answers)
        return held.cancelled(), queue._holding

    assert asyncio.run(run()) == (True, None)


def test_coalescers_that_nobody_uses_are_forgotten():
    async def run():
        queues = Coalescers()
        stuck = queues.of("stuck", lambda: Coalescer(Receiver(), ()))
        waiting = [stuck.submit(item, LATER) for item in (1, 2)]
        made = 0

        def make():
            nonlocal made
            made += 1
            return Coalescer(Receiver(), ())

        for number in range(10_000):
            queues.of(number, make)
        kept = len(queues._all), queues.of("stuck", make) is stuck, queues.waiting
        for answer in waiting:
            answer.cancel()
        return made, kept

    made, (kept, is_same, waiting) = asyncio.run(run())
    assert made == 10_000
    assert kept <= 64
    assert is_same
    assert waiting == 2
