"""How fast a job is, and how long it will take: the one place where that is computed."""

from __future__ import annotations

from collections import deque

_WINDOW_S = 10.0
"""Long enough for some blocks of files to end in it, and short enough to tell a change."""


class Pace:
    """The speed of something that is done piece by piece, over the last ten seconds."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def at(self, seconds: float, done: int, total: int) -> tuple[float, float | None]:
        """Take note of how far it is; return pieces a second, and the seconds that are left.

        Args:
            seconds: Since it began.
            done: Pieces done until then.
            total: Pieces in all; 0 while that is unknown.

        Returns:
            The rate, and the time left, or None where nothing tells it: nothing was done of
            late, or all is done.
        """
        self._seen.append((seconds, done))
        while len(self._seen) > 2 and self._seen[1][0] <= seconds - _WINDOW_S:  # noqa: PLR2004
            self._seen.popleft()
        since, before = self._seen[0]
        rate = (done - before) / (seconds - since) if seconds > since else 0.0
        left = total - done
        return rate, left / rate if rate > 0 and left > 0 else None
