"""What waits for the same goes there together: nothing waits while nothing is under way."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")
K = TypeVar("K", bound=Hashable)

MOST = 64
"""In one batch: twice as many bring a router and two hosts hardly more, and double the wait."""
SLOTS = 2
"""Batches under way at once to one receiver: it works on one while the other travels."""
_KEPT = 64
"""Coalescers, before those that are idle are looked for."""
_HOLD_S = 0.02
"""About what a batch takes at full load, and the most that waiting for company may cost."""


@dataclass(slots=True)
class _Waiting(Generic[Q, A]):
    item: Q
    give_up_at: float
    answer: asyncio.Future[A]


class Coalescer(Generic[Q, A]):
    """Sends what waits as one batch when a slot is free; belongs to one event loop.

    While something is under way, a free slot waits until its share of that has come: it would else
    take the first that comes alone, and all after it would wait for two batches in place of one.

    Args:
        send: Takes a batch and the `time.monotonic` at which the last of it gives up; returns an
            answer for each, in order.
        shared: Errors that concern whatever is sent. Any other may be the doing of one item: each
            of the batch is then sent alone, and the rest get their answers.
        on_drop: Called for each item whose caller left or whose time was up before it was sent.
        size: How much of a batch an item fills; a larger one than `MOST` is sent alone.
        slots: Batches under way at once.
        patience_s: After so long a batch under way holds its slot no longer, so that what is stuck
            keeps nothing else waiting; None where all would be stuck alike.
    """

    def __init__(
        self,
        send: Callable[[Sequence[Q], float], Awaitable[Sequence[A]]],
        shared: tuple[type[Exception], ...],
        on_drop: Callable[[], object] = lambda: None,
        size: Callable[[Q], int] = lambda _item: 1,
        slots: int = SLOTS,
        patience_s: float | None = None,
    ) -> None:
        self._send = send
        self._shared = shared
        self._on_drop = on_drop
        self._size = size
        self._slots = slots
        self._patience_s = patience_s
        self._late = 0
        self._under_way = 0
        self._waiting: deque[_Waiting[Q, A]] = deque()
        self._working: set[asyncio.Task[None]] = set()
        self._holding: asyncio.TimerHandle | None = None

    @property
    def slots(self) -> int:
        """Batches under way at once."""
        return self._slots

    @slots.setter
    def slots(self, slots: int) -> None:
        self._slots = slots
        if self._waiting:
            self._begin()

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is under way."""
        return not self._waiting and not self._working

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._waiting)

    def submit(self, item: Q, give_up_at: float) -> asyncio.Future[A]:
        """Return the future of the item's answer; to cancel it takes the item back.

        Args:
            item: What to send.
            give_up_at: The `time.monotonic` from which on it is not sent any more: the future
                then raises TimeoutError. What is under way is withdrawn with the last that waits.
        """
        answer: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(item, give_up_at, answer))
        self._begin()
        return answer

    def _begin(self) -> None:
        if not self._is_free:
            return
        if len(self._waiting) * self._slots >= self._under_way:
            self._start()
        elif self._holding is None:
            self._holding = asyncio.get_running_loop().call_later(_HOLD_S, self._hold_no_longer)

    @property
    def _is_free(self) -> bool:
        return len(self._working) - self._late < self._slots

    def _start(self) -> None:
        if self._holding:
            self._holding.cancel()
            self._holding = None
        task = asyncio.create_task(self._work())
        self._working.add(task)
        task.add_done_callback(self._ended)

    def _hold_no_longer(self) -> None:
        self._holding = None
        if self._waiting and self._is_free:
            self._start()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._working.discard(task)
        if self._waiting and not task.cancelled():
            self._begin()

    async def _work(self) -> None:
        if batch := self._next():
            with self._slot(len(batch)):
                if self._waiting:  # what did not fit
                    self._begin()
                await self._answer(batch)

    @contextmanager
    def _slot(self, items: int) -> Iterator[None]:
        """Hold a slot for the block, but no longer than patience lasts."""
        lost = False
        self._under_way += items

        def lose() -> None:
            nonlocal lost
            lost = True
            self._late += 1
            self._under_way -= items
            if self._waiting:
                self._begin()

        wait_s = self._patience_s
        losing = wait_s and asyncio.get_running_loop().call_later(wait_s, lose)
        try:
            yield
        finally:
            if losing:
                losing.cancel()
            self._late -= lost
            self._under_way -= 0 if lost else items

    def _next(self) -> list[_Waiting[Q, A]]:
        """Take the longest waiting that fit into a batch; drop what nobody waits for."""
        batch: list[_Waiting[Q, A]] = []
        size, now = 0, time.monotonic()
        while self._waiting:
            first = self._waiting[0]
            if first.answer.done() or first.give_up_at <= now:
                self._waiting.popleft()
                self._on_drop()
                if not first.answer.done():
                    first.answer.set_exception(TimeoutError())
                continue
            size += self._size(first.item)
            if batch and size > MOST:
                break
            batch.append(self._waiting.popleft())
        return batch

    async def _answer(self, batch: list[_Waiting[Q, A]]) -> None:
        give_up_at = max(waiting.give_up_at for waiting in batch)
        sending = asyncio.ensure_future(self._send([waiting.item for waiting in batch], give_up_at))
        _cancel_with_last([waiting.answer for waiting in batch], sending)
        try:
            await asyncio.wait({sending})
        finally:
            sending.cancel()  # where it is this task that is ended
        if sending.cancelled():
            return
        error = sending.exception()
        if error is not None and len(batch) > 1 and not isinstance(error, self._shared):
            for waiting in batch:
                if not waiting.answer.done():
                    await self._answer([waiting])
            return
        for number, waiting in enumerate(batch):
            if waiting.answer.done():
                continue
            if error is None:
                waiting.answer.set_result(sending.result()[number])
            else:
                waiting.answer.set_exception(error)


class Coalescers(Generic[K, Q, A]):
    """One coalescer for each of what is asked; those that nobody uses are forgotten in time."""

    def __init__(self) -> None:
        self._all: dict[K, Coalescer[Q, A]] = {}
        self._most = _KEPT

    @property
    def waiting(self) -> int:
        """How many items wait in all of them."""
        return sum(map(len, list(self._all.values())))

    def of(self, key: K, make: Callable[[], Coalescer[Q, A]]) -> Coalescer[Q, A]:
        """Return the one that is kept for a key, made where there is none."""
        found = self._all.get(key)
        if found is None:
            if len(self._all) >= self._most:
                self._all = {key: one for key, one in self._all.items() if not one.idle}
                self._most = max(_KEPT, 2 * len(self._all))
            found = self._all[key] = make()
        return found


def _cancel_with_last(answers: Sequence[asyncio.Future[A]], sending: asyncio.Future[Any]) -> None:
    """Withdraw a batch once nobody waits for any of it."""
    left = len(answers)

    def one_less(_: asyncio.Future[A]) -> None:
        nonlocal left
        left -= 1
        if not left:
            sending.cancel()  # no more than what is still under way

    for answer in answers:
        answer.add_done_callback(one_less)
