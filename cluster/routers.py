"""Which router a request goes to, and another where that one hangs."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from actors.asking import answers, first_answer, first_result
from actors.routing.balance import better_of_two

_SILENCE_S = 0.5
"""Of a router that has a request, until it is asked whether it is there at all."""
_WORD_S = 1.0
"""For it to say so: it does that on a thread of its own, however busy it is."""


class Routers:
    """Shares requests out among routers that all answer alike.

    Of two routers at random, the one with fewer of our requests under way is asked. A request that
    has to be made again elsewhere stays on the account of the router that failed it, so that a dead
    one does not look idle. One that does not answer a word, because its machine lost power or it
    is stopped, is asked last until it does, and its requests are made again elsewhere at once: Ray
    takes seconds to find out.

    Args:
        names: Their actor names.
        draw: Draws the two.
    """

    def __init__(self, names: Sequence[str], draw: random.Random) -> None:
        self._names = tuple(names)
        self._draw = draw
        self._under_way: Counter[str] = Counter()
        self._silent: set[str] = set()

    def become(self, names: Sequence[str]) -> None:
        """Choose among these from now on; requests under way end where they are."""
        self._names = tuple(names)

    @contextmanager
    def chosen(self, requests: int = 1) -> Iterator[tuple[str, ...]]:
        """Yield the routers in the order in which to ask them, for so many requests at once."""
        first, *others = better_of_two(self._names, self._cost, self._draw)
        self._under_way[first] += requests
        try:
            yield (first, *others)
        finally:
            self._under_way[first] -= requests
            self._under_way += Counter()  # forgets those that have none

    async def ask(
        self, call: Callable[[Any], Awaitable[Any]], within_s: float, requests: int = 1
    ) -> Any:  # noqa: ANN401 - whatever the remote method returns
        """Call a router with so many requests; another where it died, and where it hangs too.

        Raises:
            TimeoutError: None answered in time.
            ShoalError: What the router raised.
        """
        give_up = time.monotonic() + within_s

        def asked(names: Sequence[str]) -> asyncio.Task[Any]:
            answer = first_answer(names, call, lambda: give_up - time.monotonic())
            return asyncio.create_task(answer)

        with self.chosen(requests) as (first, *others):
            made = asked((first, *others))
            tries = {made}
            try:
                if others and await self._falls_silent(first, made):
                    tries.add(asked(others))
                return (await first_result(tries)).result()
            finally:
                for one in tries:
                    one.cancel()

    async def look_for_silent(self) -> None:
        """Find out which of those that hung are there again."""
        for name in tuple(self._silent):
            if name not in self._names or await answers(name, _WORD_S):
                self._silent.discard(name)

    async def _falls_silent(self, name: str, asked: asyncio.Task[Any]) -> bool:
        """Wait until a request is answered, or the router that has it does not answer a word."""
        while not (await asyncio.wait({asked}, timeout=_SILENCE_S))[0]:
            if not await answers(name, _WORD_S):
                self._silent.add(name)
                return not asked.done()
        return False

    def _cost(self, name: str) -> tuple[bool, int]:
        return name in self._silent, self._under_way[name]
