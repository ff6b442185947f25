"""Who is asked: of two drawn at random the one with less to do."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Cost = Callable[[str], tuple[Any, ...]]
"""What it costs to ask somebody; compared, the lesser is asked."""


def better_of_two(names: Sequence[str], cost: Cost, draw: random.Random) -> list[str]:
    """Return the names in the order in which to ask them.

    Two are drawn, and the one that costs less is first; where they cost the same, the one that
    stands first in `names`. Routers that each know only their own calls then do not all run to
    the same one, as they would to the least of all (Mitzenmacher 2001, "The Power of Two Choices
    in Randomized Load Balancing"). The rest follows by cost, for where the first is dead.
    """
    if len(names) <= 1:
        return list(names)
    drawn = sorted(draw.sample(range(len(names)), 2))
    first = min((names[at] for at in drawn), key=cost)
    return [first, *sorted((name for name in names if name != first), key=cost)]


@dataclass(slots=True, eq=False)
class Work:
    """Something that an actor was given to do, and whether it is late with it or through."""

    name: str
    weight: int
    late: bool = False
    over: bool = False


class Loads:
    """What this process has under way at each actor, and who of them is late with it."""

    def __init__(self) -> None:
        self._in_flight: Counter[str] = Counter()
        self._late: Counter[str] = Counter()

    def began(self, work: Work) -> None:
        """Note that an actor was given work."""
        self._in_flight[work.name] += work.weight

    def ended(self, work: Work) -> None:
        """Note that an actor is through with it, or dead."""
        self._in_flight[work.name] -= work.weight
        self._late[work.name] -= work.late
        work.over = True

    def is_late(self, work: Work) -> None:
        """Note that an actor has not answered in the time that others take.

        Until it does, it is asked last: one that hangs would else get its share of all calls.
        """
        if not work.over:
            self._late[work.name] += not work.late
            work.late = True

    def of(self, name: str) -> tuple[bool, int]:
        """Return whether an actor is late with something, and how much it has in flight."""
        return self._late[name] > 0, self._in_flight[name]

    @property
    def in_flight(self) -> int:
        """How much is under way at all of them."""
        return self._in_flight.total()
