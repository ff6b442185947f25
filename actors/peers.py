"""Actors that can answer the same: one with little to do, another where it is late or dead."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from actors.asking import first_answer, first_result
from actors.routing.balance import Cost, Loads, Work, better_of_two
from actors.routing.counts import Counts
from actors.routing.hedge import OVERDUE, HedgeBudget, Pace

Call = Callable[[Any], Awaitable[Any]]


class Peers:
    """Asks actors, and knows what is under way at each; belongs to one event loop.

    Args:
        counts: Where hedges and retries are counted.
    """

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._loads = Loads()
        self._budget = HedgeBudget()
        self._draw = random.Random()  # noqa: S311 - it spreads load

    @property
    def in_flight(self) -> int:
        """How many queries and texts are under way."""
        return self._loads.in_flight

    def load(self, name: str) -> tuple[bool, int]:
        """Return whether an actor is late with something, and how much it has in flight."""
        return self._loads.of(name)

    def order(self, names: Sequence[str], cost: Cost | None = None) -> list[str]:
        """Return equals in the order in which to ask them, by `cost` or else by their load."""
        return better_of_two(names, cost or self._loads.of, self._draw)

    async def ask(
        self,
        names: Sequence[str],
        call: Call,
        left_s: Callable[[], float],
        *,
        weight: int,
        pace: Pace,
        others: Sequence[str],
    ) -> Any:  # noqa: ANN401 - whatever the remote method returns
        """Ask the first of some actors; the next where it is dead, one more where it is late.

        Args:
            names: Actors that can answer, best first.
            call: Makes the remote call.
            left_s: Seconds that remain.
            weight: Queries or texts in the call.
            pace: Tells what is late, and is told how long the answer took.
            others: Who may be asked where the first is late.

        Raises:
            TimeoutError: Time is up.
            MemoryLimitExceeded: None of them has the memory for it.
            ReplicaLost: Each of them died over it.
        """
        started = time.perf_counter()
        self._budget.earn()
        tries = [_Try(names, call, left_s, self._loads, weight)]
        try:
            answer = await self._answer(tries, others, call, left_s, pace)
        finally:
            for made in tries:
                made.task.cancel()  # no more than what is still under way
                self._counts.retries += max(made.calls - 1, 0)
        pace.note(time.perf_counter() - started)
        return answer

    async def _answer(
        self,
        tries: list[_Try],
        others: Sequence[str],
        call: Call,
        left_s: Callable[[], float],
        pace: Pace,
    ) -> Any:  # noqa: ANN401
        """Return what the first of the tries comes to, or a second that is added to them."""
        (first,) = tries
        if await first.is_done(pace.late_s):
            return first.task.result()
        first.is_late()
        if not others or not await self._must_hedge(first, pace):
            return await first.task
        second = _Try(others, call, left_s, self._loads, first.weight)
        tries.append(second)
        won = await first_result({first.task, second.task})
        self._counts.hedge_wins += won is second.task
        return won.result()

    async def _must_hedge(self, first: _Try, pace: Pace) -> bool:
        """Wait until another call may be made; return whether it is needed still."""
        late_s, hangs_s = pace.late_s, pace.hangs_s
        waited_s = late_s
        while not self._budget.take(overdue=waited_s >= OVERDUE * late_s):
            if waited_s >= hangs_s:
                self._counts.retries += 1
                return True
            if await first.is_done(late_s):
                return False
            waited_s += late_s
        self._counts.hedges += 1
        return True


class _Try:
    """One call to the first of some actors that lives."""

    def __init__(
        self,
        names: Sequence[str],
        call: Call,
        left_s: Callable[[], float],
        loads: Loads,
        weight: int,
    ) -> None:
        self._loads = loads
        self._work = Work(names[0], weight)
        loads.began(self._work)  # at once: whoever chooses next must see it
        self.weight = weight
        self.calls = 0
        self.task = asyncio.create_task(first_answer(names, call, left_s, self._called))
        self.task.add_done_callback(self._ended)

    async def is_done(self, within_s: float) -> bool:
        """Wait for its end, so many seconds at most."""
        await asyncio.wait({self.task}, timeout=within_s)
        return self.task.done()

    def is_late(self) -> None:
        """Hold it against the actor that has it now, until that is through with it."""
        self._loads.is_late(self._work)

    def _called(self, name: str, answer: asyncio.Future[Any]) -> None:
        if self.calls or name != self._work.name:
            if not self.calls:
                self._loads.ended(self._work)
            self._work = Work(name, self.weight)
            self._loads.began(self._work)
        self.calls += 1
        work = self._work
        answer.add_done_callback(lambda _: self._loads.ended(work))

    def _ended(self, _: asyncio.Task[Any]) -> None:
        if not self.calls:  # nobody was reached
            self._loads.ended(self._work)
