"""When a call is asked again elsewhere: once it is slower than nearly all, and seldom."""

from __future__ import annotations

from collections import deque

SHARE = 0.05
"""Of all calls may be made twice: what is slower than the 95th percentile, in the mean."""
_MOST_SAVED = 6.0
"""Hedges saved up in quiet times: a host that stops with a dozen calls under way costs no storm."""
_RESERVE = 3.0
"""Of them, kept for calls that are overdue: where those that are merely late had used up all, a
host that hangs would cost its callers their whole deadline, and none of them would earn more."""
OVERDUE = 8.0
"""Times later than late, and a call is overdue: whoever has it probably hangs."""
_WINDOW = 256
"""Calls that are remembered: a few seconds under load."""
_KNOWN = 20
"""Calls before a 95th percentile says something."""
_REFRESH = 16
"""Calls between two looks at it."""
_UNKNOWN_S = 0.5
"""What is late before that: most shards are opened in less."""
_LEAST_S = 0.02
"""Below it, waiting is cheaper than asking twice."""
_HANGS, _HANGS_S = 20.0, 2.0
"""Times later than late, and seconds, after which whoever has a call is taken to hang."""


class Pace:
    """How long the calls of one kind take, by those of late."""

    def __init__(self) -> None:
        self._took: deque[float] = deque(maxlen=_WINDOW)
        self._late_s = _UNKNOWN_S
        self._since = 0

    def note(self, seconds: float) -> None:
        """Remember how long a call took."""
        self._took.append(seconds)
        self._since += 1
        if self._since >= (_REFRESH if len(self._took) > _KNOWN else _KNOWN):
            self._since = 0
            p95 = sorted(self._took)[int(len(self._took) * (1 - SHARE))]
            self._late_s = max(p95, _LEAST_S)

    @property
    def late_s(self) -> float:
        """Seconds after which a call is late: the running 95th percentile."""
        return self._late_s

    @property
    def hangs_s(self) -> float:
        """Seconds after which a call will hardly be answered: to make it elsewhere is no hedge.

        Without this, callers that all wait for a host that hangs would earn no hedge any more.
        """
        return max(_HANGS * self._late_s, _HANGS_S)


class HedgeBudget:
    """A token bucket: each call earns a share of a hedge.

    Hedges are never more than `SHARE` of all calls, but for a first one that costs nothing.
    """

    def __init__(self) -> None:
        self._saved = 1.0

    def earn(self) -> None:
        """Note a call that was made."""
        self._saved = min(_MOST_SAVED, self._saved + SHARE)

    def take(self, overdue: bool = False) -> bool:
        """Tell whether a call may be made again, and count it.

        Args:
            overdue: It is more than late: the reserve is there for it.
        """
        if self._saved < (1.0 if overdue else 1.0 + _RESERVE):
            return False
        self._saved -= 1.0
        return True
