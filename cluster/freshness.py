"""How far collections are behind their sources, as a gateway knows it: as the steward last said."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from actors.freshness import SILENT_S


class Behind:
    """What the steward said of all gateways' watchers; it is asked at least once a search.

    Args:
        clock: Seconds, from any beginning.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said: Mapping[str, float] = {}
        self._said_at = float("-inf")

    def take(self, said: Mapping[str, float]) -> None:
        """Take what the steward says: by how many seconds each watched collection is behind."""
        self._said, self._said_at = said, self._clock()

    def behind_s(self, collection: str) -> float | None:
        """Return by how many seconds a collection is behind; None where nobody is known to know."""
        ago = self._clock() - self._said_at
        by_s = self._said.get(collection) if ago < SILENT_S else None
        return by_s + ago if by_s else by_s


def in_words(behind_s: float | None) -> str:
    """Say how far a collection is behind; "" where nobody knows."""
    if behind_s is None:
        return ""
    return f"behind by {max(1, round(behind_s))} s" if behind_s else "up to date"
