"""Which router a request goes to."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from actors.routing.balance import better_of_two


class Routers:
    """Shares requests out among routers that all answer alike.

    Of two routers at random, the one with fewer of our requests under way is asked. A request that
    has to be made again elsewhere stays on the account of the router that failed it, so that a dead
    one does not look idle.

    Args:
        names: Their actor names.
        draw: Draws the two.
    """

    def __init__(self, names: Sequence[str], draw: random.Random) -> None:
        self._names = tuple(names)
        self._draw = draw
        self._under_way: Counter[str] = Counter()

    def become(self, names: Sequence[str]) -> None:
        """Choose among these from now on; requests under way end where they are."""
        self._names = tuple(names)

    @contextmanager
    def chosen(self, requests: int = 1) -> Iterator[tuple[str, ...]]:
        """Yield the routers in the order in which to ask them, for so many requests at once."""
        first, *others = better_of_two(self._names, lambda n: (self._under_way[n],), self._draw)
        self._under_way[first] += requests
        try:
            yield (first, *others)
        finally:
            self._under_way[first] -= requests
            self._under_way += Counter()  # forgets those that have none
