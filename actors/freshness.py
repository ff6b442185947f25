"""How far collections are behind their sources, as those who watch them say."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from typing import NamedTuple

SILENT_S = 20.0
"""Four heartbeats: who has said nothing for so long does not watch any more."""


class _Word(NamedTuple):
    """What a watcher said last: since when it is behind, None where it is not, and when."""

    behind_since: float | None
    said_at: float


class Freshness:
    """Remembers what watchers said of collections, while they go on saying it; for any thread.

    Args:
        clock: Seconds, from any beginning.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._words: defaultdict[str, dict[str, _Word]] = defaultdict(dict)

    def note(self, collection: str, watcher: str, behind_s: float) -> None:
        """Take a watcher's word: 0 for up to date, else the age of what is not yet published."""
        now = self._clock()
        self._words[collection][watcher] = _Word(now - behind_s if behind_s else None, now)

    def forget(self, collection: str, watcher: str) -> None:
        """Note that a watcher has ended."""
        self._words.get(collection, {}).pop(watcher, None)

    def behind_s(self, collection: str) -> float | None:
        """Return by how many seconds a collection is behind; None where nobody watches it."""
        words = self._words.get(collection)
        if not words:
            return None
        now = self._clock()
        heard = [word for word in tuple(words.values()) if now - word.said_at < SILENT_S]
        if not heard:
            self._words.pop(collection, None)
            return None
        since = min((w.behind_since for w in heard if w.behind_since is not None), default=now)
        return now - since

    def all(self) -> dict[str, float]:
        """Return by how many seconds each collection is behind that somebody watches."""
        found = {collection: self.behind_s(collection) for collection in tuple(self._words)}
        return {collection: by_s for collection, by_s in found.items() if by_s is not None}
