"""Who may come in, who waits, and who is sent away with the time to come back."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from actors.errors import Overloaded

AT_WORK = 64
"""Requests at once: they fill a batch to each shard, and more would only wait there."""
MOST_WAITING = 32
"""Half as many: at ten times the load an answer took 2.5 times as long as at full load with as many
waiting as are at work (`bench/under_fire.py`), since sending others away costs time as well."""
MOST_WAITING_BYTES = 64 << 20
"""Of texts and vectors that wait, so that eight of the largest requests do not fill a router."""
_WINDOW_S = 2.0
"""Over which the rate of work is measured."""
_LEAST_RETRY_S, _MOST_RETRY_S = 0.1, 30.0


class Rate:
    """How often something happens, by the last two seconds.

    Args:
        clock: Returns seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._at: deque[float] = deque(maxlen=4096)

    def note(self) -> None:
        """Note that it happened."""
        self._at.append(self._clock())

    def count(self) -> int:
        """Return how often it happened within the window."""
        since = self._clock() - _WINDOW_S
        while self._at and self._at[0] < since:
            self._at.popleft()
        return len(self._at)

    def per_s(self) -> float:
        """Return how often it happened in a second, over the part of the window that has any."""
        count = self.count()
        if not count:
            return 0.0
        return count / max(self._clock() - self._at[0], 1 / count)


@dataclass(slots=True, eq=False)
class _Waiting:
    size: int
    turn: asyncio.Future[None]


class Admission:
    """Lets so many in at once; lets so many wait, callers by turns; belongs to one event loop.

    Args:
        at_work: Requests at once.
        most_waiting: Requests that may wait.
        most_bytes: Bytes of them that may wait.
        shares: How many serve those that are let in: each of the three is so many times as much.
        clock: Returns seconds.

    Attributes:
        at_work: Requests that are in.
        refused: How many were sent away.
        dropped: How many left, or ran out of time, while they waited.
    """

    def __init__(
        self,
        at_work: int = AT_WORK,
        most_waiting: int = MOST_WAITING,
        most_bytes: int = MOST_WAITING_BYTES,
        shares: Callable[[], int] = lambda: 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most_at_work = at_work
        self._most_waiting = most_waiting
        self._most_bytes = most_bytes
        self._shares = shares
        self._callers: OrderedDict[str, deque[_Waiting]] = OrderedDict()
        self._waiting_bytes = 0
        self._done = Rate(clock)
        self._refusals = Rate(clock)
        self.at_work = 0
        self.refused = 0
        self.dropped = 0

    @property
    def waiting(self) -> int:
        """How many wait."""
        return sum(map(len, self._callers.values()))

    @property
    def _is_full(self) -> bool:
        return self.at_work >= self._most_at_work * self._shares()

    async def turn(
        self, caller: str, size: int, left_s: Callable[[], float]
    ) -> AbstractContextManager[None]:
        """Wait until it is this request's turn, which lasts for the block of what is returned.

        Args:
            caller: Who asks: of those that wait, callers take turns.
            size: Bytes that the request holds while it waits.
            left_s: Seconds that remain to it.

        Raises:
            Overloaded: Too much waits already.
            TimeoutError: Its time was up before its turn came.
        """
        if self._is_full:
            await self._wait(caller, size, left_s)
        else:
            self.at_work += 1
        return self._during()

    @contextmanager
    def _during(self) -> Iterator[None]:
        try:
            yield
        finally:
            self.at_work -= 1
            self._done.note()
            self._let_in()

    async def _wait(self, caller: str, size: int, left_s: Callable[[], float]) -> None:
        while not self._has_room(size):
            self._send_away(self._greediest(caller))
        waiting = _Waiting(size, asyncio.get_running_loop().create_future())
        self._callers.setdefault(caller, deque()).append(waiting)
        self._waiting_bytes += size
        try:
            async with asyncio.timeout(max(left_s(), 0)):
                await waiting.turn
        except (TimeoutError, asyncio.CancelledError):
            self._leave(caller, waiting)
            raise

    def _has_room(self, size: int) -> bool:
        shares = self._shares()
        fits = self._waiting_bytes + size <= self._most_bytes * shares or not self._callers
        return self.waiting < self._most_waiting * shares and fits

    def _greediest(self, caller: str) -> deque[_Waiting]:
        """Return the queue that must give way: the longest, if this caller's is shorter by two.

        Raises:
            Overloaded: There is none, so that it is this caller who must come back later.
        """
        longest = max(self._callers.values(), key=len, default=deque())
        if len(longest) < len(self._callers.get(caller, ())) + 2:
            raise self._overloaded()
        return longest

    def _send_away(self, queue: deque[_Waiting]) -> None:
        last = queue.pop()
        self._waiting_bytes -= last.size
        if not last.turn.done():
            last.turn.set_exception(self._overloaded())

    def _leave(self, caller: str, waiting: _Waiting) -> None:
        """Take a request that gives up out of the queue, or pass on the turn that it just got."""
        self.dropped += 1
        if waiting.turn.done() and not waiting.turn.cancelled():
            if waiting.turn.exception() is None:
                self.at_work -= 1
                self._let_in()
            return
        queue = self._callers.get(caller, deque())
        if waiting in queue:  # else it was passed over already
            self._take_from(caller, queue, queue.index(waiting))

    def _take_from(self, caller: str, queue: deque[_Waiting], at: int) -> _Waiting:
        waiting = queue[at]
        del queue[at]
        self._waiting_bytes -= waiting.size
        if not queue:
            del self._callers[caller]
        return waiting

    def _let_in(self) -> None:
        """Give the free places to those that wait longest, one of each caller after the other."""
        while self._callers and not self._is_full:
            caller, queue = next(iter(self._callers.items()))
            self._callers.move_to_end(caller)
            first = self._take_from(caller, queue, 0)
            if not first.turn.done():
                self.at_work += 1
                first.turn.set_result(None)

    def _overloaded(self) -> Overloaded:
        """Tell when to come back: once the work that is here, and who was sent away, is through."""
        self.refused += 1
        ahead = self.at_work + self.waiting + self._refusals.count()
        self._refusals.note()
        rate = self._done.per_s()
        retry_s = min(max(ahead / rate if rate else 1.0, _LEAST_RETRY_S), _MOST_RETRY_S)
        message = (
            f"{self.at_work} requests are being answered and {self.waiting} wait; at {rate:.0f} "
            f"a second, come back in {retry_s:.1f} s, or add routers and hosts with `shoal scale`"
        )
        return Overloaded(message, retry_after_s=round(retry_s, 3))
